import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";

import { AlertKind, GetAlarmBurdenResponseSchema } from "../src/gen/pulseward/v1/alert_pb";
import { Vital } from "../src/gen/pulseward/v1/reading_pb";
import {
  before,
  burdenCsv,
  busiest,
  byDay,
  byHourOfDay,
  figures,
  hourOffsetMinutes,
  percent,
  ruleLines,
  span,
  spanProblem,
  total,
} from "../src/model/burden";

const DAY = 86_400_000;
const FROM = Date.UTC(2026, 0, 24);
const WEEK = { from: FROM, until: FROM + 7 * DAY };

const at = (milliseconds: number) => ({ seconds: BigInt(milliseconds / 1_000), nanos: 0 });
const seconds = (seconds: number) => ({ seconds: BigInt(seconds), nanos: 0 });

const burden = (alertCount: number, patientDays: number) =>
  create(GetAlarmBurdenResponseSchema, {
    asOf: at(WEEK.until),
    monitoredPatientCount: 10,
    patientDays,
    all: {
      alertCount,
      alertsPerPatientDay: patientDays > 0 ? alertCount / patientDays : undefined,
      byPriority: { high: 1, medium: 2, low: alertCount - 3 },
      acknowledgedCount: 6,
      endedUnacknowledgedCount: 3,
      openUnacknowledgedCount: 1,
      timeToAcknowledgeMedian: seconds(95),
      timeToAcknowledgeP90: seconds(3_700),
      selfEndedCount: 4,
      selfEndedShare: alertCount > 0 ? 4 / alertCount : undefined,
    },
    rules: [
      {
        ruleId: "spo2-low",
        vital: Vital.SPO2,
        kind: AlertKind.PHYSIOLOGICAL,
        alertCount: 6,
        byPriority: { high: 1, medium: 2, low: 3 },
        acknowledgedCount: 3,
        selfEndedCount: 4,
      },
      { ruleId: "battery-low", kind: AlertKind.TECHNICAL, alertCount: 4, byPriority: { low: 4 } },
    ],
    hours: [
      { from: at(FROM + 2 * 3_600_000), physiological: { high: 1, low: 2 } },
      { from: at(FROM + 23 * 3_600_000), technical: { low: 4 } },
      { from: at(FROM + DAY + 2 * 3_600_000), physiological: { medium: 2 }, technical: { low: 1 } },
    ],
    mostAlarmed: {
      ofPatientCount: 10,
      patientCount: 1,
      alertCount: 7,
      share: 0.7,
      patients: [{ patientId: "p-7", siteId: "north", alertCount: 7 }],
    },
  });

describe("figures", () => {
  const value = (name: string, now = burden(10, 20), past = burden(8, 20)) =>
    figures(now, past).find((figure) => figure.name === name);

  it("each stands beside that of the span before, with its change", () => {
    expect(value("Alerts per patient-day")).toMatchObject({
      value: "0.5",
      before: "0.4",
      change: "+25 %",
    });
    expect(value("Alerts")).toMatchObject({ value: "10", before: "8", trend: "more" });
    expect(value("Ended by themselves within 30 s")).toMatchObject({
      value: "40 %",
      before: "50 %",
      change: "−10 points",
      trend: "less",
    });
    expect(value("Patient-days")).toMatchObject({ change: "unchanged", trend: "same" });
  });

  it("times to acknowledge are said as people say them", () => {
    expect(value("Time to acknowledge, median")?.value).toBe("1 min 35 s");
    expect(value("Time to acknowledge, 9 in 10")?.value).toBe("1 h 1 min");
  });

  it("what can't be told is not 0", () => {
    const none = create(GetAlarmBurdenResponseSchema, { all: {} });
    const told = Object.fromEntries(figures(none).map((figure) => [figure.name, figure.value]));
    expect(told).toMatchObject({
      "Alerts per patient-day": "–",
      Alerts: "0",
      "Time to acknowledge, median": "–",
      "Never acknowledged": "–",
      "From a tenth of the patients": "–",
    });
    expect(figures(none).every((figure) => figure.change === "")).toBe(true);
  });

  it("from nothing there is no percentage", () => {
    expect(
      value("Alerts", burden(10, 20), create(GetAlarmBurdenResponseSchema, { all: {} })),
    ).toMatchObject({
      change: "none before",
      trend: "more",
    });
  });

  it("each says how it is counted", () => {
    for (const figure of figures(burden(10, 20))) expect(figure.counted.length).toBeGreaterThan(40);
  });
});

describe("words for numbers", () => {
  it("a little is not nothing, and nearly all is not all", () => {
    expect([0, 0.001, 0.37, 0.999, 1].map(percent)).toEqual([
      "0 %",
      "< 1 %",
      "37 %",
      "> 99 %",
      "100 %",
    ]);
  });

  it("spans have two units at most", () => {
    expect([0, 400, 48_000, 3_600_000, 100_000_000].map(span)).toEqual([
      "0 s",
      "< 1 s",
      "48 s",
      "1 h",
      "1 d 3 h",
    ]);
  });
});

describe("spans", () => {
  it("the span before is as long and ends where this begins", () => {
    expect(before(WEEK)).toEqual({ from: FROM - 7 * DAY, until: FROM });
  });

  it("a span that can't be counted is told why", () => {
    expect(spanProblem({ from: 1 })).toMatch(/both/i);
    expect(spanProblem({ from: 2, until: 1 })).toMatch(/after/);
    expect(spanProblem({ from: 0, until: 93 * DAY })).toMatch(/92 days/);
    expect(spanProblem(WEEK)).toBeUndefined();
  });
});

describe("by rule and by time", () => {
  it("a rule's line has its shares and what it was before", () => {
    const lines = ruleLines(burden(10, 20), burden(8, 20));
    expect(lines[0]).toMatchObject({
      ruleId: "spo2-low",
      alerts: 6,
      share: 0.6,
      before: 6,
      acknowledged: 0.5,
    });
    expect(lines[1]).toMatchObject({ isTechnical: true, selfEnded: 0 });
    expect(ruleLines(burden(10, 20))[0]?.before).toBeUndefined();
  });

  it("all hours of the day are there, in the zone of the site", () => {
    const utc = byHourOfDay(burden(10, 20), "Etc/UTC");
    expect(utc).toHaveLength(24);
    expect(utc[2]).toEqual({ label: "02", counts: { high: 1, medium: 2, low: 3 } });
    const berlin = byHourOfDay(burden(10, 20), "Europe/Berlin");
    expect([berlin[3], berlin[0]].map((bar) => bar && total(bar.counts))).toEqual([6, 4]);
    expect(busiest(utc)?.label).toBe("02");
    expect(busiest(byHourOfDay(create(GetAlarmBurdenResponseSchema), "Etc/UTC"))).toBeUndefined();
  });

  it("all days are there, and an hour counts on the day it has there", () => {
    const days = byDay(burden(10, 20), WEEK, "Etc/UTC");
    expect(days.map((bar) => total(bar.counts))).toEqual([7, 3, 0, 0, 0, 0, 0]);
    const berlin = byDay(burden(10, 20), WEEK, "Europe/Berlin");
    expect(berlin.slice(0, 2).map((bar) => [bar.label, total(bar.counts)])).toEqual([
      ["2026-01-24", 3],
      ["2026-01-25", 7],
    ]);
  });

  it("hours begin where they begin in the zone", () => {
    const offsets = ["Etc/UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu"].map((zone) =>
      hourOffsetMinutes(zone, FROM),
    );
    expect(offsets).toEqual([0, 0, 30, 15]);
  });
});

describe("files", () => {
  it("hold every figure with how it is counted", () => {
    const lines = burdenCsv("north", WEEK, "Etc/UTC", burden(10, 20), burden(8, 20)).split("\r\n");
    expect(lines[0]).toBe("section,name,value,span before,counted");
    expect(lines).toContain("about,from (UTC),2026-01-24T00:00:00.000Z,2026-01-17T00:00:00.000Z,");
    expect(lines).toContain("rule,spo2-low,6,6,alerts");
    expect(lines).toContain("hour of day,02,6,,alerts");
    expect(lines.filter((line) => line.startsWith("figure,"))).toHaveLength(8);
    const median = lines.find((line) => line.includes("Time to acknowledge, median"));
    expect(median).toMatch(/^figure,"Time to acknowledge, median",95,95,/);
  });
});
