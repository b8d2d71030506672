/** Whether what is shown is live, for everything that shows it. Set by the feed of the ward. */
import { signal } from "@preact/signals";

import { FAULT, isOwnFault } from "../model/fault";
import type { Verdict } from "../model/live";
import { now } from "./clock";

/** NOT LIVE since when, of the service's clock, and why. */
export type Shown = { live: true } | { live: false; since: number; why: string };

/** What the banner says. */
export const shown = signal<Shown>({ live: false, since: Date.now(), why: "connecting" });

let isFaulty = false;

/** The page has a fault: whatever it hears, what it shows is not to be trusted until it is reloaded. */
export function showFault(): void {
  if (isFaulty) return;
  isFaulty = true;
  shown.value = { live: false, since: now.peek(), why: FAULT };
}

/** Shows faults that nobody catches. */
export function watchFaults(): void {
  const take = (thrown: unknown) => {
    if (isOwnFault(thrown, globalThis.location.origin)) showFault();
  };
  globalThis.addEventListener("error", (event) => take(event.error));
  globalThis.addEventListener("unhandledrejection", (event) => take(event.reason));
}

/** Takes a verdict; `toTime` turns the model's clock into milliseconds since 1970. */
export function showVerdict(verdict: Verdict, toTime: (steady: number) => number): void {
  if (isFaulty) return;
  const before = shown.peek();
  if (verdict.live) {
    if (!before.live) shown.value = verdict;
    return;
  }
  const since = toTime(verdict.since);
  // The same silence, some milliseconds apart by rounding, is no news.
  const isSame =
    !before.live && before.why === verdict.why && Math.abs(before.since - since) < 1000;
  if (!isSame) shown.value = { live: false, since, why: verdict.why };
}
