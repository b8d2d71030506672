import { describe, expect, test } from "vitest";

import { isHastyEnter, Settled } from "../src/model/haste";
import { patientKey, type Row } from "../src/model/ward";
import * as made from "./made";

const { HIGH, LOW } = made.Priority;

function row(patientId: string, ...alerts: made.Alert[]): Row {
  const key = patientKey(patientId);
  return { key, patientId, siteId: "north", monitoring: undefined, alerts };
}

describe("a key that acts on a row", () => {
  const a = row("a", made.alert("1", "a", LOW));
  const b = row("b");
  const taken = (...rows: Row[]) => {
    const settled = new Settled();
    settled.take([a, b], 0);
    settled.take(rows, 5000);
    return (patientId: string, at: number) => settled.is(patientKey(patientId), at);
  };

  test("acts on what has not changed, and on what was there at first", () => {
    const is = taken(a, b);
    expect([is("a", 5001), is("b", 5001), is("nobody", 5001)]).toEqual([true, true, false]);
  });

  test("waits where the row has another place, or is new", () => {
    const is = taken(row("c", made.alert("2", "c", HIGH)), a, b);
    expect([is("c", 5999), is("a", 5999)]).toEqual([false, false]);
    expect([is("c", 6000), is("a", 6000)]).toEqual([true, true]);
  });

  test("waits where its worst alert is another one, or worse", () => {
    expect(taken(row("a", made.alert("3", "a", LOW)), b)("a", 5999)).toBe(false);
    expect(taken(row("a", made.alert("1", "a", HIGH)), b)("a", 5999)).toBe(false);
    expect(taken(row("a", made.alert("1", "a", HIGH)), b)("b", 5999)).toBe(true);
  });
});

test("Enter sends a dialog that was read, and not again while it is held down", () => {
  const enter = { key: "Enter", repeat: false, shiftKey: false };
  expect([isHastyEnter(enter, 499), isHastyEnter(enter, 500)]).toEqual([true, false]);
  expect(isHastyEnter({ ...enter, repeat: true }, 5000)).toBe(true);
  expect(isHastyEnter({ ...enter, shiftKey: true }, 0)).toBe(false);
  expect(isHastyEnter({ ...enter, key: "a" }, 0)).toBe(false);
});
