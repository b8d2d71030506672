/**
 * Sending refused messages through again: looking up what the registry says now, for a dry run; and
 * the sending itself, in parts, each repeated under its own id until there is an answer.
 */
import { Code, ConnectError } from "@connectrpc/connect";

import { ingest, registry } from "../../api/clients";
import { isWorthRepeating, retryAfter, words } from "../../api/errors";
import {
  chunks,
  REDRIVEN_AT_ONCE,
  type Refused,
  type Registered,
  type Result,
  readingsTopic,
  results,
} from "../../model/refused";
import { millis } from "../../words/times";
import { refused } from "./load";

/** Devices that a dry run looks up; of the messages of others nothing is foretold. */
const LOOKED_UP_MAX = 50;
/** How often a part is asked for; a message goes through at most once, however often. */
const ATTEMPTS_MAX = 4;
const PAUSE_MS = 700;

/** What the registry says now of the devices that the messages name. */
export async function lookUp(
  messages: readonly Refused[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Registered>> {
  const named = messages.flatMap((message) => readingsTopic(message.topic)?.deviceId ?? []);
  const found = new Map<string, Registered>();
  for (const deviceId of [...new Set(named)].slice(0, LOOKED_UP_MAX)) {
    const registered = await registeredOf(deviceId, signal);
    if (registered) found.set(deviceId, registered);
  }
  return found;
}

/** `undefined` where the service could not be asked. */
async function registeredOf(
  deviceId: string,
  signal: AbortSignal,
): Promise<Registered | undefined> {
  try {
    const { siteId } = await registry().getDevice({ deviceId }, { signal });
    return { siteId, worn: await wornOf(deviceId, signal) };
  } catch (failure) {
    const isUnknown = ConnectError.from(failure).code === Code.NotFound;
    return isUnknown ? { siteId: undefined, worn: undefined } : undefined;
  }
}

async function wornOf(deviceId: string, signal: AbortSignal): Promise<Registered["worn"]> {
  const of = { case: "deviceId", value: deviceId } as const;
  try {
    const { bindings } = await registry().listBindings({ of, pageSize: 1_000 }, { signal });
    return bindings.map((it) => ({ from: millis(it.from) ?? 0, until: millis(it.until) }));
  } catch {
    return undefined;
  }
}

/** What became of what was sent so far. */
export interface Sent {
  readonly results: readonly Result[];
  readonly accepted: number;
  readonly duplicate: number;
}

/** Sends messages through again. Goes on after a part that failed; ends early if `signal` says so. */
export async function send(
  messages: readonly Refused[],
  signal: AbortSignal,
  show: (sent: Sent) => void,
): Promise<Sent> {
  let sent: Sent = { results: [], accepted: 0, duplicate: 0 };
  for (const part of chunks(messages, REDRIVEN_AT_ONCE)) {
    if (signal.aborted) break;
    sent = await sendPart(part, sent);
    show(sent);
  }
  return sent;
}

/** Not ended by a signal: what was sent is done, and its answer is worth having. */
async function sendPart(part: readonly Refused[], before: Sent): Promise<Sent> {
  try {
    const answer = await untilAnswered(part.map((message) => message.messageId));
    const rejected = answer.rejected.map(refused);
    const { accepted, duplicate, skipped } = answer;
    return {
      results: [...before.results, ...results(part, { accepted, duplicate, rejected, skipped })],
      accepted: before.accepted + accepted,
      duplicate: before.duplicate + duplicate,
    };
  } catch (failure) {
    return { ...before, results: [...before.results, ...results(part, undefined, words(failure))] };
  }
}

async function untilAnswered(messageIds: string[]) {
  const requestId = newRequestId();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ingest().redriveRejectedMessages({ messageIds, requestId });
    } catch (failure) {
      if (attempt >= ATTEMPTS_MAX || !isWorthRepeating(failure)) throw failure;
      const pause = retryAfter(failure) ?? PAUSE_MS * attempt;
      await new Promise((done) => setTimeout(done, pause));
    }
  }
}

/** `crypto.randomUUID` is for encrypted pages only; a page behind a proxy in one's own house may not be. */
function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
