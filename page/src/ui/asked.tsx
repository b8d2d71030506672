/**
 * Something that is asked of the service for a view: asked anew when what it depends on changes or
 * on request, and shown as waiting, failed, or there. What is there stays while it is asked anew,
 * until the service says that it is gone or not for this caller.
 */
import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { isGone, words } from "../api/errors";
import { access } from "../api/session";
import { Button } from "./button";

export interface Asked<T> {
  /** The last answer. */
  answer: T | undefined;
  /** Why the last attempt failed; undefined if it did not. */
  failure: unknown;
  isWaiting: boolean;
  /** Asks again. */
  again: () => void;
}

interface Options {
  /** The last answer stays while another key is asked for: another span of the same thing. */
  keepsAnswer?: boolean;
}

/**
 * Asks when the view comes, when `key` changes, and after signing in. `ask` is given a signal that
 * ends with the view.
 */
export function useAsked<T>(
  key: string,
  ask: (ended: AbortSignal) => Promise<T>,
  { keepsAnswer = false }: Options = {},
): Asked<T> {
  const [state, setState] = useState<Omit<Asked<T>, "again"> & { key: string }>({
    key,
    answer: undefined,
    failure: undefined,
    isWaiting: true,
  });
  const [turn, setTurn] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;
  const caller = callerKey();
  useEffect(() => {
    const ended = new AbortController();
    setState((it) => ({
      ...it,
      answer: it.key === key || keepsAnswer ? it.answer : undefined,
      key,
      isWaiting: true,
    }));
    latest.current(ended.signal).then(
      (answer) => {
        if (!ended.signal.aborted) setState({ key, answer, failure: undefined, isWaiting: false });
      },
      (failure: unknown) => {
        if (ended.signal.aborted) return;
        const kept = (it: T | undefined) => (isGone(failure) ? undefined : it);
        setState((it) => ({ ...it, answer: kept(it.answer), failure, isWaiting: false }));
      },
    );
    return () => ended.abort();
  }, [key, caller, turn]);
  const again = useCallback(() => setTurn((it) => it + 1), []);
  return { ...state, again };
}

/** Changes when somebody signs in. */
function callerKey(): string {
  const now = access.value;
  return now.kind === "token" ? now.token : now.kind;
}

/** What is said while nothing is there: that it is being asked for, or why it failed. */
export function AskedState<T>({ of, what }: { of: Asked<T>; what: string }) {
  if (of.failure !== undefined) {
    return (
      <Problem>
        <p>
          {what}: {words(of.failure)}
        </p>
        <Button onPress={of.again}>Try again</Button>
      </Problem>
    );
  }
  if (of.answer === undefined && of.isWaiting) {
    return (
      <p class="waiting" role="status">
        {what}: waiting for the service…
      </p>
    );
  }
  return null;
}

/** Something that went wrong, said aloud too. */
export function Problem({ children }: { children: ComponentChildren }) {
  return (
    <div class="problem" role="alert">
      {children}
    </div>
  );
}
