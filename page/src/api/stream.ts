/**
 * Holds a stream open: takes it up again when it is cut or says nothing, with growing pauses that
 * differ from screen to screen, and at once when the network or a new token is there.
 *
 * What was missed is not its business: `open` asks for what comes after what is known.
 */
import { Code, ConnectError } from "@connectrpc/connect";

import { SILENCE_MAX_MS } from "../model/live";
import { retryAfter } from "./errors";

/** Waits between attempts, doubling from the first to the last. */
const PAUSE_MIN_MS = 250;
const PAUSE_MAX_MS = 5000;
/** A burst of messages is taken in slices of this length, so that frames and keys come between. */
const SLICE_MS = 4;

/** One stream. */
export interface Followed<M> {
  /** Opens it anew. */
  open: (signal: AbortSignal) => AsyncIterable<M>;
  /** It says something for the first time since it was opened. */
  opened: () => void;
  take: (message: M) => void;
  /** It is over, and will be taken up again. */
  cut: (failure: ConnectError) => void;
  /** Waits until somebody is signed in. */
  signedIn: (ended: AbortSignal) => Promise<void>;
}

/** Follows until `ended`. */
export async function follow<M>(stream: Followed<M>, ended: AbortSignal): Promise<void> {
  let pause = PAUSE_MIN_MS;
  while (!ended.aborted) {
    const { failure, heard } = await once(stream, ended);
    if (ended.aborted) return;
    stream.cut(failure);
    if (heard) pause = PAUSE_MIN_MS;
    if (failure.code === Code.Unauthenticated) await stream.signedIn(ended);
    else await rest(Math.max(jittered(pause), retryAfter(failure) ?? 0), ended);
    pause = Math.min(pause * 2, PAUSE_MAX_MS);
  }
}

/** One opening, until it is cut. */
async function once<M>(stream: Followed<M>, ended: AbortSignal) {
  const cut = new AbortController();
  const end = () => cut.abort();
  ended.addEventListener("abort", end, { once: true });
  let isSilent = false;
  let heard = false;
  let breathedAt = performance.now();
  const silent = () => {
    isSilent = true;
    cut.abort();
  };
  let timer = setTimeout(silent, SILENCE_MAX_MS);
  try {
    for await (const message of stream.open(cut.signal)) {
      clearTimeout(timer);
      timer = setTimeout(silent, SILENCE_MAX_MS);
      if (!heard) stream.opened();
      heard = true;
      stream.take(message);
      if (performance.now() - breathedAt > SLICE_MS) {
        await breath();
        breathedAt = performance.now();
      }
    }
    return { failure: new ConnectError("the stream has ended", Code.Aborted), heard };
  } catch (cause) {
    const silence = new ConnectError("the service says nothing", Code.Aborted);
    return { failure: isSilent ? silence : ConnectError.from(cause), heard };
  } finally {
    clearTimeout(timer);
    ended.removeEventListener("abort", end);
    cut.abort();
  }
}

const channel = new MessageChannel();
const waiting: (() => void)[] = [];
channel.port1.onmessage = () => {
  for (const resolve of waiting.splice(0)) resolve();
};

/** Lets everything else go first; unlike a timer it is not slowed down in a tab that nobody sees. */
function breath(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(undefined);
  });
}

/** Screens that were cut off together do not come back together. */
function jittered(pause: number): number {
  return pause * (0.5 + Math.random() / 2);
}

/** Waits; less where the network comes back meanwhile. */
function rest(milliseconds: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", done);
      ended.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    globalThis.addEventListener?.("online", done);
    ended.addEventListener("abort", done);
  });
}
