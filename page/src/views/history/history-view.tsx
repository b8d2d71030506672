/**
 * How a patient's vitals went over any span: charts one above the other with a common cursor, alerts
 * on the same time, gaps as gaps.
 *
 * The address says what is shown, so that the browser's way back undoes a zoom. Nothing is asked for
 * by itself: what ends "now" says when that was, and is asked for anew on request.
 */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { isGone } from "../../api/errors";
import type { Vital } from "../../gen/pulseward/v1/reading_pb";
import {
  historyCsv,
  PRESET_DEFAULT,
  PRESETS,
  panned,
  presetSpan,
  type Span,
  spanProblem,
  within,
  zoomed,
} from "../../model/history";
import { go, href } from "../../router";
import { exactNow } from "../../state/moment";
import { announce } from "../../ui/announcer";
import { type Asked, AskedState, Problem, useAsked } from "../../ui/asked";
import { Button } from "../../ui/button";
import { download } from "../../ui/download";
import { Group } from "../../ui/group";
import { OwnSpan } from "../../ui/own-span";
import { useShortcuts } from "../../ui/shortcuts";
import { View } from "../../ui/view";
import { dateTime, exactSpanWords, zone } from "../../words/times";
import { vitalKey, vitalOfKey, vitalWords } from "../../words/vitals";
import { AlertLanes } from "./alert-lanes";
import { type History, loadHistory, measuredVitals } from "./load";
import { Presets } from "./span-picker";
import { AlertsTable, ValueTables } from "./tables";
import { type Plots, VitalChart } from "./vital-chart";
import "../../styles/history.css";

interface Props {
  patientId: string;
  query: URLSearchParams;
}

/** Shown at first: as many as a screen has room for, in the order of the contract. */
const VITALS_FIRST = 4;

export function HistoryView({ patientId, query }: Props) {
  const measured = useAsked("vitals", (ended) => measuredVitals(patientId, ended));
  const place = usePlace(patientId, query, measured.answer);
  const { shown, asked } = useHistory(patientId, place);
  useHistoryKeys(place);
  const hasFailed = asked.failure !== undefined;
  return (
    <View
      name="history"
      title={`History of ${patientId}`}
      tabTitle="History"
      tools={
        <>
          <a class="button" href={href.patient(patientId)}>
            Patient
          </a>
          <Button onPress={place.refresh} shortcut="r">
            Ask again
          </Button>
          <Button
            onPress={() => shown && saveFile(patientId, shown)}
            disabledWhy={shown ? undefined : "Nothing is shown yet."}
          >
            Save as CSV
          </Button>
        </>
      }
    >
      <div class="history-controls">
        <Presets preset={place.preset} onPreset={place.showPreset} />
        <Moves place={place} />
        <VitalChoice measured={measured} place={place} />
        <OwnSpan
          span={place.span}
          problemOf={(own) => spanProblem(own, place.now)}
          onSpan={place.show}
          showsZone
        />
      </div>
      {measured.answer?.length === 0 && <p class="waiting">Nothing was ever measured.</p>}
      {place.vitals.length > 0 && (!shown || hasFailed) && (
        <AskedState of={asked} what="Readings" />
      )}
      {shown && <Shown shown={shown} place={place} isOld={asked.isWaiting || hasFailed} />}
    </View>
  );
}

/** What the address says is shown, and how to show something else. */
interface Place {
  span: Span;
  preset: string;
  now: number;
  vitals: readonly Vital[];
  show: (span: Span) => void;
  showPreset: (id: string) => void;
  choose: (vitals: readonly Vital[]) => void;
  refresh: () => void;
}

function usePlace(patientId: string, query: URLSearchParams, measured?: readonly Vital[]): Place {
  const [now, setNow] = useState(exactNow);
  const address = query.toString();
  useEffect(() => setNow(exactNow()), [address]);
  const { span, preset } = useMemo(() => spanOf(query, now), [address, now]);
  const named = query.get("channel") ?? "";
  const vitals = useMemo(() => vitalsOf(named, measured), [named, measured]);
  const channel: Record<string, string> = named === "" ? {} : { channel: named };
  const same: Record<string, string> = preset === "" ? times(span) : { span: preset };
  const goTo = (changes: Record<string, string>) =>
    go(href.history(patientId, { ...channel, ...changes }));
  return {
    span,
    preset,
    now,
    vitals,
    show: (span) => goTo(times(within(span, exactNow()))),
    showPreset: (id) => (id === preset ? setNow(exactNow()) : goTo({ span: id })),
    choose: (vitals) => goTo({ ...same, channel: vitals.map(vitalKey).join(",") }),
    refresh: () => setNow(exactNow()),
  };
}

function times(span: Span): Record<string, string> {
  const iso = (at: number) => new Date(at).toISOString();
  return { from: iso(span.from), to: iso(span.until) };
}

/** What can't be read in the address is the default. */
function spanOf(query: URLSearchParams, now: number): { span: Span; preset: string } {
  const from = Date.parse(query.get("from") ?? "");
  const until = Date.parse(query.get("to") ?? "");
  if (Number.isFinite(from) && Number.isFinite(until) && until > from && from < now) {
    return { span: within({ from, until }, now), preset: "" };
  }
  const asked = query.get("span") ?? PRESET_DEFAULT;
  const preset = PRESETS.some(({ id }) => id === asked) ? asked : PRESET_DEFAULT;
  return { span: presetSpan(preset, now) ?? { from: now, until: now }, preset };
}

function vitalsOf(named: string, measured: readonly Vital[] = []): readonly Vital[] {
  if (named === "") return measured.slice(0, VITALS_FIRST);
  return named.split(",").flatMap((key) => vitalOfKey(key) ?? []);
}

/** What is shown stays while something else is asked for. */
function useHistory(patientId: string, place: Place): { shown?: History; asked: Asked<History> } {
  const { span, vitals, now } = place;
  const last = useRef<History | undefined>(undefined);
  const key = `${span.from} ${span.until} ${vitals.join()}`;
  const asked = useAsked(key, async (ended) => {
    const pixels = document.documentElement.clientWidth * 0.8;
    const nothing: History = {
      span,
      askedAt: now,
      series: [],
      alerts: [],
      areAlertsCut: false,
      isTooDense: false,
      missing: [],
    };
    if (vitals.length === 0) return nothing;
    return loadHistory({ patientId, vitals, span, pixels, now }, ended);
  });
  if (asked.answer && asked.answer.series.length > 0) last.current = asked.answer;
  if (isGone(asked.failure)) last.current = undefined;
  const { answer } = asked;
  useEffect(() => {
    if (answer && answer.series.length > 0) announce(sentence(answer));
  }, [answer]);
  return { shown: vitals.length > 0 ? last.current : undefined, asked };
}

/** What is shown, for people who do not see it change. */
function sentence(history: History): string {
  const names = history.series.map((series) => vitalWords(series.vital).name).join(", ");
  const { from, until } = history.span;
  return `Shown: ${names}, ${dateTime(from)} to ${dateTime(until)}. Alerts: ${history.alerts.length}.`;
}

const STEP = 0.5;

/** Ways through time, each with its key. */
function moves(place: Place) {
  const now = exactNow();
  return [
    { key: ",", does: "earlier", run: () => place.show(panned(place.span, -STEP, now)) },
    { key: ".", does: "later", run: () => place.show(panned(place.span, STEP, now)) },
    { key: "+", does: "closer", run: () => place.show(zoomed(place.span, STEP, now)) },
    { key: "-", does: "wider", run: () => place.show(zoomed(place.span, 1 / STEP, now)) },
    { key: "Backspace", does: "back to what was shown before", run: () => history.back() },
  ];
}

function useHistoryKeys(place: Place): void {
  const presets = PRESETS.map(({ id, words }, index) => ({
    key: String(index + 1),
    does: `the last ${words}`,
    run: () => place.showPreset(id),
  }));
  const refresh = { key: "r", does: "ask again", run: place.refresh };
  useShortcuts("History", [...moves(place), refresh, ...presets]);
}

const SIGNS: Record<string, string> = { Backspace: "Back" };

function Moves({ place }: { place: Place }) {
  return (
    <Group name="Move through time">
      {moves(place).map((move) => (
        <Button key={move.key} onPress={move.run} label={capital(move.does)}>
          {SIGNS[move.key] ?? capital(move.does)}
        </Button>
      ))}
    </Group>
  );
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** Which vitals are shown: those that were ever measured. */
function VitalChoice({ measured, place }: { measured: Asked<Vital[]>; place: Place }) {
  const offered = [...new Set([...(measured.answer ?? []), ...place.vitals])].sort((a, b) => a - b);
  const toggle = (vital: Vital) => {
    const isShown = place.vitals.includes(vital);
    const others = place.vitals.filter((it) => it !== vital);
    place.choose((isShown ? others : [...others, vital]).sort((a, b) => a - b));
  };
  return (
    <>
      <AskedState of={measured} what="Vitals" />
      <Group name="Vitals shown">
        {offered.map((vital) => {
          const isShown = place.vitals.includes(vital);
          const isLast = isShown && place.vitals.length === 1;
          return (
            <Button
              key={vital}
              onPress={() => toggle(vital)}
              pressed={isShown}
              label={`${vitalWords(vital).short}: ${vitalWords(vital).name}`}
              disabledWhy={isLast ? "One vital at least is shown." : undefined}
            >
              {vitalWords(vital).short}
            </Button>
          );
        })}
      </Group>
    </>
  );
}

function Shown({ shown, place, isOld }: { shown: History; place: Place; isOld: boolean }) {
  const cursor = useSignal<number | undefined>(undefined);
  const plots = useRef<Plots>(new Set()).current;
  const { span, series, alerts, askedAt } = shown;
  return (
    <div class={isOld ? "history-shown is-old" : "history-shown"} aria-busy={isOld}>
      <div class="history-charts">
        <About shown={shown} preset={place.preset} />
        {shown.missing.map((text) => (
          <Problem key={text}>
            <p>{text}</p>
          </Problem>
        ))}
        <AlertLanes alerts={alerts} span={span} now={askedAt} />
        {series.map((it) => (
          <VitalChart
            key={it.vital}
            series={it}
            span={span}
            alerts={alertsOf(alerts, it.vital)}
            now={askedAt}
            cursor={cursor}
            plots={plots}
            onZoom={place.show}
          />
        ))}
        <CursorSlider span={span} cursor={cursor} plots={plots} />
        <Legend />
      </div>
      <div class="history-side">
        <AlertsTable alerts={alerts} isCut={shown.areAlertsCut} now={askedAt} />
      </div>
      <ValueTables series={series} />
    </div>
  );
}

/** Rules of heart rate may count pulse rate: its alerts are of the vital that they name. */
const NO_ALERTS: readonly [] = [];

function alertsOf(alerts: History["alerts"], vital: Vital): History["alerts"] {
  const found = alerts.filter((alert) => alert.vital === vital && !alert.isTechnical);
  return found.length > 0 ? found : NO_ALERTS;
}

function About({ shown, preset }: { shown: History; preset: string }) {
  const { from, until } = shown.span;
  const width = Math.max(...shown.series.map((series) => series.width));
  const how = width === 0 ? "each reading for itself" : `in buckets of ${exactSpanWords(width)}`;
  return (
    <p class="history-about">
      <b>
        {dateTime(from)} to {dateTime(until)}
      </b>{" "}
      {zone(until)}, {how}
      {preset !== "" && ", up to when it was asked for"}.
      {shown.isTooDense && " There are too many readings here to show each: come closer."}
    </p>
  );
}

interface SliderProps {
  span: Span;
  cursor: ReturnType<typeof useSignal<number | undefined>>;
  plots: Plots;
}

/** The charts' cursor for who has no mouse: arrow keys move it, and each chart says what it is on. */
function CursorSlider({ span, cursor, plots }: SliderProps) {
  const steps = 400;
  const length = span.until - span.from;
  const at = cursor.value ?? span.until;
  const move = (step: number) => {
    const time = span.from + (length * step) / steps;
    for (const plot of plots) {
      const left = Math.min(plot.valToPos(time / 1000, "x"), plot.over.clientWidth - 1);
      plot.setCursor({ left: Math.max(0, left), top: 0 }, false);
    }
    cursor.value = time;
  };
  return (
    <label class="history-slider">
      <span class="unseen">Time under the cursor</span>
      <input
        type="range"
        min={0}
        max={steps}
        value={Math.round((steps * (at - span.from)) / length)}
        aria-valuetext={cursor.value === undefined ? "none" : dateTime(at)}
        onInput={(event) => move(Number(event.currentTarget.value))}
      />
    </label>
  );
}

function Legend() {
  return (
    <ul class="history-legend fine">
      <li>
        <span class="history-key history-key-mean" aria-hidden="true" /> mean
      </li>
      <li>
        <span class="history-key history-key-band" aria-hidden="true" /> lowest to highest
      </li>
      <li>
        <span class="history-key history-key-gap" aria-hidden="true" /> gap: nothing was measured
      </li>
      <li>
        <span class="history-key history-key-limit" aria-hidden="true" /> limits in force now;
        earlier ones may have differed, as an alert's story says
      </li>
      <li>Drag over a chart to come closer.</li>
    </ul>
  );
}

function saveFile(patientId: string, shown: History): void {
  const series = shown.series.map(({ vital, width, points }) => ({
    vital: vitalKey(vital),
    unit: vitalWords(vital).unit,
    width,
    points,
  }));
  const times = [shown.span.from, shown.span.until].map((at) =>
    new Date(at).toISOString().slice(0, 16).replaceAll(/[-:]/g, ""),
  );
  download(`${patientId}_${times.join("_")}.csv`, historyCsv(series));
}
