import { describe, expect, test } from "vitest";

import type { Alert, PatientMonitoring } from "../src/gen/pulseward/v1/alert_pb";
import { Ward } from "../src/model/alerts";
import {
  isCalling,
  loudest,
  matches,
  rowName,
  rowsOf,
  SITES_MAX,
  tally,
  tallyCalling,
  vitalSites,
} from "../src/model/ward";
import * as made from "./made";

const { HIGH, MEDIUM, LOW } = made.Priority;
const { MonitoringState, SignalState } = made;

function rows(alerts: Alert[], patients: PatientMonitoring[]) {
  const ward = new Ward();
  ward.take(made.snapshot(0, alerts, patients));
  ward.take(made.live("1"));
  return rowsOf(ward);
}

function order(alerts: Alert[], patients: PatientMonitoring[]): string[] {
  return rows(alerts, patients).map(rowName);
}

describe("the order of a ward", () => {
  test("the worst open alert counts before everything else, acknowledged or not", () => {
    const alerts = [
      made.alert("1", "a", LOW),
      made.alert("2", "b", MEDIUM),
      made.alert("3", "c", HIGH, { signal: SignalState.ACKNOWLEDGED }),
      made.alert("4", "a", LOW),
    ];
    const patients = ["a", "b", "c"].map((it) => made.patient(it));
    const silent = made.patient("d", MonitoringState.NO_DATA);
    expect(order(alerts, [...patients, silent])).toEqual(["c", "b", "a", "d"]);
  });

  test("of equal priority what still signals comes first", () => {
    const states: [string, number][] = [
      ["e", SignalState.OFF],
      ["d", SignalState.ACKNOWLEDGED],
      ["c", SignalState.PAUSED],
      ["b", SignalState.LATCHED],
      ["a", SignalState.ON],
    ];
    const alerts = states.map(([id, signal]) => made.alert(id, id, HIGH, { signal }));
    expect(order(alerts, [])).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("what signals counts also behind an acknowledged alert of higher priority", () => {
    const acknowledged = { signal: SignalState.ACKNOWLEDGED };
    const alerts = [
      made.alert("1", "a", HIGH, acknowledged),
      made.alert("2", "b", HIGH, acknowledged),
      made.alert("3", "b", LOW),
      made.alert("4", "c", MEDIUM),
    ];
    expect(order(alerts, [])).toEqual(["b", "a", "c"]);
  });

  test("without an alert those of whom least is known come first", () => {
    const states: [string, number][] = [
      ["u", MonitoringState.MONITORED],
      ["v", MonitoringState.PAUSED],
      ["w", MonitoringState.PARTIAL],
      ["x", MonitoringState.LIMITS_OFF],
      ["y", MonitoringState.NO_DEVICE],
      ["z", MonitoringState.NO_DATA],
    ];
    const patients = states.map(([id, state]) => made.patient(id, state));
    expect(order([], patients)).toEqual(["z", "y", "x", "w", "v", "u"]);
  });

  test("equals stand by their ids, and equipment has rows of its own", () => {
    const gateway = made.alert("1", "", LOW);
    const service = made.alert("2", "", HIGH, { siteId: "" });
    const patients = ["b", "a"].map((it) => made.patient(it));
    const expected = ["The service", "Devices of north", "a", "b"];
    expect(order([gateway, service], patients)).toEqual(expected);
  });

  test("a patient's alerts stand worst first", () => {
    const [row] = rows([made.alert("1", "a", LOW), made.alert("2", "a", HIGH)], []);
    expect(row?.alerts.map((it) => it.alertId)).toEqual(["2", "1"]);
  });
});

describe("which of a patient's alerts is answered", () => {
  const answered = (...signals: [made.Priority, made.SignalState][]) => {
    const alerts = signals.map(([priority, signal], index) =>
      made.alert(String(index), "a", priority, { signal }),
    );
    const all = rows(alerts, [])[0]?.alerts ?? [];
    return [loudest(all)?.alertId, isCalling(all)];
  };
  const { ON, LATCHED, ACKNOWLEDGED, PAUSED } = SignalState;

  test("the worst one that still calls, not one that is acknowledged", () => {
    expect(answered([HIGH, ACKNOWLEDGED], [LOW, ON], [MEDIUM, ON])).toEqual(["2", true]);
    expect(answered([HIGH, PAUSED], [LOW, LATCHED])).toEqual(["1", true]);
    expect(answered([HIGH, LATCHED], [LOW, ON])).toEqual(["1", true]);
  });

  test("the worst one where all are quiet", () => {
    expect(answered([MEDIUM, PAUSED], [HIGH, ACKNOWLEDGED])).toEqual(["1", false]);
    expect(answered()).toEqual([undefined, false]);
  });
});

describe("what of a ward is shown", () => {
  const all = () =>
    rows(
      [made.alert("1", "p-1", HIGH), made.alert("2", "", LOW, { siteId: "" })],
      [made.patient("p-1"), made.patient("p-2", MonitoringState.NO_DATA, "south")],
    );

  test("a site, and what holds a text; the service itself is everybody's", () => {
    const names = (siteId: string, text: string) =>
      all()
        .filter((it) => matches(it, { siteId, text }))
        .map(rowName);
    expect(names("south", "")).toEqual(["The service", "p-2"]);
    expect(names("", "SPO2")).toEqual(["p-1", "The service"]);
    expect(names("north", "p-2")).toEqual(["The service"]);
  });

  test("what calls is counted without what is quiet", () => {
    const { ACKNOWLEDGED, LATCHED } = SignalState;
    const alerts = [
      made.alert("1", "a", HIGH, { signal: ACKNOWLEDGED }),
      made.alert("2", "a", MEDIUM),
      made.alert("3", "b", HIGH, { signal: LATCHED }),
      made.alert("4", "", LOW),
    ];
    expect(tallyCalling(rows(alerts, []))).toEqual({ high: 1, medium: 1, low: 1 });
  });

  test("vitals of more sites than there is room for are left out, until one is chosen", () => {
    const sites = Array.from({ length: SITES_MAX + 1 }, (_, index) => `site-${index}`);
    const last = `site-${SITES_MAX}`;
    expect(vitalSites(sites.slice(1), "").leftOut).toEqual([]);
    expect(vitalSites(sites, "").watched.length).toBe(SITES_MAX);
    expect(vitalSites(sites, "").leftOut).toEqual([last]);
    expect(vitalSites(sites, last)).toEqual({ watched: [last], leftOut: [] });
  });

  test("a tally counts patients and open alerts", () => {
    expect(tally(all())).toEqual({ patients: 2, fullyMonitored: 1, high: 1, medium: 0, low: 1 });
  });
});
