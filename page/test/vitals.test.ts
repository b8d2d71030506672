import { describe, expect, test } from "vitest";

import { TREND_MS, Track, Vitals } from "../src/model/vitals";
import * as made from "./made";

function track(...readings: ReturnType<typeof made.reading>[]): Track {
  const made = new Track();
  for (const it of readings) made.push(it);
  return made;
}

describe("a vital's track", () => {
  test("no value is a gap and not the value before", () => {
    const it = track(made.reading(1, 97), made.reading(2, undefined));
    expect(it.newest?.value.case).toBe("absent");
    expect(it.quantities[1]).toBeNaN();
  });

  test("a stream that begins anew draws nothing twice, and nothing older replaces what is shown", () => {
    const it = track(made.reading(1, 97), made.reading(2, 96));
    expect(it.push(made.reading(2, 96))).toBe(false);
    expect(it.push(made.reading(1, 50))).toBe(false);
    expect([it.quantities, it.measuredAt]).toEqual([[97, 96], 2000]);
  });

  test("what is older than the trend is forgotten", () => {
    const last = 2 + TREND_MS / 1000;
    const it = track(made.reading(1, 97), made.reading(2, 96), made.reading(last, 95));
    expect(it.quantities).toEqual([96, 95]);
  });

  test("only so much is kept, however fast it comes", () => {
    const it = new Track();
    for (let at = 0; at < 5000; at += 1) it.push(made.reading(at / 10, 97));
    expect(it.times.length).toBeLessThanOrEqual(600);
  });

  test("means of what was before stand before what is known, and never within it", () => {
    const it = track(made.reading(100, 97));
    it.prependMeans([
      { at: 90_000, quantity: 95 },
      { at: 30_000, quantity: 94 },
      { at: 100_000, quantity: 93 },
    ]);
    expect([it.times, it.quantities]).toEqual([
      [30_000, 90_000, 100_000],
      [94, 95, 97],
    ]);
    expect(it.meansUntil).toBe(90_000);
  });
});

test("whoever is no longer watched leaves no vitals behind", () => {
  const vitals = new Vitals();
  vitals.push("p-1", made.reading(1, 97));
  vitals.push("p-2", made.reading(1, 97));
  vitals.keep(new Map([["p-2", true]]));
  vitals.leave("p-3");
  expect([vitals.tracks("p-1").length, vitals.tracks("p-2").length]).toEqual([0, 1]);
});
