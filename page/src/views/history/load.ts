/**
 * Asks the service for what the history view shows.
 *
 * Promises: everything is asked for in pages, and each has a bound that is told where it was reached.
 * Without readings there is no history; alerts, limits or bindings that can't be had leave theirs out
 * and say why.
 */
import { alerts, profiles, registry, vitals } from "../../api/clients";
import { words } from "../../api/errors";
import { type Alert, AlertKind } from "../../gen/pulseward/v1/alert_pb";
import { type EffectiveRule, Side } from "../../gen/pulseward/v1/profile_pb";
import { Vital } from "../../gen/pulseward/v1/reading_pb";
import type { Binding } from "../../gen/pulseward/v1/registry_pb";
import {
  type ReadingBucket,
  ReadingFlag,
  type StoredReading,
} from "../../gen/pulseward/v1/vitals_pb";
import {
  type AlertSpan,
  alertsIn,
  bucketWidth,
  type Gap,
  gapLimit,
  gaps,
  isRaw,
  type Limit,
  type Point,
  RAW_READINGS_MAX,
  type Span,
} from "../../model/history";
import { millis, spanMillis, timestamp } from "../../words/times";
import { flagWords, vitalWords } from "../../words/vitals";

/** Rows of one answer, the most that the service gives. */
const PAGE_SIZE = 10_000;
/** More than any screen has pixels for, with all vitals chosen. */
const BUCKETS_MAX = 50_000;
/** Alerts of one patient beyond which the earliest are left out, and that is said. */
export const ALERTS_MAX = 2_000;
/** How long before the span an alert may have begun to be found, unless it is still open. */
const ONSET_BEFORE_MAX = 31 * 86_400_000;
/** Bindings of one patient that are looked at: a device a day for half a year. */
const BINDINGS_MAX = 200;

/** One vital over the span. */
export interface Series {
  readonly vital: Vital;
  /** Width of its buckets; 0: each reading for itself. */
  readonly width: number;
  readonly points: readonly Point[];
  readonly gaps: readonly Gap[];
  /** How long nothing may have been measured without being a gap. */
  readonly gapLimit: number;
  /** How often it is measured, where the devices' bindings say so. */
  readonly interval: number | undefined;
  readonly limits: readonly Limit[];
}

/** What is shown. */
export interface History {
  readonly span: Span;
  readonly askedAt: number;
  readonly series: readonly Series[];
  readonly alerts: readonly AlertSpan[];
  readonly areAlertsCut: boolean;
  /** There were too many readings to show each. */
  readonly isTooDense: boolean;
  /** What could not be had, in words. */
  readonly missing: readonly string[];
}

/** What is asked for. */
export interface Wanted {
  readonly patientId: string;
  readonly vitals: readonly Vital[];
  readonly span: Span;
  readonly pixels: number;
  readonly now: number;
}

/** The vitals that were ever measured of a patient, in the order of the contract. */
export async function measuredVitals(patientId: string, signal: AbortSignal): Promise<Vital[]> {
  const { readings } = await vitals().getLatestVitals({ patientId }, { signal });
  return readings.map((reading) => reading.vital);
}

/** Everything that is shown of a span. */
export async function loadHistory(wanted: Wanted, signal: AbortSignal): Promise<History> {
  const missing: string[] = [];
  const orMissing = async <T>(what: string, asked: Promise<T>, without: T): Promise<T> => {
    try {
      return await asked;
    } catch (failure) {
      if (!signal.aborted) missing.push(`${what}: ${words(failure)}`);
      return without;
    }
  };
  const noAlerts = { alerts: [] as Alert[], isCut: false };
  const [measured, found, rules, bindings] = await Promise.all([
    measure(wanted, signal),
    orMissing("Alerts are not shown", alertsOf(wanted, signal), noAlerts),
    orMissing("Limits are not shown", rulesOf(wanted.patientId, signal), []),
    orMissing("How often is measured is not known", bindingsOf(wanted, signal), []),
  ]);
  for (const vital of wanted.vitals) {
    if (measured.parts.some((part) => part.vital === vital)) continue;
    missing.push(
      `${vitalWords(vital).name} has too many readings in this span. Choose less of it.`,
    );
  }
  const series = measured.parts.map((part): Series => {
    const interval = intervalOf(bindings, part.vital, wanted.span);
    const limit = gapLimit(part.points, part.width, interval);
    return {
      ...part,
      interval,
      gapLimit: limit,
      gaps: gaps(part.points, wanted.span, limit, wanted.now),
      limits: rules.flatMap((rule) => limitsOf(rule, part.vital)),
    };
  });
  return {
    span: wanted.span,
    askedAt: wanted.now,
    series,
    alerts: alertsIn(found.alerts.map(alertSpan), wanted.span, wanted.now),
    areAlertsCut: found.isCut,
    isTooDense: measured.isTooDense,
    missing,
  };
}

type Part = Pick<Series, "vital" | "width" | "points">;

/** Readings of a short span, buckets of a longer one, or of a short one with too many readings. */
async function measure(wanted: Wanted, signal: AbortSignal) {
  const quantities = wanted.vitals.filter((vital) => vital !== Vital.CONSCIOUSNESS);
  const levels = wanted.vitals.filter((vital) => vital === Vital.CONSCIOUSNESS);
  const [levelParts, quantityParts] = await Promise.all([
    readings(wanted, levels, signal),
    isRaw(wanted.span) ? readings(wanted, quantities, signal) : undefined,
  ]);
  const shown = quantityParts ?? (await buckets(wanted, quantities, signal));
  const parts = [...shown, ...(levelParts ?? [])];
  return { parts, isTooDense: isRaw(wanted.span) && !quantityParts };
}

/** Each reading for itself; `undefined` if there are too many. */
async function readings(
  { patientId, span }: Wanted,
  asked: readonly Vital[],
  signal: AbortSignal,
): Promise<Part[] | undefined> {
  if (asked.length === 0) return [];
  const from = timestamp(span.from);
  const until = timestamp(span.until);
  const request = { patientId, vitals: [...asked], from, until, pageSize: PAGE_SIZE };
  const all: StoredReading[] = [];
  for (let pageToken = ""; ; ) {
    const page = await vitals().listReadings({ ...request, pageToken }, { signal });
    all.push(...page.readings);
    pageToken = page.nextPageToken;
    if (all.length > RAW_READINGS_MAX) return undefined;
    if (pageToken === "") break;
  }
  return asked.map((vital) => ({
    vital,
    width: 0,
    points: all.filter((reading) => reading.vital === vital).flatMap(readingPoint),
  }));
}

/** The same that buckets leave out: what was not measured on the patient. */
const NOT_OF_THE_PATIENT = [ReadingFlag.TEST, ReadingFlag.DEMO, ReadingFlag.NO_SENSOR];

function readingPoint(reading: StoredReading): Point[] {
  const { value } = reading;
  if (value.case !== "quantity" && value.case !== "consciousness") return [];
  if (reading.flags.some((flag) => NOT_OF_THE_PATIENT.includes(flag))) return [];
  const from = millis(reading.measuredAt) ?? 0;
  const remarks = reading.flags.map(flagWords).join(", ");
  const of = value.value;
  return [{ from, lastAt: from, count: 1, min: of, max: of, mean: of, last: of, remarks }];
}

async function buckets(
  { patientId, span, pixels }: Wanted,
  asked: readonly Vital[],
  signal: AbortSignal,
): Promise<Part[]> {
  if (asked.length === 0) return [];
  const width = bucketWidth(span, pixels);
  const bucket = { seconds: BigInt(width / 1000), nanos: 0 };
  const from = timestamp(span.from);
  const until = timestamp(span.until);
  const request = { patientId, vitals: [...asked], from, until, bucket, pageSize: PAGE_SIZE };
  const all: ReadingBucket[] = [];
  for (let pageToken = ""; ; ) {
    const page = await vitals().aggregateReadings({ ...request, pageToken }, { signal });
    all.push(...page.buckets);
    pageToken = page.nextPageToken;
    if (pageToken === "" || all.length >= BUCKETS_MAX) break;
  }
  return asked.map((vital) => ({
    vital,
    width,
    points: all.filter((bucket) => bucket.vital === vital).map(bucketPoint),
  }));
}

function bucketPoint(bucket: ReadingBucket): Point {
  const from = millis(bucket.from) ?? 0;
  const { min, max, mean, last } = bucket;
  const lastAt = millis(bucket.lastMeasuredAt) ?? from;
  return { from, lastAt, count: Number(bucket.count), min, max, mean, last, remarks: "" };
}

/** Alerts with their onset in the span or in the month before, and those that are open. */
async function alertsOf({ patientId, span }: Wanted, signal: AbortSignal) {
  const filter = { patientIds: [patientId] };
  const until = timestamp(span.until);
  const recent = { filter, from: timestamp(span.from - ONSET_BEFORE_MAX), until, pageSize: 1_000 };
  const open = { filter, openOnly: true, until, pageSize: 1_000 };
  const [past, now] = await Promise.all([alertPages(recent, signal), alertPages(open, signal)]);
  const byId = new Map([...past.alerts, ...now.alerts].map((alert) => [alert.alertId, alert]));
  return { alerts: [...byId.values()], isCut: past.isCut || now.isCut };
}

type AlertsRequest = Parameters<ReturnType<typeof alerts>["listAlerts"]>[0];

async function alertPages(request: AlertsRequest, signal: AbortSignal) {
  const found: Alert[] = [];
  for (let pageToken = ""; ; ) {
    const page = await alerts().listAlerts({ ...request, pageToken }, { signal });
    found.push(...page.alerts);
    pageToken = page.nextPageToken;
    if (pageToken === "") return { alerts: found, isCut: false };
    if (found.length >= ALERTS_MAX) return { alerts: found, isCut: true };
  }
}

function alertSpan(alert: Alert): AlertSpan {
  return {
    alertId: alert.alertId,
    ruleId: alert.ruleId,
    vital: alert.vital,
    priority: alert.priority,
    from: millis(alert.onsetAt) ?? millis(alert.raisedAt) ?? 0,
    endedAt: millis(alert.endedAt),
    isOver: alert.closed,
    isTechnical: alert.kind === AlertKind.TECHNICAL,
    isRetrospective: alert.retrospective,
    isUnconfirmed: alert.unconfirmed,
    limit: alert.limit,
    unit: alert.unit,
  };
}

async function rulesOf(patientId: string, signal: AbortSignal): Promise<EffectiveRule[]> {
  return (await profiles().getEffectiveProfile({ patientId }, { signal })).rules;
}

/** Limits of a vital itself; trends, baselines and scores have none that could be drawn. */
function limitsOf({ rule, notMonitoredBecause }: EffectiveRule, vital: Vital): Limit[] {
  // Nobody is to lean on a limit that cannot fire.
  if (rule?.kind.case !== "limit" || notMonitoredBecause !== "") return [];
  const { value } = rule.kind;
  const isCovered = value.coversPulseRate && vital === Vital.PULSE_RATE;
  if (value.vital !== vital && !isCovered) return [];
  return value.levels.map((level) => ({
    ruleId: rule.ruleId,
    priority: level.priority,
    value: level.limit,
    isUpper: value.side === Side.ABOVE,
  }));
}

async function bindingsOf({ patientId, span }: Wanted, signal: AbortSignal): Promise<Binding[]> {
  const of = { case: "patientId", value: patientId } as const;
  const found: Binding[] = [];
  for (let pageToken = ""; ; ) {
    const page = await registry().listBindings({ of, pageSize: 100, pageToken }, { signal });
    found.push(...page.bindings);
    pageToken = page.nextPageToken;
    const isPast = found.some((binding) => (millis(binding.from) ?? 0) < span.from);
    if (pageToken === "" || isPast || found.length >= BINDINGS_MAX) return found;
  }
}

/** The shortest interval at which a device worn in the span measures a vital. */
function intervalOf(bindings: readonly Binding[], vital: Vital, span: Span): number | undefined {
  const worn = bindings.filter((binding) => {
    const from = millis(binding.from) ?? 0;
    const until = millis(binding.until) ?? Infinity;
    return from < span.until && until > span.from;
  });
  const declared = worn.flatMap((binding) => binding.schedule?.expectedIntervals ?? []);
  const intervals = declared
    .filter((expected) => expected.vital === vital)
    .map((expected) => spanMillis(expected.interval) ?? Infinity);
  return intervals.length > 0 ? Math.min(...intervals) : undefined;
}
