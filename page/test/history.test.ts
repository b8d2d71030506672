import { describe, expect, it } from "vitest";

import {
  type AlertSpan,
  alertsIn,
  bucketWidth,
  columns,
  csvField,
  fromLocalInput,
  gapLimit,
  gaps,
  gapTotals,
  historyCsv,
  isRaw,
  localInput,
  type Point,
  panned,
  pointAt,
  presetSpan,
  scale,
  spanProblem,
  summary,
  within,
  zoomed,
} from "../src/model/history";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const T0 = Date.UTC(2026, 0, 31, 8);

/** A bucket that was measured to its end, at so many minutes. */
function bucket(minute: number, mean = 80, width = MINUTE): Point {
  const from = T0 + minute * MINUTE;
  const lastAt = from + width - SECOND;
  return { from, lastAt, count: 60, min: mean - 2, max: mean + 2, mean, last: mean, remarks: "" };
}

/** A reading at so many seconds. */
function reading(second: number, value = 80): Point {
  const from = T0 + second * SECOND;
  return {
    from,
    lastAt: from,
    count: 1,
    min: value,
    max: value,
    mean: value,
    last: value,
    remarks: "",
  };
}

describe("spans", () => {
  const now = T0 + DAY;

  it("a bucket is as narrow as can be seen and asked for", () => {
    const widths = [
      [HOUR, 1_200, MINUTE],
      [DAY, 1_200, 5 * MINUTE],
      [DAY, 300, 15 * MINUTE],
      [7 * DAY, 1_200, 30 * MINUTE],
      [366 * DAY, 300, 7 * DAY],
      [MINUTE, 0, MINUTE],
    ] as const;
    for (const [length, pixels, width] of widths) {
      expect(bucketWidth({ from: T0, until: T0 + length }, pixels)).toBe(width);
    }
  });

  it("only a short span shows each reading", () => {
    expect(isRaw({ from: T0, until: T0 + 30 * MINUTE })).toBe(true);
    expect(isRaw({ from: T0, until: T0 + 31 * MINUTE })).toBe(false);
  });

  it("a preset ends now, and there is none of an unknown name", () => {
    expect(presetSpan("6h", now)).toEqual({ from: now - 6 * HOUR, until: now });
    expect(presetSpan("6 h", now)).toBeUndefined();
  });

  it("no span ends in the future, is shorter than a minute or longer than a year", () => {
    expect(within({ from: now - HOUR, until: now + HOUR }, now)).toEqual({
      from: now - 2 * HOUR,
      until: now,
    });
    expect(within({ from: now - 5, until: now }, now).from).toBe(now - 30 * SECOND - 30 * SECOND);
    const longest = within({ from: 0, until: now }, now);
    expect(longest.until - longest.from).toBe(366 * DAY);
  });

  it("zooming keeps the middle, panning the length", () => {
    const span = { from: T0, until: T0 + 4 * HOUR };
    expect(zoomed(span, 0.5, now)).toEqual({ from: T0 + HOUR, until: T0 + 3 * HOUR });
    expect(panned(span, -0.5, now)).toEqual({ from: T0 - 2 * HOUR, until: T0 + 2 * HOUR });
    expect(panned({ from: now - HOUR, until: now }, 1, now)).toEqual({
      from: now - HOUR,
      until: now,
    });
  });

  it("a span that can't be shown is told why", () => {
    expect(spanProblem({ from: T0 }, T0)).toMatch(/both/i);
    expect(spanProblem({ from: T0, until: T0 }, T0)).toMatch(/after/);
    expect(spanProblem({ from: T0, until: T0 + DAY }, T0)).toMatch(/ahead/);
    expect(spanProblem({ from: T0 - 366 * DAY, until: T0 + DAY }, T0)).toMatch(/366 days/);
    expect(spanProblem({ from: T0 - DAY, until: T0 + DAY }, T0)).toBeUndefined();
  });

  it("what an input of date and time shows is what it says", () => {
    expect(fromLocalInput(localInput(T0))).toBe(T0);
    expect(fromLocalInput("")).toBeUndefined();
    expect(fromLocalInput("soon")).toBeUndefined();
  });
});

describe("gaps", () => {
  const span = { from: T0, until: T0 + 10 * MINUTE };
  const found = (points: Point[], width: number, declared?: number, now = span.until) =>
    gaps(points, span, gapLimit(points, width, declared), now).map((gap) => [
      (gap.from - T0) / SECOND,
      (gap.until - T0) / SECOND,
    ]);

  it("a missing bucket of a device that measures each second is a gap", () => {
    const points = [0, 1, 2, 5, 6, 7, 8, 9].map((minute) => bucket(minute));
    expect(found(points, MINUTE, SECOND)).toEqual([[179, 300]]);
  });

  it("buckets between the readings of a device that measures seldom are none", () => {
    const points = [0, 3, 6, 9].map((minute) => bucket(minute));
    expect(found(points, MINUTE, 3 * MINUTE)).toEqual([]);
    expect(found(points, MINUTE)).toEqual([]);
  });

  it("the span before the first and after the last reading is one, but not what is to come", () => {
    const points = [3, 4, 5].map((minute) => bucket(minute));
    expect(found(points, MINUTE, SECOND)).toEqual([
      [0, 180],
      [359, 600],
    ]);
    expect(found(points, MINUTE, SECOND, T0 + 6 * MINUTE)).toEqual([[0, 180]]);
  });

  it("a span without readings is one gap", () => {
    expect(found([], MINUTE)).toEqual([[0, 600]]);
  });

  it("silence within a bucket is one, where the next begins late enough", () => {
    const stopped = { ...bucket(0), lastAt: T0 + 5 * SECOND };
    const points = [stopped, ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((minute) => bucket(minute))];
    expect(found(points, MINUTE, SECOND)).toEqual([[5, 60]]);
  });

  it("readings each for themselves may miss a few seconds", () => {
    const points = [0, 1, 2, 6, 7, 20, 21].map((second) => reading(second));
    expect(found(points, 0, SECOND, T0 + 22 * SECOND)).toEqual([[7, 20]]);
  });

  it("a line stops at each gap, and nowhere else", () => {
    const points = [0, 1, 4, 5].map((minute) => bucket(minute));
    const limit = gapLimit(points, MINUTE, SECOND);
    const rows = columns(points, MINUTE, gaps(points, span, limit, span.until));
    expect(rows.mean).toEqual([80, 80, null, 80, 80]);
    expect(rows.min[2]).toBeNull();
    expect(rows.at.map((at) => at - T0 / SECOND)).toEqual([30, 90, 180, 270, 330]);
  });

  it("they are summed up", () => {
    const found = [
      { from: 0, until: 10 },
      { from: 20, until: 50 },
    ];
    expect(gapTotals(found)).toEqual({ count: 2, total: 40, longest: found[1] });
    expect(gapTotals([])).toEqual({ count: 0, total: 0, longest: undefined });
  });
});

describe("points", () => {
  it("the mean of all readings weighs buckets by what they hold", () => {
    const few = { ...bucket(0, 100), count: 1 };
    const many = { ...bucket(1, 50), count: 3 };
    expect(summary([few, many])).toMatchObject({
      count: 4,
      mean: 62.5,
      min: 48,
      max: 102,
      last: 50,
    });
    expect(summary([])).toBeUndefined();
  });

  it("the cursor finds the bucket it is in, and nothing in a gap", () => {
    const points = [bucket(0, 70), bucket(5, 90)];
    expect(pointAt(points, T0 + 50 * SECOND, MINUTE, 0)?.mean).toBe(70);
    expect(pointAt(points, T0 + 3 * MINUTE, MINUTE, 0)).toBeUndefined();
    expect(pointAt(points, T0 + 3 * MINUTE, MINUTE, 4 * MINUTE)?.mean).toBe(70);
  });

  it("a limit that is near is in the picture, one far away does not flatten the line", () => {
    const points = [bucket(0, 95), bucket(1, 97)];
    const limit = (value: number) => ({ ruleId: "r", priority: 3, value, isUpper: false });
    const [low] = scale(points, [limit(90), limit(20)], 5);
    expect(low).toBeLessThan(90);
    expect(low).toBeGreaterThan(80);
  });

  it("a line without any change still has a scale", () => {
    const flat = { ...bucket(0), min: 80, max: 80 };
    const [low, high] = scale([flat], [], 10);
    expect(high - low).toBeGreaterThanOrEqual(10);
    expect(scale([], [], 0)).toEqual([0, 1]);
  });
});

describe("alerts", () => {
  const alert = (id: string, from: number, more: Partial<AlertSpan> = {}): AlertSpan => ({
    alertId: id,
    ruleId: "spo2-low",
    vital: 3,
    priority: 2,
    from: T0 + from * HOUR,
    endedAt: undefined,
    isOver: false,
    isTechnical: false,
    isRetrospective: false,
    isUnconfirmed: false,
    limit: 90,
    unit: "%",
    ...more,
  });
  const span = { from: T0, until: T0 + 4 * HOUR };
  const shown = (alerts: AlertSpan[]) =>
    alertsIn(alerts, span, T0 + 4 * HOUR).map((alert) => alert.alertId);

  it("those that reach into the span are shown, also if they began before it", () => {
    const before = alert("before", -5, { endedAt: T0 - HOUR, isOver: true });
    const into = alert("into", -5, { endedAt: T0 + HOUR, isOver: true });
    const open = alert("open", -50);
    const after = alert("after", 5);
    expect(shown([after, before, into, open])).toEqual(["open", "into"]);
  });

  it("one that was closed at an unknown time is at its onset and nowhere else", () => {
    expect(shown([alert("a", -1, { isOver: true }), alert("b", 1, { isOver: true })])).toEqual([
      "b",
    ]);
  });

  it("of one onset the higher priority comes first", () => {
    expect(shown([alert("low", 1, { priority: 1 }), alert("high", 1, { priority: 3 })])).toEqual([
      "high",
      "low",
    ]);
  });
});

describe("files", () => {
  it("a line for each bucket, with times in UTC", () => {
    const lines = historyCsv([
      { vital: "spo2", unit: "%", width: MINUTE, points: [bucket(0, 96.123456)] },
    ]).split("\r\n");
    expect(lines[1]).toBe(
      "spo2,%,2026-01-31T08:00:00.000Z,60,60,94.123456,98.123456,96.1235,96.123456,2026-01-31T08:00:59.000Z,",
    );
    expect(lines).toHaveLength(3);
  });

  it("no field is taken for a formula or breaks its line", () => {
    expect(csvField("=HYPERLINK(1)")).toBe("'=HYPERLINK(1)");
    expect(csvField('a "b", c')).toBe('"a ""b"", c"');
    expect(csvField(-3)).toBe("-3");
  });
});
