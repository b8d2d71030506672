import { describe, expect, it } from "vitest";

import {
  cannotRedrive,
  chunks,
  excerpt,
  hexDump,
  plan,
  REASONS,
  type Refused,
  type Registered,
  readingsTopic,
  reason,
  results,
  whyWords,
} from "../src/model/refused";

const NOW = Date.UTC(2026, 0, 31, 8);
const MINUTE = 60_000;

const refused = (messageId: string, more: Partial<Refused> = {}): Refused => ({
  messageId,
  topic: "pulseward/v1/north/watch-1/readings",
  receivedAt: NOW - 60 * MINUTE,
  reason: 7,
  detail: "no device watch-1 is enrolled",
  readings: [],
  readingsTotal: 0,
  redrivenAt: undefined,
  redrivenFrom: "",
  erasedAt: undefined,
  ...more,
});

describe("refused messages", () => {
  it("every reason of the contract has words, and an unknown one is no mistake", () => {
    expect(REASONS.map((reason) => reason.number)).toEqual(
      Array.from({ length: 14 }, (_, at) => at + 1),
    );
    expect(reason(99).words).toBe("another reason");
  });

  it("only messages of readings that were not sent through can be", () => {
    expect(cannotRedrive(refused("a"))).toBeUndefined();
    expect(cannotRedrive(refused("a", { redrivenAt: NOW }))).toMatch(/already/);
    expect(cannotRedrive(refused("a", { erasedAt: NOW }))).toMatch(/erased/);
    expect(cannotRedrive(refused("a", { topic: "pulseward/v1/north/watch-1/status" }))).toMatch(
      /readings/,
    );
  });

  it("a topic that is none of the contract's names nobody", () => {
    expect(readingsTopic("pulseward/v1/n/w/readings")).toEqual({ siteId: "n", deviceId: "w" });
    expect(readingsTopic("pulseward/v1/n/w/x/readings")).toBeUndefined();
    expect(readingsTopic("/pulseward/v1/n/w/readings")).toBeUndefined();
  });

  it("why is said on one line", () => {
    const some = refused("a", {
      reason: 0,
      detail: "",
      readings: [{ index: 2, reason: 3, detail: "bananas" }],
      readingsTotal: 240,
    });
    expect(whyWords(some)).toBe("240 readings, the first: unknown unit: bananas");
    expect(whyWords(refused("b"))).toBe("unknown device: no device watch-1 is enrolled");
  });
});

describe("a dry run", () => {
  const worn: Registered = {
    siteId: "north",
    worn: [{ from: NOW - 24 * 60 * MINUTE, until: undefined }],
  };
  const outlook = (message: Refused, device?: Registered) => {
    const registered = new Map(device ? [["watch-1", device]] : []);
    return plan([message], registered, NOW).sent.map((it) => it.outlook)[0];
  };

  it("sends what can be sent, the earliest first, and says why the rest is left", () => {
    const early = refused("early", { receivedAt: NOW - 90 * MINUTE });
    const done = refused("done", { redrivenAt: NOW });
    const planned = plan([refused("late"), done, early], new Map([["watch-1", worn]]), NOW);
    expect(planned.sent.map((it) => it.message.messageId)).toEqual(["early", "late"]);
    expect(planned.left.map((it) => it.message.messageId)).toEqual(["done"]);
  });

  it("a device that is still unknown, elsewhere, or on nobody is refused again", () => {
    expect(outlook(refused("a"), worn)).toBe("goes through");
    expect(outlook(refused("a"), { siteId: undefined, worn: undefined })).toBe("refused again");
    expect(outlook(refused("a"), { ...worn, siteId: "south" })).toBe("refused again");
    expect(outlook(refused("a"), { ...worn, worn: [{ from: NOW, until: undefined }] })).toBe(
      "refused again",
    );
  });

  it("what was not looked up is not guessed", () => {
    expect(outlook(refused("a"))).toBe("not known");
    expect(outlook(refused("a"), { ...worn, worn: undefined })).toBe("not known");
  });

  it("a reason that does not pass stays", () => {
    expect(outlook(refused("a", { reason: 1 }), worn)).toBe("refused again");
    const mixed = refused("a", {
      reason: 0,
      readings: [
        { index: 0, reason: 9, detail: "" },
        { index: 1, reason: 6, detail: "" },
      ],
      readingsTotal: 2,
    });
    const [planned] = plan([mixed], new Map([["watch-1", worn]]), NOW).sent;
    expect(planned).toMatchObject({
      outlook: "goes through in part",
      why: "but for readings with: impossible value",
    });
  });
});

describe("what became of messages", () => {
  it("each has its own answer", () => {
    const answer = {
      accepted: 3,
      duplicate: 0,
      rejected: [refused("b", { reason: 9, detail: "on nobody" })],
      skipped: [{ messageId: "c", reason: "ALREADY_REDRIVEN", detail: "sent through before" }],
    };
    const part = { index: 0, reason: 6, detail: "" };
    answer.rejected.push(refused("d", { reason: 0, readings: [part], readingsTotal: 1 }));
    const asked = ["a", "b", "c", "d"].map((id) => refused(id));
    const told = results(asked, answer);
    expect(told.map((it) => [it.became, it.why])).toEqual([
      ["went through", ""],
      ["refused again", "unbound device: on nobody"],
      ["left out", "sent through before"],
      ["refused again in part", "1 reading: impossible value"],
    ]);
  });

  it("all readings that were sent and refused again are the whole of it", () => {
    const readings = [{ index: 3, reason: 9, detail: "" }];
    const message = refused("a", { reason: 0, readings, readingsTotal: 1 });
    const answer = { accepted: 0, duplicate: 4, rejected: [message], skipped: [] };
    expect(results([message], answer)[0]?.became).toBe("refused again");
  });

  it("of a call that failed nothing is claimed", () => {
    expect(results([refused("a")], undefined, "not reached")[0]).toMatchObject({
      became: "not known",
      why: "not reached",
    });
  });

  it("many are asked for in parts", () => {
    expect(chunks([1, 2, 3, 4, 5], 2)).toEqual([[1, 2], [3, 4], [5]]);
    expect(chunks([], 2)).toEqual([]);
  });
});

describe("payloads", () => {
  it("bytes stand sixteen a line beside what can be printed, and not all of many", () => {
    const dump = hexDump(new TextEncoder().encode("Pulse\u0001ward, day by day"));
    expect(dump.split("\n")[0]).toBe(
      "0000  50 75 6c 73 65 01 77 61 72 64 2c 20 64 61 79 20  Pulse.ward, day ",
    );
    expect(hexDump(new Uint8Array(300))).toMatch(/… 44 more bytes$/);
  });

  it("text is cut, and what moves a cursor is not shown as it is", () => {
    expect(excerpt("a\u001b[2Jb\nc")).toBe("a\ufffd[2Jb\nc");
    expect(excerpt("x".repeat(5_000))).toMatch(/… 1000 more characters$/);
  });
});
