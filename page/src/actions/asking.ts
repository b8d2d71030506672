/**
 * Which dialog is open about which alert, and why an action may not be asked for.
 */
import { signal } from "@preact/signals";

import { mayNotAct } from "../api/session";
import { type Alert, ConditionState, SignalState } from "../gen/pulseward/v1/alert_pb";
import { announce } from "../ui/announcer";
import type { Task } from "./perform";

/** What is being asked; the alert as it stood when the dialog was opened. */
export const asking = signal<{ task: Task; seen: Alert } | undefined>(undefined);

/** Asks, or says why not. */
export function ask(task: Task, seen: Alert | undefined): void {
  if (seen === undefined) return;
  const why = whyNot(task, seen);
  if (why === undefined) asking.value = { task, seen };
  else announce(why, "assertive");
}

/** Why this may not be done to the alert as it stands; undefined if it may. */
export function whyNot(task: Task, alert: Alert): string | undefined {
  if (mayNotAct.value !== undefined) return mayNotAct.value;
  if (alert.closed) return "It is over.";
  if (task === "acknowledge" && alert.signal === SignalState.ACKNOWLEDGED) {
    return "It is acknowledged.";
  }
  const isEnded = alert.condition === ConditionState.INACTIVE;
  if ((task === "acknowledge" || task === "pause") && isEnded) {
    return "Its condition has ended: reset it.";
  }
  if (task === "reset" && !isEnded) {
    return "Its condition still holds: there is nothing to reset yet.";
  }
  return undefined;
}

/** As on a button. */
export const TASKS: Record<Task, { name: string; key: string; done: string; title: string }> = {
  acknowledge: { name: "Acknowledge", key: "a", done: "acknowledged", title: "Acknowledge" },
  pause: { name: "Pause", key: "p", done: "paused", title: "Pause the signal" },
  reset: { name: "Reset", key: "r", done: "reset", title: "Reset" },
  assign: { name: "Assign", key: "s", done: "assigned", title: "Assign" },
  note: { name: "Note", key: "n", done: "noted", title: "Add a note" },
};
