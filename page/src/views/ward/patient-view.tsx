/** One patient: open alerts with what can be done, all vitals, the limits in force. */
import { useEffect } from "preact/hooks";

import { ActionButtons } from "../../actions/action-buttons";
import { AlertFacts } from "../../actions/alert-facts";
import { ask, TASKS } from "../../actions/asking";
import type { Task } from "../../actions/perform";
import type { Alert } from "../../gen/pulseward/v1/alert_pb";
import { loudest, patientKey, type Row } from "../../model/ward";
import { go, href } from "../../router";
import { limitsOf, wanted } from "../../state/lookups";
import { cellOf, isKnown, rows, vitals } from "../../state/ward";
import { Age } from "../../ui/age";
import { useShortcuts } from "../../ui/shortcuts";
import { View } from "../../ui/view";
import { monitoringMeaning, monitoringWords } from "../../words/alerts";
import { millis } from "../../words/times";
import { vitalKey } from "../../words/vitals";
import { figures } from "./cells";
import { Figure } from "./figure";
import { LimitsInForce } from "./limits-in-force";
import "../../styles/ward.css";
import "../../styles/patient.css";

export function PatientView({ patientId }: { patientId: string }) {
  const row = rows.value.find((it) => it.key === patientKey(patientId));
  useShortcuts(
    "Patient",
    keys(patientId, () => loudest(row?.alerts ?? [])),
  );
  useEffect(() => wanted(patientId), [patientId]);
  return (
    <View
      name="patient"
      title={`Patient ${patientId}`}
      tabTitle="Patient"
      tools={
        <>
          <a class="button" href={href.ward()}>
            Ward
          </a>
          <a class="button" href={href.history(patientId)}>
            History
          </a>
        </>
      }
    >
      {row === undefined ? <Unknown /> : <Patient row={row} />}
    </View>
  );
}

function Unknown() {
  if (!isKnown.value) {
    return (
      <p class="waiting" role="status">
        Waiting for the ward…
      </p>
    );
  }
  return <p class="waiting">There is no such patient, or they are not at one of your sites.</p>;
}

function Patient({ row }: { row: Row }) {
  const { patientId, monitoring } = row;
  const answered = loudest(row.alerts);
  return (
    <>
      <p class="patient-state">
        <b>{monitoringWords(monitoring?.state)}</b>{" "}
        <Age at={millis(monitoring?.since)} before="for" />, site {row.siteId}.{" "}
        {monitoringMeaning(monitoring?.state)}
      </p>
      <section class="panel is-live-content">
        <h2>Open alerts</h2>
        {row.alerts.length === 0 && <p>No open alert.</p>}
        <ul class="patient-alerts">
          {row.alerts.map((it) => (
            <li key={it.alertId}>
              <AlertFacts alert={it} />
              <div class="patient-answers">
                <ActionButtons alert={it} withKeys={it === answered} />
                <a class="button" href={href.alert(it.alertId)}>
                  Story<span class="unseen"> of {it.ruleId}</span>
                </a>
              </div>
            </li>
          ))}
        </ul>
      </section>
      <section class="panel is-live-content">
        <h2>Vitals, the last ten minutes</h2>
        <Vitals row={row} />
      </section>
      <section class="panel">
        <h2>Limits in force</h2>
        <LimitsInForce patientId={patientId} />
      </section>
    </>
  );
}

function Vitals({ row }: { row: Row }) {
  const cell = cellOf(row.key);
  void cell.turn.value;
  useEffect(() => {
    cell.sighted(true);
    return () => cell.sighted(false);
  }, [cell]);
  const limits = limitsOf(row.patientId).value;
  const all = figures(vitals.tracks(row.patientId), row.alerts, limits?.pulseRules);
  if (all.length === 0) return <p>Nothing measured yet.</p>;
  return (
    <ul class="patient-figures">
      {all.map((it) => (
        <li key={it.vital}>
          <a href={href.history(row.patientId, { channel: vitalKey(it.vital) })}>
            <Figure of={it} bounds={limits?.bounds.get(it.vital)} />
          </a>
        </li>
      ))}
    </ul>
  );
}

function keys(patientId: string, answered: () => Alert | undefined) {
  const tasks = Object.keys(TASKS) as Task[];
  return [
    ...tasks.map((task) => ({
      key: TASKS[task].key,
      does: `${TASKS[task].title.toLowerCase()} (the worst alert that calls)`,
      run: () => ask(task, answered()),
    })),
    {
      key: "o",
      does: "its story",
      run: () => {
        const alertId = answered()?.alertId;
        if (alertId !== undefined) go(href.alert(alertId));
      },
    },
    { key: "h", does: "the patient's history", run: () => go(href.history(patientId)) },
    { key: "Escape", does: "back to the ward", run: () => go(href.ward()) },
  ];
}
