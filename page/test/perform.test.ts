import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { lateWords } from "../src/actions/late";
import { type Intent, type Outcome, perform } from "../src/actions/perform";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb";
import * as made from "./made";

/** What the service answers, one after the other; it is silent behind the last. */
const service = vi.hoisted(() => ({ answers: [] as (() => Promise<unknown>)[], calls: 0 }));

vi.mock("../src/api/clients", () => {
  const acknowledgeAlert = () => {
    service.calls += 1;
    return service.answers.shift()?.() ?? new Promise(() => undefined);
  };
  return { alerts: () => ({ acknowledgeAlert }) };
});

const intent: Intent = {
  task: "acknowledge",
  seen: made.alert("a", "p-1", made.Priority.HIGH),
  note: "",
  minutes: 5,
  assignee: "",
};

const fails = (code: Code, reason?: string) => () => {
  const value = { reason, domain: "pulseward", metadata: {} };
  const details = reason === undefined ? [] : [{ desc: ErrorInfoSchema, value }];
  return Promise.reject(new ConnectError("no", code, undefined, details));
};
const succeeds = () => Promise.resolve({});

let requests = 0;

async function outcomeOf(...answers: (() => Promise<unknown>)[]): Promise<Outcome> {
  service.answers = answers;
  requests += 1;
  const outcome = perform(intent, `${requests}`, new AbortController().signal);
  await vi.runAllTimersAsync();
  return outcome;
}

beforeEach(() => {
  vi.useFakeTimers();
  service.calls = 0;
});
afterEach(() => void vi.useRealTimers());

describe("what is asked of the service", () => {
  test("an answer that got lost is asked for again", async () => {
    expect(await outcomeOf(fails(Code.Unavailable), succeeds)).toEqual({ kind: "done" });
    expect(service.calls).toBe(2);
  });

  test("only what the service has certainly not done is refused", async () => {
    for (const code of [Code.InvalidArgument, Code.NotFound, Code.FailedPrecondition]) {
      expect((await outcomeOf(fails(code))).kind, Code[code]).toBe("refused");
    }
    for (const code of [Code.Canceled, Code.Internal, Code.DataLoss, Code.Aborted]) {
      expect((await outcomeOf(fails(code))).kind, Code[code]).toBe("unknown");
    }
    const many = (failure: () => Promise<unknown>) => outcomeOf(...Array(4).fill(failure));
    for (const code of [Code.Unknown, Code.Unavailable, Code.DeadlineExceeded]) {
      expect((await many(fails(code))).kind, Code[code]).toBe("unknown");
    }
    expect((await many(fails(Code.ResourceExhausted))).kind).toBe("unknown");
    const tooMany = fails(Code.ResourceExhausted, "TOO_MANY_CALLS");
    expect(await many(tooMany)).toMatchObject({ kind: "refused", reason: "TOO_MANY_CALLS" });
  });

  test("a refusal at the door says nothing of an attempt that had no answer", async () => {
    const lost = fails(Code.DeadlineExceeded);
    expect((await outcomeOf(lost, fails(Code.Unauthenticated))).kind).toBe("unknown");
    const ended = fails(Code.FailedPrecondition, "ALERT_ENDED");
    expect((await outcomeOf(lost, ended)).kind).toBe("refused");
  });

  test("once it is closed nothing is asked for again, also in a pause", async () => {
    service.answers = [fails(Code.DeadlineExceeded), succeeds];
    const ending = new AbortController();
    const outcome = perform(intent, "closed", ending.signal);
    await vi.advanceTimersByTimeAsync(100);
    ending.abort();
    expect((await outcome).kind).toBe("unknown");
    await vi.runAllTimersAsync();
    expect(service.calls).toBe(1);
  });

  test("what was on its way when it was closed is waited for", async () => {
    let answer: (of: unknown) => void = () => undefined;
    service.answers = [() => new Promise((resolve) => (answer = resolve))];
    const ending = new AbortController();
    const outcome = perform(intent, "closed", ending.signal);
    ending.abort();
    answer({});
    expect(await outcome).toEqual({ kind: "done" });
  });
});

describe("an answer that came late", () => {
  const said = (outcome: Outcome) => lateWords(intent, outcome);

  test("says of whom, and what became of it", () => {
    expect(said({ kind: "done" })).toBe("Acknowledge, spo2-low of p-1: acknowledged.");
    expect(said({ kind: "refused", reason: "ALERT_ENDED", words: "It is over." })).toBe(
      "Acknowledge, spo2-low of p-1: NOT ACKNOWLEDGED. It is over.",
    );
    expect(said({ kind: "unknown", words: "Nothing came." })).toContain("may have been done");
  });
});
