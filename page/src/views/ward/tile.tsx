/**
 * One patient on the ward, or the equipment of a site: who, how they are watched, the worst open
 * alert and the one that calls where that is another, and the newest vitals.
 *
 * Out of sight only the first three are there, so that no old value stands anywhere in the page.
 */
import { useEffect, useRef, useState } from "preact/hooks";

import { mainTask } from "../../actions/action-buttons";
import { ask, TASKS, whyNot } from "../../actions/asking";
import { type Alert, MonitoringState } from "../../gen/pulseward/v1/alert_pb";
import { isCalling, isQuiet, loudest, type Row, rowName, SITES_MAX } from "../../model/ward";
import { href } from "../../router";
import { now } from "../../state/clock";
import { sitesOfVitals } from "../../state/filter";
import { limitsOf, wanted } from "../../state/lookups";
import { cellOf, vitals } from "../../state/ward";
import { PriorityMark } from "../../ui/priority-mark";
import {
  monitoringMeaning,
  monitoringWords,
  moreWords,
  priorityName,
  signalWords,
} from "../../words/alerts";
import { limitWords } from "../../words/sentences";
import { dateTime, millis, spanWords } from "../../words/times";
import { type Figure as FigureOf, figures, mostUrgent } from "./cells";
import { Figure } from "./figure";
import { watchSight } from "./sight";

const FIGURES_MAX = 6;

interface Props {
  row: Row;
  /** The one that keys act on: the only one in the tab order. */
  isCurrent: boolean;
  onCurrent: (key: string) => void;
}

export function Tile({ row, isCurrent, onCurrent }: Props) {
  const box = useRef<HTMLLIElement>(null);
  const [isInSight, setInSight] = useState(false);
  const cell = cellOf(row.key);
  useEffect(() => {
    const target = box.current;
    if (target === null) return;
    const stop = watchSight(target, (is) => {
      cell.sighted(is);
      setInSight(is);
      if (is && row.patientId !== "") wanted(row.patientId);
    });
    return () => {
      stop();
      cell.sighted(false);
    };
  }, [cell, row.patientId]);
  const worst = row.alerts[0];
  const look = worst === undefined ? "tile-calm" : `tile-${priorityName(worst.priority)}`;
  const quiet = worst !== undefined && !isCalling(row.alerts) ? " is-quiet" : "";
  return (
    <li
      ref={box}
      class={`tile ${look}${quiet}${isCurrent ? " is-current" : ""}`}
      data-key={row.key}
      onFocusIn={() => onCurrent(row.key)}
    >
      <TileHead row={row} isCurrent={isCurrent} />
      <TileAlerts row={row} isCurrent={isCurrent} />
      {isInSight && row.patientId !== "" && <TileVitals row={row} />}
    </li>
  );
}

function TileHead({ row, isCurrent }: { row: Row; isCurrent: boolean }) {
  const worst = row.alerts[0];
  const state = row.monitoring?.state;
  const isFull = state === MonitoringState.MONITORED;
  const name = rowName(row);
  return (
    <div class="tile-head">
      {worst !== undefined && <PriorityMark priority={worst.priority} quiet={isQuiet(worst)} />}
      <h2 class="tile-name">
        {row.patientId === "" ? (
          <span class="tile-link" tabIndex={isCurrent ? 0 : -1}>
            {name}
          </span>
        ) : (
          <a class="tile-link" href={href.patient(row.patientId)} tabIndex={isCurrent ? 0 : -1}>
            {name}
          </a>
        )}
      </h2>
      <span class="tile-site">{row.patientId === "" ? "" : row.siteId}</span>
      {row.monitoring !== undefined && (
        <span
          class={isFull ? "tile-state" : "tile-state is-lacking"}
          title={monitoringMeaning(state)}
        >
          {monitoringWords(state)}
        </span>
      )}
    </div>
  );
}

/** The worst alert, and below it the one to answer where that is another. */
function TileAlerts({ row, isCurrent }: { row: Row; isCurrent: boolean }) {
  const worst = row.alerts[0];
  const answered = loudest(row.alerts);
  if (worst === undefined) return <p class="tile-alert is-none">no open alert</p>;
  const more = moreWords(row.alerts);
  if (answered === undefined || answered === worst) {
    return <TileAlert alert={worst} more={more} row={row} isCurrent={isCurrent} canAnswer />;
  }
  return (
    <>
      <TileAlert alert={worst} more={more} row={row} isCurrent={isCurrent} />
      <TileAlert alert={answered} row={row} isCurrent={isCurrent} isMarked canAnswer />
    </>
  );
}

interface TileAlertProps {
  alert: Alert;
  /** What is said of others. */
  more?: string;
  row: Row;
  isCurrent: boolean;
  /** With its priority: the mark in the tile's head is another's. */
  isMarked?: boolean;
  canAnswer?: boolean;
}

function TileAlert(props: TileAlertProps) {
  const { alert, more = "", row, isCurrent, isMarked = false, canAnswer = false } = props;
  const facts = [limitWords(alert), `signal ${signalWords(alert.signal)}`].filter((it) => it);
  const look = `alert-${priorityName(alert.priority)}${isQuiet(alert) ? " is-quiet" : ""}`;
  return (
    <div class={`tile-alert ${look}`}>
      {isMarked && <PriorityMark priority={alert.priority} quiet={isQuiet(alert)} />}
      <div class="tile-alert-words">
        <a href={href.alert(alert.alertId)} tabIndex={isCurrent ? 0 : -1}>
          {alert.ruleId}
        </a>
        <span class="tile-alert-facts">
          {facts.join(", ")}, <TileAge cellKey={row.key} at={millis(alert.onsetAt)} />
          {more !== "" && <b class="tile-more"> {more}</b>}
        </span>
      </div>
      {canAnswer && <AnswerButton alert={alert} isCurrent={isCurrent} />}
    </div>
  );
}

/** How old the alert is: told anew when the tile is drawn, not by a clock of its own. */
function TileAge({ cellKey, at }: { cellKey: string; at: number | undefined }) {
  void cellOf(cellKey).turn.value;
  if (at === undefined) return null;
  return <span title={dateTime(at)}>{spanWords(now.peek() - at)}</span>;
}

/** The one thing that is most likely wanted; everything else stands with the alert's story. */
function AnswerButton({ alert, isCurrent }: { alert: Alert; isCurrent: boolean }) {
  const task = mainTask(alert);
  if (isQuiet(alert) || whyNot(task, alert) !== undefined) return null;
  return (
    <button
      type="button"
      class="tile-answer"
      tabIndex={isCurrent ? 0 : -1}
      onClick={() => ask(task, alert)}
    >
      {TASKS[task].name}
      <span class="unseen"> {alert.ruleId}</span>
    </button>
  );
}

function TileVitals({ row }: { row: Row }) {
  // To be drawn anew when a reading came or a second has passed.
  void cellOf(row.key).turn.value;
  const isLeftOut = sitesOfVitals.value.leftOut.includes(row.siteId);
  const limits = limitsOf(row.patientId).value;
  const all = figures(vitals.tracks(row.patientId), row.alerts, limits?.pulseRules);
  const shown = mostUrgent(all, FIGURES_MAX);
  if (isLeftOut) {
    return (
      <p class="tile-nothing">
        vitals not shown here: only {SITES_MAX} sites at once. Choose this site, or open the
        patient.
      </p>
    );
  }
  if (all.length === 0) return <p class="tile-nothing">nothing measured yet</p>;
  return (
    <div class={`figures figures-${shown.length}`}>
      {shown.map((it: FigureOf) => (
        <Figure key={it.vital} of={it} bounds={limits?.bounds.get(it.vital)} />
      ))}
      {all.length > shown.length && <p class="figures-more">+{all.length - shown.length} more</p>}
    </div>
  );
}
