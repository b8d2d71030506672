import { describe, expect, test } from "vitest";

import { LAG_MAX_MS, Liveness } from "../src/model/live";

const GOOD = { serviceTime: 1_000_000, ingestConnected: true, lagMs: 0 };

function live(): Liveness {
  const liveness = new Liveness(0);
  liveness.opened();
  liveness.present(0);
  return liveness;
}

/** Since which second it is not live, and why; undefined if it is. */
function notLive(liveness: Liveness, second: number): [number, string] | undefined {
  const verdict = liveness.verdict(second * 1000);
  return verdict.live ? undefined : [verdict.since / 1000, verdict.why];
}

describe("whether it is live", () => {
  test("nothing is live before the stream has come to the present", () => {
    const liveness = new Liveness(0);
    expect(notLive(liveness, 1)).toEqual([0, "connecting"]);
    liveness.opened();
    liveness.heartbeat(GOOD, 2000);
    expect(notLive(liveness, 3)).toEqual([0, "catching up"]);
    liveness.present(4000);
    expect(notLive(liveness, 5)).toBeUndefined();
  });

  test("silence shows within 25 s of the last heartbeat, and since then", () => {
    const liveness = live();
    liveness.heartbeat(GOOD, 10_000);
    expect(notLive(liveness, 33)).toBeUndefined();
    expect(notLive(liveness, 34)).toEqual([10, "the service says nothing"]);
    liveness.heartbeat(GOOD, 36_000);
    expect(notLive(liveness, 37)).toBeUndefined();
  });

  test("a cut shows at once, and lasts until what was missed is told", () => {
    const liveness = live();
    liveness.heartbeat(GOOD, 10_000);
    liveness.cut("no connection");
    expect(notLive(liveness, 12)).toEqual([10, "no connection"]);
    liveness.opened();
    liveness.heartbeat(GOOD, 15_000);
    expect(notLive(liveness, 16)).toEqual([10, "catching up"]);
    liveness.present(17_000);
    expect(notLive(liveness, 18)).toBeUndefined();
  });

  test("a service that hears no devices is not live, however often it says so", () => {
    const liveness = live();
    for (const at of [10_000, 20_000, 30_000]) {
      liveness.heartbeat({ ...GOOD, ingestConnected: false }, at);
    }
    expect(notLive(liveness, 31)).toEqual([10, "the service takes no messages from its broker"]);
    liveness.heartbeat({ ...GOOD, lagMs: LAG_MAX_MS }, 40_000);
    expect(notLive(liveness, 41)?.[1]).toContain("behind");
    liveness.heartbeat(GOOD, 50_000);
    expect(notLive(liveness, 51)).toBeUndefined();
  });

  test("the service's clock runs on between heartbeats", () => {
    const liveness = live();
    expect(liveness.serviceTime(0)).toBeUndefined();
    liveness.heartbeat(GOOD, 10_000);
    expect(liveness.serviceTime(13_000)).toBe(1_003_000);
    expect(liveness.serviceTime(8000)).toBe(998_000);
  });
});
