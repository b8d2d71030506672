/**
 * The limits of a patient's vitals, from the rules in force.
 *
 * Pure. Only limit rules have a number to show beside a value; trends, baselines, scores and the rest
 * are told in the list of rules.
 */
import {
  type EffectiveProfile,
  type EffectiveRule,
  type LimitRule,
  type Priority,
  Side,
} from "../gen/pulseward/v1/profile_pb";
import { Vital } from "../gen/pulseward/v1/reading_pb";

/** One limit: a value strictly beyond it breaches. */
export interface Limit {
  limit: number;
  priority: Priority;
}

/** The limits of one vital; the first of each side is the one that is reached first. */
export interface Bounds {
  low: Limit[];
  high: Limit[];
}

/** Limits by vital. Rules that cannot fire are left out: nobody is to lean on them. */
export function boundsOf(profile: EffectiveProfile): Map<Vital, Bounds> {
  const all = new Map<Vital, Bounds>();
  for (const rule of profile.rules) {
    if (rule.notMonitoredBecause === "") addRule(all, rule);
  }
  for (const bounds of all.values()) {
    bounds.low.sort((a, b) => b.limit - a.limit);
    bounds.high.sort((a, b) => a.limit - b.limit);
  }
  return all;
}

/** The rules whose alerts about the heart rate may come from the pulse rate. */
export function pulseRulesOf(profile: EffectiveProfile): Set<string> {
  const covering = profile.rules.filter(
    ({ rule }) => rule?.kind.case === "limit" && vitalsOf(rule.kind.value).length > 1,
  );
  return new Set(covering.map(({ rule }) => rule?.ruleId ?? ""));
}

function addRule(all: Map<Vital, Bounds>, { rule }: EffectiveRule): void {
  if (rule?.kind.case !== "limit") return;
  const limit = rule.kind.value;
  for (const vital of vitalsOf(limit)) {
    const bounds = all.get(vital) ?? { low: [], high: [] };
    all.set(vital, bounds);
    const side = limit.side === Side.BELOW ? bounds.low : bounds.high;
    side.push(...limit.levels.map((it) => ({ limit: it.limit, priority: it.priority })));
  }
}

function vitalsOf(limit: LimitRule): Vital[] {
  const covers = limit.coversPulseRate && limit.vital === Vital.HEART_RATE;
  return covers ? [Vital.HEART_RATE, Vital.PULSE_RATE] : [limit.vital];
}
