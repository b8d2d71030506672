import { describe, expect, test } from "vitest";

import { ReadingFlag, type StoredReading } from "../src/gen/pulseward/v1/vitals_pb";
import { Vitals } from "../src/model/vitals";
import { figures, sayingOf } from "../src/views/ward/cells";
import * as made from "./made";

const { Vital } = made;

function reading(
  vital: made.Vital,
  second: number,
  quantity?: number,
  also: Partial<StoredReading> = {},
): StoredReading {
  return Object.assign(made.reading(second, quantity), { vital, unit: "" }, also);
}

function tracks(...readings: StoredReading[]) {
  const vitals = new Vitals();
  for (const it of readings) vitals.push("p-1", it);
  return vitals.tracks("p-1");
}

describe("a blood pressure", () => {
  const says = (systolic: StoredReading, diastolic: StoredReading) =>
    figures(tracks(systolic, diastolic), []).map(sayingOf);
  const systolic = (at: number, quantity?: number, also: Partial<StoredReading> = {}) =>
    reading(Vital.SYSTOLIC_PRESSURE, at, quantity, also);
  const diastolic = (at: number, quantity?: number, also: Partial<StoredReading> = {}) =>
    reading(Vital.DIASTOLIC_PRESSURE, at, quantity, also);

  test("is a pair where both come from one measurement", () => {
    const pair = [{ value: "128/74", why: undefined }];
    expect(says(systolic(9, 128), diastolic(9, 74))).toEqual(pair);
    expect(says(systolic(9, 128), diastolic(9, 74, { measurementId: 2 }))).toEqual(pair);
  });

  test("has no second where that was measured at another time, or by another device", () => {
    const none = [{ value: "128/--", why: undefined }];
    expect(says(systolic(9, 128), diastolic(8, 74))).toEqual(none);
    expect(says(systolic(9, 128), diastolic(10, 74))).toEqual(none);
    expect(says(systolic(9, 128), diastolic(9, 74, { deviceId: "other" }))).toEqual(none);
    const first = { measurementId: 1 };
    expect(says(systolic(9, 128, first), diastolic(9, 74, { measurementId: 2 }))).toEqual(none);
  });

  test("is doubted, and lacks, where either does", () => {
    const flags = [ReadingFlag.QUESTIONABLE];
    expect(says(systolic(9, 128), diastolic(9, 74, { flags }))[0]?.value).toBe("128/74?");
    expect(says(systolic(9, 128, { flags }), diastolic(9, 74))[0]?.value).toBe("128/74?");
    expect(says(systolic(9, 128), diastolic(8, 74, { flags }))[0]?.value).toBe("128/--");
    const lacking = says(systolic(9, 128), diastolic(9));
    expect(lacking[0]?.value).toBe("128/--");
    expect(lacking[0]?.why).not.toBeUndefined();
  });
});

describe("an alert about the heart rate", () => {
  const alert = made.alert("1", "p-1", made.Priority.HIGH, {
    ruleId: "heart-rate-high",
    vital: Vital.HEART_RATE,
  });
  const pulse = reading(Vital.PULSE_RATE, 9, 150);
  const marked = (readings: StoredReading[], pulseRules: string[]) =>
    figures(tracks(...readings), [alert], new Set(pulseRules))
      .filter((it) => it.alert !== undefined)
      .map((it) => it.vital);

  test("stands at the pulse rate where its rule covers that and there is no heart rate", () => {
    expect(marked([pulse], [alert.ruleId])).toEqual([Vital.PULSE_RATE]);
    expect(marked([pulse], ["another"])).toEqual([]);
    const both = [pulse, reading(Vital.HEART_RATE, 9, 150)];
    expect(marked(both, [alert.ruleId])).toEqual([Vital.HEART_RATE]);
  });
});
