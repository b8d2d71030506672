/** Which vitals stand on a tile, in which order. */
import type { Alert } from "../../gen/pulseward/v1/alert_pb";
import type { Priority } from "../../gen/pulseward/v1/profile_pb";
import { Vital } from "../../gen/pulseward/v1/reading_pb";
import type { StoredReading } from "../../gen/pulseward/v1/vitals_pb";
import type { Track } from "../../model/vitals";
import { millis } from "../../words/times";
import { absentWords, isDoubted, valueWords } from "../../words/vitals";

/** One figure of a tile: a vital, or a pair of pressures. */
export interface Figure {
  vital: Vital;
  track: Track;
  /** The diastolic pressure beside the systolic one. */
  second: Track | undefined;
  /** The worst open alert about it. */
  alert: Alert | undefined;
}

/** As a monitor has them, from the left. */
const ORDER = [
  Vital.HEART_RATE,
  Vital.PULSE_RATE,
  Vital.SPO2,
  Vital.RESPIRATORY_RATE,
  Vital.SYSTOLIC_PRESSURE,
  Vital.MEAN_PRESSURE,
  Vital.BODY_TEMPERATURE,
  Vital.BLOOD_GLUCOSE,
  Vital.CONSCIOUSNESS,
  Vital.OXYGEN_FLOW,
  Vital.WEIGHT,
  Vital.SKIN_TEMPERATURE,
  Vital.PERFUSION_INDEX,
  Vital.STEPS,
];

/**
 * All figures of a patient, by their open alerts (the worst first). Alerts of `pulseRules` about the
 * heart rate come from the pulse rate where nothing else is measured.
 */
export function figures(
  tracks: readonly [Vital, Track][],
  alerts: readonly Alert[],
  pulseRules: ReadonlySet<string> = new Set(),
): Figure[] {
  const of = new Map(tracks.filter(([, track]) => track.newest !== undefined));
  const hasHeartRate = of.has(Vital.HEART_RATE);
  const isOfPulse = ({ vital, ruleId }: Alert) =>
    vital === Vital.HEART_RATE && !hasHeartRate && pulseRules.has(ruleId);
  const all: Figure[] = [];
  for (const vital of [...ORDER, ...of.keys()]) {
    const track = of.get(vital);
    if (track === undefined) continue;
    const pair = vital === Vital.SYSTOLIC_PRESSURE ? Vital.DIASTOLIC_PRESSURE : undefined;
    const second = pair === undefined ? undefined : of.get(pair);
    const alert = alerts.find(
      (it) =>
        it.vital === vital || it.vital === pair || (vital === Vital.PULSE_RATE && isOfPulse(it)),
    );
    all.push({ vital, track, second, alert });
    of.delete(vital);
    if (pair !== undefined) of.delete(pair);
  }
  return withoutTwins(all);
}

/** What a figure says of its newest measurement. */
export interface Saying {
  /** `128/74?` */
  value: string;
  /** Why something of it has no value; undefined if nothing lacks. */
  why: string | undefined;
}

/** A pair says both of one measurement; what was measured at another time is none of it. */
export function sayingOf({ track, second }: Figure): Saying {
  const first = track.newest;
  const beside = isSameMeasurement(first, second?.newest) ? second?.newest : undefined;
  const readings = [first, beside].filter((it) => it !== undefined);
  const words = (it: StoredReading | undefined) => (it === undefined ? "--" : valueWords(it));
  const value = second === undefined ? words(first) : `${words(first)}/${words(beside)}`;
  return {
    value: `${value}${readings.some(isDoubted) ? "?" : ""}`,
    why: readings.map(absentWords).find((it) => it !== undefined),
  };
}

/** The number of a measurement is 0 where it is not told, as when a stream begins. */
function isSameMeasurement(a: StoredReading | undefined, b: StoredReading | undefined): boolean {
  return (
    a !== undefined &&
    b !== undefined &&
    millis(a.measuredAt) === millis(b.measuredAt) &&
    a.deviceId === b.deviceId &&
    (a.measurementId === b.measurementId || a.measurementId === 0 || b.measurementId === 0)
  );
}

/** The most urgent ones where there is room for a few only, still in their order. */
export function mostUrgent(all: readonly Figure[], count: number): Figure[] {
  const rank = (it: Figure): Priority => it.alert?.priority ?? 0;
  const chosen = new Set([...all].sort((a, b) => rank(b) - rank(a)).slice(0, count));
  return all.filter((it) => chosen.has(it));
}

/** Pulse rate says the same as heart rate, unless it has an alert of its own. */
function withoutTwins(all: Figure[]): Figure[] {
  const hasHeartRate = all.some((it) => it.vital === Vital.HEART_RATE);
  return all.filter(
    (it) => it.vital !== Vital.PULSE_RATE || !hasHeartRate || it.alert !== undefined,
  );
}
