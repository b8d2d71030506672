import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";

import { EffectiveProfileSchema, Priority, Side } from "../src/gen/pulseward/v1/profile_pb";
import { Vital } from "../src/gen/pulseward/v1/reading_pb";
import { boundsOf, pulseRulesOf } from "../src/model/limits";

const { HIGH, LOW } = Priority;

function profile(notMonitoredBecause = "") {
  const levels = [
    { priority: LOW, limit: 110 },
    { priority: HIGH, limit: 150 },
  ];
  const value = { vital: Vital.HEART_RATE, side: Side.ABOVE, levels, coversPulseRate: true };
  const rule = { ruleId: "heart-rate-high", kind: { case: "limit" as const, value } };
  return create(EffectiveProfileSchema, { rules: [{ rule, notMonitoredBecause }] });
}

test("the limit that is reached first stands first, for each vital that a rule covers", () => {
  const bounds = boundsOf(profile());
  const expected = {
    low: [],
    high: [
      { limit: 110, priority: LOW },
      { limit: 150, priority: HIGH },
    ],
  };
  expect(bounds.get(Vital.HEART_RATE)).toEqual(expected);
  expect(bounds.get(Vital.PULSE_RATE)).toEqual(expected);
});

test("rules that cover the pulse rate are known by their ids", () => {
  expect(pulseRulesOf(profile())).toEqual(new Set(["heart-rate-high"]));
});

test("a limit of a rule that cannot fire is not shown as one that watches", () => {
  expect(boundsOf(profile("no device measures it")).size).toBe(0);
});
