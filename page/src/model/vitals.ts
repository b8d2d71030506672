/**
 * The newest reading of each vital of a patient, and how it went.
 *
 * Pure. A sensor that gives no value is a gap in the line, not the value before it; so is a time in
 * which nothing came. What is kept is bounded by time and by number.
 */
import type { Vital } from "../gen/pulseward/v1/reading_pb";
import type { StoredReading } from "../gen/pulseward/v1/vitals_pb";
import { millis } from "../words/times";

/** How far back a trend goes. */
export const TREND_MS = 10 * 60_000;
/** A device that measures each second, for as long as a trend goes. */
const POINTS_MAX = 600;

/** How one vital of one patient went. */
export class Track {
  newest: StoredReading | undefined;
  /** When it was measured, milliseconds since 1970. */
  measuredAt: number | undefined;
  /** Oldest first; NaN where the sensor gave no quantity. */
  readonly times: number[] = [];
  readonly quantities: number[] = [];
  /** Up to here the line is made of means of minutes, not of readings. */
  meansUntil = Number.NEGATIVE_INFINITY;

  /** Takes a reading; one that is known already, or older, changes nothing. */
  push(reading: StoredReading): boolean {
    const at = millis(reading.measuredAt);
    if (at === undefined || (this.measuredAt !== undefined && at <= this.measuredAt)) return false;
    this.newest = reading;
    this.measuredAt = at;
    const quantity = reading.value.case === "quantity" ? reading.value.value : Number.NaN;
    this.times.push(at);
    this.quantities.push(Number.isFinite(quantity) ? quantity : Number.NaN);
    this.forget(at - TREND_MS);
    return true;
  }

  /** Puts means of what was before in front of what is known. */
  prependMeans(points: readonly { at: number; quantity: number }[]): void {
    const first = this.times[0] ?? Number.POSITIVE_INFINITY;
    const older = points.filter((it) => it.at < first).sort((a, b) => a.at - b.at);
    this.times.unshift(...older.map((it) => it.at));
    this.quantities.unshift(...older.map((it) => it.quantity));
    this.meansUntil = older.at(-1)?.at ?? this.meansUntil;
    this.forget(Number.NEGATIVE_INFINITY);
  }

  private forget(before: number): void {
    let gone = Math.max(0, this.times.length - POINTS_MAX);
    while (gone < this.times.length && (this.times[gone] ?? before) < before) gone += 1;
    if (gone === 0) return;
    this.times.splice(0, gone);
    this.quantities.splice(0, gone);
  }
}

/** All vitals of the patients who are shown. */
export class Vitals {
  private readonly of = new Map<string, Map<Vital, Track>>();

  /** Takes a reading. Whether it changed anything. */
  push(patientId: string, reading: StoredReading): boolean {
    return this.track(patientId, reading.vital).push(reading);
  }

  /** A patient's tracks, by the vitals' numbers. */
  tracks(patientId: string): [Vital, Track][] {
    const tracks = this.of.get(patientId);
    return tracks === undefined ? [] : [...tracks].sort(([a], [b]) => a - b);
  }

  /** The track of a patient's vital; made if there is none. */
  track(patientId: string, vital: Vital): Track {
    const tracks = this.of.get(patientId) ?? new Map<Vital, Track>();
    this.of.set(patientId, tracks);
    const track = tracks.get(vital) ?? new Track();
    tracks.set(vital, track);
    return track;
  }

  /** Keeps those of these patients only. */
  keep(patients: ReadonlyMap<string, unknown>): void {
    for (const id of this.of.keys()) if (!patients.has(id)) this.of.delete(id);
  }

  /** The patient is no longer shown. */
  leave(patientId: string): void {
    this.of.delete(patientId);
  }
}
