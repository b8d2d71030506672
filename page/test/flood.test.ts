import { expect, test } from "vitest";

import { Flood } from "../src/model/flood";

/** Which of these come through. */
function admitted(flood: Flood, isHigh: boolean, times: readonly number[]): number[] {
  return times.filter((at) => flood.admits(isHigh, at));
}

test("three within two seconds are said, the rest is counted once", () => {
  const flood = new Flood();
  expect(admitted(flood, false, [0, 10, 20, 30, 40])).toEqual([0, 10, 20]);
  expect(flood.rest(2030)).toEqual({ all: 2, high: 0 });
  expect(flood.rest(2030)).toEqual({ all: 0, high: 0 });
});

test("what comes one by one is said one by one", () => {
  const times = [0, 900, 1800, 2700, 3600];
  expect(admitted(new Flood(), true, times)).toEqual(times);
});

test("a high one is said however many others come", () => {
  const flood = new Flood();
  expect(admitted(flood, false, [0, 1, 2, 3])).toEqual([0, 1, 2]);
  expect(admitted(flood, true, [4, 5, 6, 7])).toEqual([4, 5, 6]);
  expect(flood.rest(2003)).toEqual({ all: 2, high: 1 });
});

test("a storm that goes on is summed up, until it is over", () => {
  const flood = new Flood();
  admitted(flood, true, [0, 1, 2, 3]);
  expect(flood.rest(2003).high).toBe(1);
  expect(admitted(flood, true, [2004, 3000])).toEqual([]);
  expect(flood.rest(4004).high).toBe(2);
  expect(admitted(flood, true, [6004])).toEqual([6004]);
});
