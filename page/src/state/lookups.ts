/**
 * What the streams do not tell, asked for one patient after the other once they are in sight: the
 * limits in force, and means of the last minutes to begin the trend lines with.
 *
 * Each call stands on the service's record and counts towards the caller's limit, so that few are
 * open at a time, and limits are asked for again only when they may have changed, or are old.
 */
import { type Signal, signal } from "@preact/signals";

import { profiles, vitals as vitalsClient } from "../api/clients";
import type { EffectiveProfile } from "../gen/pulseward/v1/profile_pb";
import type { Vital } from "../gen/pulseward/v1/reading_pb";
import { type Bounds, boundsOf, pulseRulesOf } from "../model/limits";
import { TREND_MS } from "../model/vitals";
import { patientKey } from "../model/ward";
import { millis, timestamp } from "../words/times";
import { QUANTITY_VITALS } from "../words/vitals";
import { now, steady } from "./clock";
import { cellOf, vitals } from "./ward";

const OPEN_MAX = 3;
/** Nothing streams a change of limits: what is in sight is asked for again after this long. */
const LIMITS_KEPT_MS = 5 * 60_000;
/** After a failure. */
const LIMITS_AGAIN_MS = 20_000;
const TIMEOUT_MS = 10_000;

/** The limits of a patient, as they were told last. */
export interface Limits {
  profile: EffectiveProfile;
  bounds: Map<Vital, Bounds>;
  pulseRules: ReadonlySet<string>;
}

interface Known {
  limits: Signal<Limits | undefined>;
  /** When limits are to be asked for again. */
  dueAt: number;
  hasMeans: boolean;
}

const patients = new Map<string, Known>();
/** Limits come before trends: what a value means matters more than how it went. */
const queues: { limits: (() => Promise<void>)[]; means: (() => Promise<void>)[] } = {
  limits: [],
  means: [],
};
let open = 0;

/** The limits of a patient; undefined until they were told. */
export function limitsOf(patientId: string): Signal<Limits | undefined> {
  return known(patientId).limits;
}

/** A patient came in sight: asks for what is not known of them yet. */
export function wanted(patientId: string): void {
  const it = known(patientId);
  if (steady() >= it.dueAt) askLimits(patientId, it);
  if (!it.hasMeans) {
    it.hasMeans = true;
    later("means", () => askMeans(patientId));
  }
}

/** Limits may have changed: they are asked for again, those in sight at the next look. */
export function limitsChanged(patientId?: string): void {
  for (const [id, it] of patients) {
    if (patientId === undefined || id === patientId) it.dueAt = Number.NEGATIVE_INFINITY;
  }
}

/** A patient is no longer shown; or nobody, where none is named. */
export function forgetLimits(patientId?: string): void {
  if (patientId === undefined) patients.clear();
  else patients.delete(patientId);
}

/** Looks at the clock: asks again for limits in sight that are due. */
export function limitsGoOn(): void {
  const at = steady();
  for (const [id, it] of patients) {
    if (at >= it.dueAt && cellOf(patientKey(id)).isInSight) askLimits(id, it);
  }
}

function known(patientId: string): Known {
  const it = patients.get(patientId) ?? {
    limits: signal<Limits | undefined>(undefined),
    dueAt: Number.NEGATIVE_INFINITY,
    hasMeans: false,
  };
  patients.set(patientId, it);
  return it;
}

function askLimits(patientId: string, it: Known): void {
  it.dueAt = Number.POSITIVE_INFINITY;
  later("limits", async () => {
    it.dueAt = steady() + LIMITS_AGAIN_MS;
    const profile = await profiles().getEffectiveProfile({ patientId }, { timeoutMs: TIMEOUT_MS });
    it.dueAt = steady() + LIMITS_KEPT_MS;
    it.limits.value = { profile, bounds: boundsOf(profile), pulseRules: pulseRulesOf(profile) };
    cellOf(patientKey(patientId)).changed();
  });
}

async function askMeans(patientId: string): Promise<void> {
  const until = now.peek();
  const answer = await vitalsClient().aggregateReadings(
    {
      patientId,
      vitals: [...QUANTITY_VITALS],
      from: timestamp(until - TREND_MS),
      until: timestamp(until),
      bucket: { seconds: 60n, nanos: 0 },
    },
    { timeoutMs: TIMEOUT_MS },
  );
  const points = new Map<Vital, { at: number; quantity: number }[]>();
  for (const bucket of answer.buckets) {
    const from = millis(bucket.from) ?? 0;
    const at = Math.min(from + 30_000, millis(bucket.lastMeasuredAt) ?? from);
    const of = points.get(bucket.vital) ?? [];
    points.set(bucket.vital, of);
    of.push({ at, quantity: bucket.mean });
  }
  for (const [vital, of] of points) vitals.track(patientId, vital).prependMeans(of);
  cellOf(patientKey(patientId)).changed();
}

/** Does this once few enough others are open. What fails is not there: the page says what it lacks. */
function later(queue: keyof typeof queues, what: () => Promise<void>): void {
  queues[queue].push(what);
  next();
}

function next(): void {
  const what = open < OPEN_MAX ? (queues.limits.shift() ?? queues.means.shift()) : undefined;
  if (what === undefined) return;
  open += 1;
  what()
    .catch(() => undefined)
    .finally(() => {
      open -= 1;
      next();
    });
}
