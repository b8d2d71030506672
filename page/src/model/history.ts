/**
 * What the history view shows, worked out without a browser: spans of time, widths of buckets, lines
 * that stop at gaps, spans of alerts and limits.
 *
 * Promises: times are milliseconds since 1970 (UTC); a line is never drawn over a stretch that is
 * known to be empty; whatever is left out for its amount is counted. Asks nobody for anything, and
 * knows nothing of the page.
 */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** From `from`, inclusive, to `until`, exclusive. */
export interface Span {
  readonly from: number;
  readonly until: number;
}

/** A span that ends now, by the name it has in addresses. */
export interface Preset {
  readonly id: string;
  readonly words: string;
  readonly length: number;
}

export const PRESETS: readonly Preset[] = [
  { id: "1h", words: "1 hour", length: HOUR },
  { id: "6h", words: "6 hours", length: 6 * HOUR },
  { id: "24h", words: "24 hours", length: DAY },
  { id: "7d", words: "7 days", length: 7 * DAY },
  { id: "30d", words: "30 days", length: 30 * DAY },
];

export const PRESET_DEFAULT = "6h";

/** Narrower shows nothing more: devices measure each second at most. */
export const SPAN_MIN = MINUTE;
/** Wider is no question about a patient's stay, and would be a page of buckets of weeks. */
export const SPAN_MAX = 366 * DAY;
/** Up to this width each reading is shown for itself: 30 min of five vitals each second are 9,000. */
export const RAW_SPAN_MAX = 30 * MINUTE;
/** More readings than this are shown as buckets, also in a short span: two pages of the service. */
export const RAW_READINGS_MAX = 20_000;
/** Pixels that a bucket takes at least: a band that is narrower shows nothing that a wider doesn't. */
const BUCKET_PIXELS_MIN = 3;

/** Widths that people can read off an axis. The service takes whole minutes up to 31 days. */
const WIDTHS: readonly number[] = [
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2].map((days) => days * DAY),
];
const WIDTH_MAX = 7 * DAY;

/** The narrowest width with which so many pixels show the span. */
export function bucketWidth(span: Span, pixels: number): number {
  const buckets = Math.max(1, Math.floor(pixels / BUCKET_PIXELS_MIN));
  const needed = (span.until - span.from) / buckets;
  return WIDTHS.find((width) => width >= needed) ?? WIDTH_MAX;
}

/** Whether each reading is to be shown, and not buckets. */
export function isRaw(span: Span): boolean {
  return span.until - span.from <= RAW_SPAN_MAX;
}

/** The span of a preset, or `undefined` if there is none of this name. */
export function presetSpan(id: string, now: number): Span | undefined {
  const preset = PRESETS.find((preset) => preset.id === id);
  return preset && { from: now - preset.length, until: now };
}

/** The same span with a length and a place that can be asked for: not longer, not later than now. */
export function within(span: Span, now: number): Span {
  const length = Math.min(SPAN_MAX, Math.max(SPAN_MIN, span.until - span.from));
  const middle = (span.from + span.until) / 2;
  const until = Math.min(now, Math.round(middle + length / 2));
  return { from: Math.round(until - length), until };
}

/** What is wrong with a span that somebody has typed; `undefined` if nothing is. */
export function spanProblem(span: Partial<Span>, now: number): string | undefined {
  if (span.from === undefined || span.until === undefined) return "Both times are needed.";
  if (span.until <= span.from) return "The end is not after the beginning.";
  if (span.from >= now) return "The beginning lies ahead.";
  if (span.until - span.from > SPAN_MAX) return "At most 366 days are shown at once.";
  return undefined;
}

/** A span around the same middle: `factor` 0.5 is half as long. */
export function zoomed(span: Span, factor: number, now: number): Span {
  const half = ((span.until - span.from) * factor) / 2;
  const middle = (span.from + span.until) / 2;
  return within({ from: middle - half, until: middle + half }, now);
}

/** A span of the same length, moved by a share of it: negative goes back in time. */
export function panned(span: Span, share: number, now: number): Span {
  const by = (span.until - span.from) * share;
  return within({ from: span.from + by, until: span.until + by }, now);
}

/** What is drawn of a vital at one time: a bucket, or a reading with all four the same. */
export interface Point {
  /** Where the bucket begins, or when the reading was measured. */
  readonly from: number;
  readonly lastAt: number;
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly last: number;
  /** Of a reading: what is to be known of its worth, in words; empty if nothing. */
  readonly remarks: string;
}

/** A stretch without readings. */
export interface Gap {
  readonly from: number;
  readonly until: number;
}

/** The shortest silence between readings each for itself that is shown as one. */
const RAW_GAP_MIN = 5 * SECOND;
/** A reading that is this much of an interval overdue is missing. */
const OVERDUE_INTERVALS = 1.5;

/** How long nothing may have been measured without being a gap. `width` is 0 for readings. */
export function gapLimit(points: readonly Point[], width: number, declared?: number): number {
  const interval = declared ?? usualDistance(points, width);
  const visible = width > 0 ? width / 2 : RAW_GAP_MIN;
  return Math.max(OVERDUE_INTERVALS * interval, visible);
}

/** How far points are apart, where nobody has said it: the median, if it is more than a bucket. */
function usualDistance(points: readonly Point[], width: number): number {
  const begins = points.map((point) => point.from);
  const distances = begins.slice(1).map((from, at) => from - (begins[at] ?? from));
  distances.sort((a, b) => a - b);
  const median = distances[Math.floor(distances.length / 2)] ?? 0;
  return median > width ? median : 0;
}

/**
 * Stretches of the span of which is known that nothing was measured: from the last reading of a
 * bucket to the next bucket with any. What lies after `now` is no gap.
 */
export function gaps(points: readonly Point[], span: Span, limit: number, now: number): Gap[] {
  const end = Math.min(span.until, now);
  const found: Gap[] = [];
  let silentFrom = span.from;
  for (const point of points) {
    if (point.from - silentFrom > limit) found.push({ from: silentFrom, until: point.from });
    silentFrom = Math.max(silentFrom, point.lastAt);
  }
  if (end - silentFrom > limit) found.push({ from: silentFrom, until: end });
  return found;
}

/** Columns as the chart takes them, with times in seconds; `null` where a line stops. */
export interface Columns {
  readonly at: number[];
  readonly mean: (number | null)[];
  readonly min: (number | null)[];
  readonly max: (number | null)[];
}

/** A row for each point, in the middle of its bucket, and an empty one in each gap between two. */
export function columns(points: readonly Point[], width: number, gaps: readonly Gap[]): Columns {
  const rows: Columns = { at: [], mean: [], min: [], max: [] };
  const push = (at: number, point: Point | null) => {
    rows.at.push(at / SECOND);
    rows.mean.push(point?.mean ?? null);
    rows.min.push(point?.min ?? null);
    rows.max.push(point?.max ?? null);
  };
  const silentUntil = new Set(gaps.map((gap) => gap.until));
  let before: number | undefined;
  for (const point of points) {
    const middle = point.from + width / 2;
    if (before !== undefined && silentUntil.has(point.from)) push((before + middle) / 2, null);
    push(middle, point);
    before = middle;
  }
  return rows;
}

/** The point that is shown at a time, or `undefined` in a gap. `reach` is half of what a point covers. */
export function pointAt(
  points: readonly Point[],
  at: number,
  width: number,
  reach: number,
): Point | undefined {
  let nearest: Point | undefined;
  let distance = Infinity;
  for (const point of points) {
    const away = Math.abs(point.from + width / 2 - at);
    if (away < distance) [nearest, distance] = [point, away];
  }
  return distance <= Math.max(width / 2, reach) ? nearest : undefined;
}

/** Of all readings in the points. */
export interface Summary {
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly last: number;
  readonly lastAt: number;
}

/** What the points come to; `undefined` if there are none. */
export function summary(points: readonly Point[]): Summary | undefined {
  const latest = points[points.length - 1];
  if (!latest) return undefined;
  let [count, total, min, max] = [0, 0, Infinity, -Infinity];
  for (const point of points) {
    count += point.count;
    total += point.mean * point.count;
    min = Math.min(min, point.min);
    max = Math.max(max, point.max);
  }
  return { count, min, max, mean: total / count, last: latest.last, lastAt: latest.lastAt };
}

/** How much of a span gaps take, and the longest. */
export function gapTotals(gaps: readonly Gap[]): {
  count: number;
  total: number;
  longest: Gap | undefined;
} {
  let total = 0;
  let longest: Gap | undefined;
  for (const gap of gaps) {
    const length = gap.until - gap.from;
    total += length;
    if (!longest || length > longest.until - longest.from) longest = gap;
  }
  return { count: gaps.length, total, longest };
}

/** An alert as a stretch of time; priority 3 is high, 2 medium, 1 low. */
export interface AlertSpan {
  readonly alertId: string;
  readonly ruleId: string;
  /** The vital's number; 0 for scores and equipment. */
  readonly vital: number;
  readonly priority: number;
  readonly from: number;
  /** When its condition ended; `undefined` while it lasts, or where that is not known. */
  readonly endedAt: number | undefined;
  readonly isOver: boolean;
  readonly isTechnical: boolean;
  readonly isRetrospective: boolean;
  readonly isUnconfirmed: boolean;
  /** The limit it had been raised by, in `unit`. */
  readonly limit: number | undefined;
  readonly unit: string;
}

/** Up to when an alert is drawn: its end; now, while it lasts; its onset, if nobody knows. */
export function drawnUntil(alert: AlertSpan, now: number): number {
  return alert.endedAt ?? (alert.isOver ? alert.from : now);
}

/** Alerts that touch the span, earliest first; of one onset the higher priority first. */
export function alertsIn(alerts: readonly AlertSpan[], span: Span, now: number): AlertSpan[] {
  const touches = (alert: AlertSpan) =>
    alert.from < span.until && drawnUntil(alert, now) >= span.from;
  const order = (a: AlertSpan, b: AlertSpan) => a.from - b.from || b.priority - a.priority;
  return alerts.filter(touches).sort(order);
}

/** One limit of a rule in force. */
export interface Limit {
  readonly ruleId: string;
  readonly priority: number;
  readonly value: number;
  readonly isUpper: boolean;
}

/** The scale that shows points, and limits that are near them: a limit far away would flatten the line. */
export function scale(
  points: readonly Point[],
  limits: readonly Limit[],
  least: number,
): [number, number] {
  const totals = summary(points);
  if (!totals) return limits.length ? padded(...bounds(limits), least) : [0, Math.max(1, least)];
  const reach = Math.max(totals.max - totals.min, least);
  const near = limits.filter(
    (limit) => limit.value > totals.min - reach && limit.value < totals.max + reach,
  );
  const [low, high] = near.length ? bounds(near) : [totals.min, totals.max];
  return padded(Math.min(totals.min, low), Math.max(totals.max, high), least);
}

function bounds(limits: readonly Limit[]): [number, number] {
  const values = limits.map((limit) => limit.value);
  return [Math.min(...values), Math.max(...values)];
}

function padded(low: number, high: number, least: number): [number, number] {
  const missing = Math.max(0, least - (high - low)) / 2;
  const air = Math.max(high - low, least) * 0.08;
  return [low - missing - air, high + missing + air];
}

/** One vital's part of what is shown, for a file. */
export interface Exported {
  readonly vital: string;
  readonly unit: string;
  readonly width: number;
  readonly points: readonly Point[];
}

/** What is shown, as a table for spreadsheets: a line for each bucket or reading, times in UTC. */
export function historyCsv(series: readonly Exported[]): string {
  const head =
    "vital,unit,from_utc,bucket_seconds,count,min,max,mean,last,last_measured_at_utc,remarks";
  const lines = series.flatMap(({ vital, unit, width, points }) =>
    points.map((point) =>
      [
        vital,
        unit,
        iso(point.from),
        width / SECOND,
        point.count,
        point.min,
        point.max,
        round(point.mean),
        point.last,
        iso(point.lastAt),
        point.remarks,
      ]
        .map(csvField)
        .join(","),
    ),
  );
  return [head, ...lines, ""].join("\r\n");
}

/** A field of CSV (RFC 4180). What a spreadsheet would take for a formula is put in quotes as text. */
export function csvField(value: string | number): string {
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const iso = (at: number) => new Date(at).toISOString();
const round = (value: number) => Math.round(value * 10_000) / 10_000;

/** `2026-01-31T08:15` in the reader's own time zone, as inputs of date and time take it. */
export function localInput(at: number): string {
  const local = new Date(at - new Date(at).getTimezoneOffset() * MINUTE);
  return local.toISOString().slice(0, 16);
}

/** The time that such an input says, or `undefined`. */
export function fromLocalInput(text: string): number | undefined {
  const at = new Date(text).getTime();
  return text && Number.isFinite(at) ? at : undefined;
}
