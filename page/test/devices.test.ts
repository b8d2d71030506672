import { describe, expect, it } from "vitest";

import {
  byAttention,
  counters,
  type Device,
  findings,
  gapWords,
  matching,
  type Report,
  skewWords,
  urgency,
} from "../src/model/devices";

const NOW = Date.UTC(2026, 0, 31, 8);
const MINUTE = 60_000;

const report = (more: Partial<Report> = {}): Report => ({
  lastSeenAt: NOW - 5_000,
  isOnline: true,
  batteryPercent: 80,
  isSensorAttached: true,
  firmware: "1.0",
  gateway: "",
  statusAt: NOW,
  clockSkew: 0,
  bootId: 1n,
  highestSeq: 10n,
  gaps: [],
  missing: 0,
  duplicates: 0,
  reordered: 0,
  accepted: 11,
  rejected: 0,
  restarts: 0,
  amended: 0,
  unknownFields: 0,
  gapsEver: 0,
  gapOverflows: 0,
  ...more,
});

const device = (deviceId: string, more: Partial<Device> = {}): Device => ({
  deviceId,
  siteId: "north",
  report: report(),
  patientId: "p-1",
  sendsEvery: undefined,
  ...more,
});

const words = (device: Device) => findings(device, NOW).map((finding) => finding.words);

describe("what needs attention", () => {
  it("a device that is well needs none", () => {
    expect(words(device("a"))).toEqual([]);
    expect(urgency([])).toBe("fine");
  });

  it("what is wrong comes with the worst first", () => {
    const bad = report({
      isOnline: false,
      batteryPercent: 12,
      clockSkew: -45_000,
      rejected: 2,
      missing: 3,
    });
    expect(words(device("a", { report: bad }))).toEqual([
      "offline",
      "clock 45 s behind",
      "battery 12 %",
      "refused: 2",
      "missing: 3",
    ]);
  });

  it("nobody misses what nobody wears", () => {
    const never = report({ lastSeenAt: undefined });
    const silent = report({ lastSeenAt: NOW - 60 * MINUTE });
    expect(words(device("a", { report: never }))).toEqual(["never heard of"]);
    expect(words(device("a", { report: never, patientId: "" }))).toEqual([]);
    expect(words(device("a", { report: silent }))).toEqual(["silent"]);
    expect(words(device("a", { report: silent, patientId: "" }))).toEqual([]);
  });

  it("a device that sends seldom is not silent between", () => {
    const quiet = device("a", {
      report: report({ lastSeenAt: NOW - 60 * MINUTE }),
      sendsEvery: 30 * MINUTE,
    });
    expect(words(quiet)).toEqual([]);
  });

  it("the list begins with what is wrong now and ends with what is not known", () => {
    const unknown = device("0", { report: undefined });
    const fine = device("b");
    const alsoFine = device("a");
    const refused = device("c", { report: report({ rejected: 1 }) });
    const empty = device("d", { report: report({ batteryPercent: 2 }) });
    const order = byAttention([unknown, fine, refused, alsoFine, empty], NOW);
    expect(order.map((device) => device.deviceId)).toEqual(["d", "c", "a", "b", "0"]);
  });

  it("devices are found by their own name, their patient's and their site's", () => {
    const all = [
      device("watch-1"),
      device("watch-2", { patientId: "p-77" }),
      device("x", { siteId: "south" }),
    ];
    const found = (typed: string) => matching(all, typed).map((device) => device.deviceId);
    expect(found("WATCH")).toEqual(["watch-1", "watch-2"]);
    expect(found(" 77 ")).toEqual(["watch-2"]);
    expect(found("south")).toEqual(["x"]);
    expect(found("")).toHaveLength(3);
  });

  it("every counter of the report says what it counts", () => {
    for (const counter of counters(report())) {
      expect(counter.meaning.length, counter.name).toBeGreaterThan(20);
    }
    expect(counters(report({ accepted: 1234567 }))[0]?.value).toBe("1,234,567");
  });

  it("gaps and skew are said in words", () => {
    const spans = [
      { firstSeq: 4n, lastSeq: 4n },
      { firstSeq: 7n, lastSeq: 9n },
    ];
    expect(gapWords(report({ gaps: spans }))).toEqual(["4", "7 to 9 (3)"]);
    expect([undefined, 100, 1_500, -61_000].map(skewWords)).toEqual([
      "not known",
      "right, to half a second",
      "1.5 s ahead",
      "61 s behind",
    ]);
  });
});
