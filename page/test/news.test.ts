import { expect, test } from "vitest";

import type { Alert } from "../src/gen/pulseward/v1/alert_pb";
import { type News, newsOf } from "../src/model/news";
import * as made from "./made";

const { HIGH, LOW } = made.Priority;
const { AlertPhase, SignalState } = made;

function news(
  phase: made.AlertPhase,
  also: Partial<Alert> = {},
  priority: made.Priority = HIGH,
): News | undefined {
  const { message } = made.event("1", made.alert("1", "a", priority, also), phase);
  const change = message.case === "event" ? message.value.change : undefined;
  return change?.case === "alert" ? newsOf(change.value) : undefined;
}

test("what calls is told when it begins, becomes worse, comes back, or waits too long", () => {
  const { START, ESCALATE, RESUME, REMIND } = AlertPhase;
  for (const phase of [START, ESCALATE, RESUME, REMIND]) {
    expect(news(phase)).toMatchObject({ kind: "calls", isHigh: true });
    expect(news(phase, {}, LOW)).toMatchObject({ kind: "calls", isHigh: false });
  }
  for (const phase of [AlertPhase.ACKNOWLEDGE, AlertPhase.END, AlertPhase.UPDATE]) {
    expect(news(phase)).toBeUndefined();
  }
});

test("what does not call is not told", () => {
  const { PAUSED, ACKNOWLEDGED, OFF } = SignalState;
  for (const signal of [PAUSED, ACKNOWLEDGED, OFF]) {
    expect(news(AlertPhase.START, { signal })).toBeUndefined();
    expect(news(AlertPhase.ESCALATE, { signal })).toBeUndefined();
  }
});

test("what late readings would have raised is counted", () => {
  const also = { retrospective: true, closed: true, signal: SignalState.OFF };
  expect(news(AlertPhase.START, also)).toEqual({ kind: "past" });
});
