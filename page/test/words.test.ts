import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";

import { isWorthRepeating, reasonOf, words } from "../src/api/errors";
import { readBearer } from "../src/api/session";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb";
import { href, parse } from "../src/router";
import { moreWords, priorityMark, priorityWords, remarks } from "../src/words/alerts";
import { alertSentence, tabTitle } from "../src/words/sentences";
import { exactSpanWords, millis, spanWords, timestamp } from "../src/words/times";
import { quantityWords, unitWords, vitalKey, vitalOfKey } from "../src/words/vitals";
import * as made from "./made";

const { HIGH, LOW, MEDIUM } = made.Priority;

describe("words", () => {
  test("priorities differ by letters and by word", () => {
    const all = [HIGH, MEDIUM, LOW];
    expect(all.map(priorityMark)).toEqual(["!!!", "!!", "!"]);
    expect(all.map(priorityWords)).toEqual(["HIGH", "MEDIUM", "LOW"]);
    expect(priorityWords(9 as typeof HIGH)).toBe("?");
  });

  test("spans are said in one unit and never too long", () => {
    const said = [0, 59_999, 60_000, 7_199_000, 3 * 86_400_000, -5].map(spanWords);
    expect(said).toEqual(["0 s", "59 s", "1 min", "1 h", "3 d", "0 s"]);
    expect(exactSpanWords(90_250)).toBe("1 min 30 s 250 ms");
  });

  test("a time goes to the wire and back", () => {
    for (const at of [0, 1_769_847_300_250, -1500]) {
      const { seconds, nanos } = timestamp(at);
      expect(nanos).toBeGreaterThanOrEqual(0);
      expect(millis({ seconds, nanos } as Parameters<typeof millis>[0])).toBe(at);
    }
  });

  test("quantities are said as precisely as they are read, and never rounded to another value", () => {
    expect(quantityWords(made.Vital.HEART_RATE, 90)).toBe("90");
    expect(quantityWords(made.Vital.HEART_RATE, 90.5)).toBe("90.5");
    expect(quantityWords(made.Vital.SPO2, 89.96)).toBe("89.96");
    expect(quantityWords(made.Vital.BODY_TEMPERATURE, 38)).toBe("38.0");
    expect(quantityWords(made.Vital.UNSPECIFIED, 5)).toBe("5");
    expect([unitWords("mm[Hg]"), unitWords("Cel"), unitWords("1")]).toEqual(["mmHg", "°C", ""]);
  });

  test("a vital's name in an address leads back to it", () => {
    expect(vitalKey(made.Vital.HEART_RATE)).toBe("heart_rate");
    expect(vitalOfKey("heart_rate")).toBe(made.Vital.HEART_RATE);
    expect([vitalOfKey("3"), vitalOfKey("unspecified"), vitalOfKey("toString")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("an alert is read aloud with its priority first and its limit", () => {
    const it = made.alert("a", "p-1", HIGH, { vital: made.Vital.SPO2, limit: 90, unit: "%" });
    expect(alertSentence(it)).toBe(
      "High priority: spo2-low, oxygen saturation of p-1, limit 90 %.",
    );
    const passed = { ...it, escalationLevel: 2, unconfirmed: true };
    expect(remarks(passed)).toEqual(["unconfirmed", "passed on (level 2)"]);
  });
});

describe("errors", () => {
  function refusal(code: Code, reason: string): ConnectError {
    const value = { reason, domain: "pulseward", metadata: { by: "dr-weber" } };
    return new ConnectError("no", code, undefined, [{ desc: ErrorInfoSchema, value }]);
  }

  test("what the service says of a token is told apart", () => {
    expect(words(refusal(Code.Unauthenticated, "TOKEN_EXPIRED"))).toContain("expired");
    expect(words(refusal(Code.Unauthenticated, "TOKEN_INVALID"))).toContain("not a token");
  });

  test("a reason that is unknown is said as the service says it", () => {
    const error = new ConnectError("the moon is full", Code.FailedPrecondition);
    expect(words(error)).toBe("The moon is full.");
  });

  test("only an answer that got lost is worth asking for again", () => {
    expect(isWorthRepeating(refusal(Code.Unavailable, ""))).toBe(true);
    expect(isWorthRepeating(refusal(Code.FailedPrecondition, "ALERT_ESCALATED"))).toBe(false);
    expect(isWorthRepeating(refusal(Code.Aborted, "ALERT_REASSIGNED"))).toBe(false);
  });
});

describe("addresses", () => {
  test("each leads to where it was made for, whatever an id holds", () => {
    const id = "p.1_2-3";
    expect(parse(href.patient(id))).toEqual({ view: "patient", patientId: id });
    expect(parse(href.alert("a/b"))).toEqual({ view: "alert", alertId: "a/b" });
    expect(parse(href.device(id))).toEqual({ view: "device", deviceId: id });
    const history = parse(href.history(id, { channel: "spo2" }));
    expect(history.view === "history" && history.query.get("channel")).toBe("spo2");
  });

  test("what is unknown is the ward", () => {
    for (const hash of ["", "#", "#/", "#/nowhere", "#/alert/", "#/%"]) {
      expect(parse(hash)).toEqual({ view: "ward" });
    }
  });
});

test("behind the worst alert it is said how many others there are, and how many signal", () => {
  const { ON, LATCHED } = made.SignalState;
  const of = (...signals: made.SignalState[]) =>
    moreWords(signals.map((signal) => made.alert("1", "a", made.Priority.HIGH, { signal })));
  expect([of(), of(ON)]).toEqual(["", ""]);
  expect(of(ON, LATCHED)).toBe("+1 more");
  expect(of(LATCHED, ON, LATCHED)).toBe("+2 more, 1 signal ON");
});

test("the tab says what is worst before it says the view", () => {
  const [none, low] = [
    { high: 0, medium: 0, low: 0 },
    { high: 0, medium: 0, low: 3 },
  ];
  expect(tabTitle("Devices", true, none)).toBe("Devices – Pulseward");
  expect(tabTitle("Devices", true, low)).toBe("Devices – Pulseward");
  expect(tabTitle("Devices", true, { ...low, medium: 2 })).toBe("!! 2 Devices – Pulseward");
  expect(tabTitle("Ward", true, { high: 1, medium: 2, low: 0 })).toBe("!!! 1 Ward – Pulseward");
  expect(tabTitle("Ward", false, { high: 1, medium: 2, low: 0 })).toBe("NOT LIVE Ward – Pulseward");
  expect(tabTitle("", true, none)).toBe("Pulseward");
});

test("a token's claims are read for labels, and nonsense is nobody", () => {
  const claims = btoa(JSON.stringify({ sub: "dr-weber", role: "viewer", exp: 1000 }));
  expect(readBearer(`h.${claims.replaceAll("=", "")}.s`)).toEqual({
    subject: "dr-weber",
    role: "viewer",
    expires: new Date(1_000_000),
  });
  for (const nonsense of ["", "a.b.c", "a.bnVsbA.c", "no"])
    expect(readBearer(nonsense)).toEqual({});
});

test("errors of other kinds have no reason", () => {
  expect(reasonOf(new Error("no"))).toBeUndefined();
});
