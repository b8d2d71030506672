/** Whether what is shown is live, for everything that shows it. Set by the feed of the ward. */
import { signal } from "@preact/signals";

import type { Verdict } from "../model/live";

/** NOT LIVE since when, of the service's clock, and why. */
export type Shown = { live: true } | { live: false; since: number; why: string };

/** What the banner says. */
export const shown = signal<Shown>({ live: false, since: Date.now(), why: "connecting" });

/** Takes a verdict; `toTime` turns the model's clock into milliseconds since 1970. */
export function showVerdict(verdict: Verdict, toTime: (steady: number) => number): void {
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
