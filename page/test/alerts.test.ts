import { describe, expect, test } from "vitest";

import type { WatchAlertsResponse } from "../src/gen/pulseward/v1/alert_pb";
import { Ward } from "../src/model/alerts";
import * as made from "./made";

const { HIGH, LOW } = made.Priority;

function wardOf(...messages: WatchAlertsResponse[]): Ward {
  const ward = new Ward();
  ward.begins();
  for (const it of messages) ward.take(it);
  return ward;
}

function open(ward: Ward): [string, number][] {
  return [...ward.open.values()].map((it) => [it.alertId, it.priority]);
}

const begun = made.snapshot(0, [made.alert("a", "p-1", LOW)], [made.patient("p-1")]);

describe("a ward of alerts", () => {
  test("a snapshot replaces what was held, and its parts add up", () => {
    const ward = wardOf(
      begun,
      made.live("1"),
      made.snapshot(0, [made.alert("b", "p-2", HIGH)], [made.patient("p-2")]),
      made.snapshot(1, [made.alert("c", "p-3", LOW)], [made.patient("p-3")]),
      made.live("2"),
    );
    expect(open(ward)).toEqual([
      ["b", HIGH],
      ["c", LOW],
    ]);
    expect([...ward.patients.keys()]).toEqual(["p-2", "p-3"]);
  });

  test("an event that comes twice changes nothing the second time", () => {
    const escalate = made.event("2", made.alert("a", "p-1", HIGH), made.AlertPhase.ESCALATE);
    const once = wardOf(begun, made.live("1"), escalate);
    const twice = wardOf(begun, made.live("1"), escalate, escalate);
    expect(open(twice)).toEqual(open(once));
    expect(twice.cursor).toBe(once.cursor);
    const over = made.event("3", made.alert("a", "p-1", HIGH, { closed: true }));
    expect(open(wardOf(begun, made.live("1"), over, over))).toEqual([]);
  });

  test("what comes behind the cursor goes on from what was held: nothing is missed", () => {
    const ward = wardOf(begun, made.live("1"), made.event("2", made.alert("b", "p-1", HIGH)));
    expect(ward.cursor).toBe("2");
    ward.begins();
    ward.take(made.event("3", made.alert("c", "p-1", LOW)));
    expect(ward.cursor).toBe("3");
    ward.take(made.live("3"));
    expect(open(ward).map(([id]) => id)).toEqual(["a", "b", "c"]);
  });

  test("a cursor within a snapshot is no cursor: the rest of it would be left out", () => {
    const ward = wardOf(begun, made.heartbeat("1"));
    expect(ward.cursor).toBe("");
    ward.take(made.live("2"));
    ward.take(made.heartbeat("3"));
    expect(ward.cursor).toBe("3");
  });

  test("a cursor that is gone asks for a snapshot, and what is held stands until it comes", () => {
    const ward = wardOf(begun, made.live("1"));
    ward.forgetCursor();
    ward.begins();
    expect(open(ward)).toEqual([["a", LOW]]);
    ward.take(made.snapshot(0, [], []));
    ward.take(made.heartbeat("9"));
    expect([open(ward), ward.cursor]).toEqual([[["a", LOW]], ""]);
    ward.take(made.live("9"));
    expect([open(ward), ward.cursor]).toEqual([[], "9"]);
  });

  test("a snapshot that is cut leaves what was held, and nothing of it is in the next one", () => {
    const ward = wardOf(begun, made.live("1"));
    ward.forgetCursor();
    ward.begins();
    ward.take(made.snapshot(0, [made.alert("b", "p-2", HIGH)], [made.patient("p-2")]));
    expect(open(ward)).toEqual([["a", LOW]]);
    ward.begins();
    expect([open(ward), [...ward.patients.keys()]]).toEqual([[["a", LOW]], ["p-1"]]);
    ward.take(made.snapshot(0, [made.alert("c", "p-3", LOW)], []));
    ward.take(made.left("3", "p-3"));
    ward.take(made.snapshot(1, [made.alert("d", "p-4", LOW)], []));
    ward.take(made.live("4"));
    expect(open(ward)).toEqual([["d", LOW]]);
  });

  test("whoever leaves takes their alerts along", () => {
    const ward = wardOf(begun, made.live("1"), made.left("2", "p-1"));
    expect([ward.open.size, ward.patients.size, ward.cursor]).toEqual([0, 0, "2"]);
  });

  test("an alert event tells how the alert stood before", () => {
    const ward = wardOf(begun, made.live("1"));
    const change = ward.take(made.event("2", made.alert("a", "p-1", HIGH)));
    expect(change.kind === "alert" && change.before?.priority).toBe(LOW);
  });

  test("what was held is forgotten where somebody else looks", () => {
    const ward = wardOf(begun, made.live("1"));
    ward.forget();
    expect([ward.open.size, ward.patients.size, ward.cursor]).toEqual([0, 0, ""]);
  });

  test("messages of a kind unknown to the page are ignored", () => {
    const ward = wardOf(begun, made.live("1"));
    const unknown = { message: { case: undefined } } as WatchAlertsResponse;
    expect(ward.take(unknown)).toEqual({ kind: "nothing" });
    expect(ward.cursor).toBe("1");
  });
});
