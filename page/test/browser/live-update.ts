/** A value that is published stands on the screen within a second, and so does the alert it raises. */
import assert from "node:assert/strict";

import { measure, say, seen, story } from "./story";

/** What is promised. */
const WITHIN_MS = 1000;
/** A machine that does other things besides may be late once. */
const WORST_MS = 3000;

await story(async (desk) => {
  const page = await desk.signedIn(String(desk.given.token));
  const values: number[] = [];
  for (const value of [81, 84, 79, 88, 76]) {
    const shown = seen(page, '[data-key="p:ada"] .figure-value', String(value));
    const published = await measure("ada", "heart_rate", value);
    values.push((await shown) - published);
  }
  report("a value is shown", values);

  const [alerts, words]: [number[], number[]] = [[], []];
  for (const patient of ["ada", "bea", "cia"]) {
    const shown = seen(page, `[data-key="p:${patient}"].tile-high .tile-alert`, "spo2-low");
    const said = seen(page, "[aria-live=assertive]", `${patient}`);
    const published = await measure(patient, "spo2", 80);
    alerts.push((await shown) - published);
    words.push((await said) - published);
  }
  report("an alert is shown", alerts);
  report("an alert is said aloud", words);
});

function report(what: string, delays: number[]): void {
  const sorted = delays.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const worst = sorted.at(-1) ?? Number.NaN;
  say(`${what} ${median} ms after it was published, at worst ${worst} ms`);
  assert(median < WITHIN_MS, `${what}: ${sorted} ms`);
  assert(worst < WORST_MS, `${what}: ${sorted} ms`);
}
