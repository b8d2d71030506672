/**
 * What became of a request whose dialog was closed before the answer came: said aloud, and a line at
 * the top of the page until somebody takes it away.
 */
import { signal } from "@preact/signals";

import type { Alert } from "../gen/pulseward/v1/alert_pb";
import { href } from "../router";
import { announce } from "../ui/announcer";
import { Button } from "../ui/button";
import { whose } from "../words/alerts";
import { asking, TASKS } from "./asking";
import type { Intent, Outcome } from "./perform";

interface Late {
  seen: Alert;
  words: string;
  isDone: boolean;
}

/** Answers that came late and that nobody has taken away, the newest last. */
export const late = signal<readonly Late[]>([]);

/** Tells what became of it. */
export function tellLate({ task, seen }: Intent, outcome: Outcome): void {
  const words = lateWords({ task, seen }, outcome);
  announce(words, "assertive");
  late.value = [...late.peek(), { seen, words, isDone: outcome.kind === "done" }];
}

/** Somebody else looks: what was asked for before them is not theirs to see. */
export function forgetActions(): void {
  asking.value = undefined;
  late.value = [];
}

/** In one line: to which alert of whom, and what became of it. */
export function lateWords({ task, seen }: Pick<Intent, "task" | "seen">, outcome: Outcome): string {
  const { name, done } = TASKS[task];
  const of = `${seen.ruleId} of ${whose(seen)}`;
  switch (outcome.kind) {
    case "done":
      return `${name}, ${of}: ${done}.`;
    case "refused":
      return `${name}, ${of}: NOT ${done.toUpperCase()}. ${outcome.words}`;
    case "unknown":
      return `${name}, ${of}: NO ANSWER. ${outcome.words} It may have been done or not.`;
  }
}

/** The lines; said aloud once already. */
export function LateAnswers() {
  if (late.value.length === 0) return null;
  const drop = (gone: Late) => {
    late.value = late.peek().filter((it) => it !== gone);
  };
  return (
    <section class="late" aria-label="Answers to what was closed">
      {late.value.map((it, index) => (
        <p key={index} class={it.isDone ? "late-line" : "late-line is-not-done"}>
          <span class="late-words">{it.words}</span>
          <a class="button" href={href.alert(it.seen.alertId)}>
            Look at it
          </a>
          <Button onPress={() => drop(it)}>Dismiss</Button>
        </p>
      ))}
    </section>
  );
}
