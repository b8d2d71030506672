/**
 * What alarms ask of a ward, as a meeting reads it: figures with how each is counted, beside those of
 * the span before; by rule, by hour of the day and by day; and the same as a table for spreadsheets.
 *
 * The service counts (`GetAlarmBurden`); this only puts words to the counts, and adds those of hours
 * up in a time zone. A figure that can't be told is told so, and never shown as 0. Knows nothing of
 * the page. Times are milliseconds since 1970 (UTC).
 */
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

import type {
  AlarmBurden,
  GetAlarmBurdenResponse,
  PriorityCounts,
} from "../gen/pulseward/v1/alert_pb";
import { csvField, type Span } from "./history";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The longest span that the service counts. */
export const BURDEN_SPAN_MAX = 92 * DAY;

/** Spans that can be chosen by name; they end now. */
export const BURDEN_PRESETS = [
  { id: "24h", words: "24 hours", length: DAY },
  { id: "7d", words: "7 days", length: 7 * DAY },
  { id: "28d", words: "28 days", length: 28 * DAY },
  { id: "90d", words: "90 days", length: 90 * DAY },
] as const;

/** The span of the same length just before. */
export function before(span: Span): Span {
  return { from: span.from - (span.until - span.from), until: span.from };
}

/** What is wrong with a span that somebody has typed; `undefined` if nothing is. */
export function spanProblem(span: Partial<Span>): string | undefined {
  if (span.from === undefined || span.until === undefined) return "Both times are needed.";
  if (span.until <= span.from) return "The end is not after the beginning.";
  if (span.until - span.from > BURDEN_SPAN_MAX) return "At most 92 days can be counted at once.";
  return undefined;
}

/** One number for the meeting. */
export interface Figure {
  readonly name: string;
  /** As it is shown; a dash where it can't be told. */
  readonly value: string;
  /** The same of the span before. */
  readonly before: string;
  /** Both as numbers, for spreadsheets: shares from 0 to 1, times in seconds. */
  readonly amount: number | undefined;
  readonly amountBefore: number | undefined;
  /** How it has changed, in words; empty where that can't be said. */
  readonly change: string;
  /** Whether the change is a relief to the ward, or a burden; neither is said of how soon or how much. */
  readonly trend: "less" | "more" | "same" | "unknown";
  /** Exactly what is counted. */
  readonly counted: string;
}

/** What is shown where there is nothing to show. */
export const NONE = "–";

/** The figures at the top, of a span and of the one before, which may be unknown. */
export function figures(now: GetAlarmBurdenResponse, past?: GetAlarmBurdenResponse): Figure[] {
  const of = (
    name: string,
    read: (burden: GetAlarmBurdenResponse) => number | undefined,
    show: (value: number) => string,
    counted: string,
  ): Figure => figure(name, read(now), past && read(past), show, counted);
  const all = (read: (all: AlarmBurden) => number | undefined) => (it: GetAlarmBurdenResponse) =>
    it.all && read(it.all);
  return [
    of(
      "Alerts per patient-day",
      all((it) => it.alertsPerPatientDay),
      rate,
      "Alerts raised in the span, of patients and of equipment, each once, divided by patient-days.",
    ),
    of(
      "Alerts",
      all((it) => it.alertCount),
      whole,
      "Alerts that were raised in the span: when the service received what raised them. An alert that rises or falls in priority is one alert. Alerts that late readings raised, which never signalled, and those of the service about itself are not among them.",
    ),
    of(
      "Patient-days",
      (it) => it.patientDays,
      rate,
      "Time within the span for which at least one device was bound to a patient, all patients together, in days of 24 hours. A device that was bound and sent nothing counts all the same.",
    ),
    of(
      "Time to acknowledge, median",
      all((it) => milliseconds(it.timeToAcknowledgeMedian)),
      span,
      "From the moment an alert was raised to its first acknowledgement. Half of the alerts that somebody acknowledged took no longer. Those that nobody acknowledged are not in it.",
    ),
    of(
      "Time to acknowledge, 9 in 10",
      all((it) => milliseconds(it.timeToAcknowledgeP90)),
      span,
      "The same for nine in ten of the acknowledged alerts: the 90th percentile.",
    ),
    of(
      "Never acknowledged",
      all((it) => shareOf(it.endedUnacknowledgedCount, it.alertCount)),
      percent,
      "Alerts whose condition is over and that nobody acknowledged, as a share of all alerts. Those that still hold and wait for an acknowledgement are not among them.",
    ),
    of(
      "Ended by themselves within 30 s",
      all((it) => it.selfEndedShare),
      percent,
      "Alerts whose condition ended by readings no more than 30 s after they were raised, before anybody acknowledged or paused them, as a share of all alerts.",
    ),
    of(
      "From a tenth of the patients",
      (it) => it.mostAlarmed?.share,
      percent,
      "The share of all patients' alerts that came from the tenth of patients with most of them. A tenth is rounded up; patients who wore a device or had an alert count.",
    ),
  ];
}

/** A change that is smaller than this share is none worth a word. */
const SAME_WITHIN = 0.005;

function figure(
  name: string,
  now: number | undefined,
  past: number | undefined,
  show: (value: number) => string,
  counted: string,
): Figure {
  const text = (value: number | undefined) => (value === undefined ? NONE : show(value));
  const amount = (value: number | undefined) =>
    value !== undefined && show === span ? value / SECOND : value;
  return {
    name,
    value: text(now),
    before: text(past),
    amount: amount(now),
    amountBefore: amount(past),
    ...changed(now, past, show === percent),
    counted,
  };
}

/** Shares change by points, everything else by percent of what was. */
function changed(
  now: number | undefined,
  past: number | undefined,
  isShare: boolean,
): Pick<Figure, "change" | "trend"> {
  if (now === undefined || past === undefined) return { change: "", trend: "unknown" };
  const by = isShare ? now - past : past === 0 ? (now === 0 ? 0 : Infinity) : now / past - 1;
  if (by === Infinity) return { change: "none before", trend: "more" };
  if (Math.abs(by) < SAME_WITHIN) return { change: "unchanged", trend: "same" };
  const size = Math.round(Math.abs(by) * 100).toLocaleString("en-GB");
  const unit = isShare ? "points" : "%";
  return { change: `${by > 0 ? "+" : "−"}${size} ${unit}`, trend: by > 0 ? "more" : "less" };
}

const whole = (value: number) => value.toLocaleString("en-GB");
const rate = (value: number) =>
  value.toLocaleString("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** `37 %`; less than half a percent is not shown as none. */
export function percent(share: number): string {
  if (share > 0 && share < 0.005) return "< 1 %";
  if (share < 1 && share > 0.995) return "> 99 %";
  return `${Math.round(share * 100)} %`;
}

/** A part of a whole; `undefined` of nothing. */
export function shareOf(part: number, all: number): number | undefined {
  return all === 0 ? undefined : part / all;
}

/** `48 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`: two units at most. */
export function span(length: number): string {
  const seconds = Math.round(length / SECOND);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return length > 0 ? "< 1 s" : "0 s";
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}

/** Milliseconds of a span on the wire. */
export function milliseconds(wire: Duration | undefined): number | undefined {
  return wire && Number(wire.seconds) * SECOND + wire.nanos / 1e6;
}

const time = (wire: Timestamp | undefined) =>
  wire ? Number(wire.seconds) * SECOND + wire.nanos / 1e6 : 0;

/** Counts by the highest priority reached. */
export interface Counts {
  readonly high: number;
  readonly medium: number;
  readonly low: number;
}

const NO_COUNTS: Counts = { high: 0, medium: 0, low: 0 };

/** Of all three. */
export const total = (counts: Counts): number => counts.high + counts.medium + counts.low;

/** Counts on the wire; unset is none. */
export function counts(wire: PriorityCounts | undefined): Counts {
  return wire ? { high: wire.high, medium: wire.medium, low: wire.low } : NO_COUNTS;
}

function sum(all: readonly Counts[]): Counts {
  const add = (read: (counts: Counts) => number) => all.reduce((sum, it) => sum + read(it), 0);
  return { high: add((it) => it.high), medium: add((it) => it.medium), low: add((it) => it.low) };
}

/** One rule's line. */
export interface RuleLine {
  readonly ruleId: string;
  readonly vital: number;
  readonly isTechnical: boolean;
  readonly alerts: number;
  readonly counts: Counts;
  /** Of all alerts. */
  readonly share: number | undefined;
  readonly acknowledged: number | undefined;
  readonly selfEnded: number | undefined;
  readonly perPatientDay: number | undefined;
  /** Alerts of the span before; `undefined` where that is not known. */
  readonly before: number | undefined;
}

/** `AlertKind.ALERT_KIND_TECHNICAL`. */
const TECHNICAL = 2;

/** Rules, most alerts first, as the service has them; what it left out for its number is at the end. */
export function ruleLines(now: GetAlarmBurdenResponse, past?: GetAlarmBurdenResponse): RuleLine[] {
  const all = now.all?.alertCount ?? 0;
  const key = (rule: { ruleId: string; vital: number }) => `${rule.ruleId}\n${rule.vital}`;
  const earlier = new Map(past?.rules.map((rule) => [key(rule), rule.alertCount]));
  return now.rules.map((rule) => ({
    ruleId: rule.ruleId,
    vital: rule.vital,
    isTechnical: rule.kind === TECHNICAL,
    alerts: rule.alertCount,
    counts: counts(rule.byPriority),
    share: shareOf(rule.alertCount, all),
    acknowledged: shareOf(rule.acknowledgedCount, rule.alertCount),
    selfEnded: shareOf(rule.selfEndedCount, rule.alertCount),
    perPatientDay: shareOf(rule.alertCount, now.patientDays),
    before: past && (earlier.get(key(rule)) ?? 0),
  }));
}

/** How many minutes past the hour of UTC the hours of a time zone begin: 30 in India. */
export function hourOffsetMinutes(timeZone: string, at: number): number {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone, minute: "2-digit" });
  const minute = Number(format.format(Math.floor(at / HOUR) * HOUR));
  return (60 - minute) % 60;
}

/** Alerts of one hour of the day, or of one day. */
export interface Bar {
  /** `08` for the hour from 08:00, or `2026-01-31`. */
  readonly label: string;
  readonly counts: Counts;
}

/** Alerts by the hour of the day in a time zone, all 24 of them. */
export function byHourOfDay(burden: GetAlarmBurdenResponse, timeZone: string): Bar[] {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", hourCycle: "h23" });
  const labels = Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, "0"));
  return bars(burden, labels, (at) => format.format(at).padStart(2, "0"));
}

/** Alerts by day in a time zone, every day of the span, also those without any. */
export function byDay(burden: GetAlarmBurdenResponse, span: Span, timeZone: string): Bar[] {
  // The Swedish way of writing a date is that of ISO 8601.
  const format = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short" });
  const labels = new Set<string>();
  for (let at = span.from; at < span.until; at += HOUR) labels.add(format.format(at));
  return bars(burden, [...labels], (at) => format.format(at));
}

function bars(
  burden: GetAlarmBurdenResponse,
  labels: readonly string[],
  labelOf: (at: number) => string,
): Bar[] {
  const found = new Map(labels.map((label) => [label, NO_COUNTS]));
  for (const hour of burden.hours) {
    const label = labelOf(time(hour.from));
    const before = found.get(label) ?? NO_COUNTS;
    found.set(label, sum([before, counts(hour.physiological), counts(hour.technical)]));
  }
  return [...found].map(([label, counts]) => ({ label, counts }));
}

/** The label of the bar with most alerts; `undefined` if there are none. */
export function busiest(bars: readonly Bar[]): Bar | undefined {
  const [most] = [...bars].sort((a, b) => total(b.counts) - total(a.counts));
  return most && total(most.counts) > 0 ? most : undefined;
}

/** Everything that is shown, as a table for spreadsheets: what, which, how many, and of the span before.
 * Shares are from 0 to 1, times in seconds. */
export function burdenCsv(
  where: string,
  over: Span,
  timeZone: string,
  now: GetAlarmBurdenResponse,
  past?: GetAlarmBurdenResponse,
): string {
  const iso = (at: number) => new Date(at).toISOString();
  const rows: (string | number)[][] = [
    ["section", "name", "value", "span before", "counted"],
    ["about", "sites", where, "", ""],
    ["about", "from (UTC)", iso(over.from), iso(before(over).from), ""],
    ["about", "until (UTC)", iso(over.until), iso(before(over).until), ""],
    ["about", "as of (UTC)", iso(time(now.asOf)), "", ""],
    ["about", "time zone of hours and days", timeZone, "", ""],
    ...figures(now, past).map((it) => [
      "figure",
      it.name,
      it.amount ?? "",
      it.amountBefore ?? "",
      it.counted,
    ]),
    ...priorityRows(now, past),
    ...ruleLines(now, past).map((it) => [
      it.isTechnical ? "rule (equipment)" : "rule",
      it.ruleId,
      it.alerts,
      it.before ?? "",
      "alerts",
    ]),
    ...(now.mostAlarmed?.patients ?? []).map((it) => [
      "patient",
      it.patientId,
      it.alertCount,
      "",
      "alerts",
    ]),
    ...byHourOfDay(now, timeZone).map((it) => [
      "hour of day",
      it.label,
      total(it.counts),
      "",
      "alerts",
    ]),
    ...byDay(now, over, timeZone).map((it) => ["day", it.label, total(it.counts), "", "alerts"]),
  ];
  return `${rows.map((row) => row.map(csvField).join(",")).join("\r\n")}\r\n`;
}

function priorityRows(now: GetAlarmBurdenResponse, past?: GetAlarmBurdenResponse) {
  const of = (it?: GetAlarmBurdenResponse) => counts(it?.all?.byPriority);
  return (["high", "medium", "low"] as const).map((priority) => [
    "priority",
    priority,
    of(now)[priority],
    past ? of(past)[priority] : "",
    "alerts by the highest priority they reached",
  ]);
}
