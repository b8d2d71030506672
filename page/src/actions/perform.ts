/**
 * What is asked of the service about one alert, and its answers.
 *
 * Acknowledging, pausing, resetting and assigning carry the etag of the alert as it was seen, so that
 * what has escalated since is never answered unseen. A refusal is shown and not tried again: what to
 * do then is for people to say. Only an answer that got lost is asked for again, under the same
 * request id, which does nothing twice. What cannot be a refusal by the service is no answer.
 */
import { ConnectError } from "@connectrpc/connect";

import { alerts } from "../api/clients";
import {
  isAtTheDoor,
  isDefinite,
  isWorthRepeating,
  reasonOf,
  retryAfter,
  words,
} from "../api/errors";
import type { Alert } from "../gen/pulseward/v1/alert_pb";
import { clockTime } from "../words/times";

export type Task = "acknowledge" | "pause" | "reset" | "assign" | "note";

/** What is to be done to an alert as it was seen. */
export interface Intent {
  task: Task;
  seen: Alert;
  /** A note; for a pause, why. */
  note: string;
  /** For a pause. */
  minutes: number;
  /** For an assignment; empty for nobody. */
  assignee: string;
}

/** What became of it. */
export type Outcome =
  | { kind: "done" }
  /** Why not, and the service's reason. */
  | { kind: "refused"; reason: string; words: string }
  /** No answer: it may have been done or not. */
  | { kind: "unknown"; words: string };

/** As the service takes them, in bytes of UTF-8. */
export const REASON_BYTES_MAX = 500;
export const NOTE_BYTES_MAX = 2000;
export const ASSIGNEE_BYTES_MAX = 200;

/** For one attempt: whoever waits at a screen wants to know. */
const TIMEOUT_MS = 5000;
const PAUSES_MS = [300, 900, 2000];
/** Requests of which an attempt had no answer. */
const lost = new Set<string>();

/**
 * Sends it, and asks again under the same id while no answer comes and it has not `ended`. What is on
 * its way then is waited for: it may be done.
 */
export async function perform(
  intent: Intent,
  requestId: string,
  ended: AbortSignal,
): Promise<Outcome> {
  let mayBeDone = lost.has(requestId);
  for (let attempt = 0; ; attempt += 1) {
    try {
      await send(intent, requestId);
      return { kind: "done" };
    } catch (failure) {
      const pause = isWorthRepeating(failure) ? PAUSES_MS[attempt] : undefined;
      if (!isDefinite(failure)) mayBeDone = true;
      if (mayBeDone) lost.add(requestId);
      if (pause !== undefined) await rest(retryAfter(failure) ?? pause, ended);
      if (pause !== undefined && !ended.aborted) continue;
      const isKnown = isDefinite(failure) && !(mayBeDone && isAtTheDoor(failure));
      return isKnown ? refusal(failure) : { kind: "unknown", words: words(failure) };
    }
  }
}

function rest(milliseconds: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (ended.aborted) resolve();
    setTimeout(resolve, milliseconds);
    ended.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** An id that nobody else has; also where the page is not served over TLS. */
export function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (it) => it.toString(16).padStart(2, "0")).join("");
}

/** What is wrong with what was typed; undefined if nothing. */
export function complaint({ task, note, assignee }: Intent): string | undefined {
  const noteMax = task === "note" ? NOTE_BYTES_MAX : REASON_BYTES_MAX;
  if (task === "note" && note.trim() === "") return "Say something.";
  if (task === "pause" && note.trim() === "") return "Say why.";
  if (bytes(note.trim()) > noteMax) return `Too long: ${noteMax} bytes are the most.`;
  if (bytes(assignee.trim()) > ASSIGNEE_BYTES_MAX) return "This is too long for a name.";
  return undefined;
}

function bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

async function send(intent: Intent, requestId: string): Promise<unknown> {
  const { alertId, etag } = intent.seen;
  const note = intent.note.trim();
  const options = { timeoutMs: TIMEOUT_MS };
  switch (intent.task) {
    case "acknowledge":
      return alerts().acknowledgeAlert({ alertId, etag, note, requestId }, options);
    case "pause": {
      const duration = { seconds: BigInt(Math.round(intent.minutes * 60)), nanos: 0 };
      return alerts().pauseAlert({ alertId, etag, duration, note, requestId }, options);
    }
    case "reset":
      return alerts().resetAlert({ alertId, etag, requestId }, options);
    case "assign": {
      const assignee = intent.assignee.trim();
      return alerts().assignAlert({ alertId, etag, assignee, requestId }, options);
    }
    case "note":
      return alerts().addAlertNote({ alertId, note, requestId }, options);
  }
}

function refusal(failure: unknown): Outcome {
  const info = reasonOf(failure);
  const reason = info?.reason ?? "";
  if (reason === "ALERT_ACKNOWLEDGED") {
    return { kind: "refused", reason, words: acknowledgedBy(info?.metadata ?? {}) };
  }
  return { kind: "refused", reason, words: words(ConnectError.from(failure)) };
}

function acknowledgedBy({ by, at }: Record<string, string>): string {
  const time = at === undefined ? Number.NaN : Date.parse(at);
  const when = Number.isNaN(time) ? "" : ` at ${clockTime(time)}`;
  return `It was acknowledged by ${by || "somebody"}${when} before.`;
}
