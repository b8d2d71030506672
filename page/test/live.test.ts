import { describe, expect, test } from "vitest";

import { LAG_MAX_MS, Liveness, OLD } from "../src/model/live";

const GOOD = { ingestConnected: true, lagMs: 0 };
/** What the service's clock shows where the page's shows nothing. */
const SERVICE_TIME = 1_000_000;

/** A heartbeat that was said at one second, and came at another. */
function beat(liveness: Liveness, said: number, came = said, also = {}): void {
  const serviceTime = SERVICE_TIME + said * 1000;
  liveness.heartbeat({ ...GOOD, serviceTime, ...also }, came * 1000);
}

/** Live since 0. */
function live(): Liveness {
  const liveness = new Liveness(0);
  liveness.opened();
  liveness.present();
  beat(liveness, 0);
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
    beat(liveness, 2);
    expect(notLive(liveness, 3)).toEqual([0, "catching up"]);
    liveness.present();
    expect(notLive(liveness, 5)).toBeUndefined();
  });

  test("nothing is live before the service has said that it is well", () => {
    const liveness = new Liveness(0);
    liveness.opened();
    liveness.present();
    expect(notLive(liveness, 1)).toEqual([0, "connecting"]);
    beat(liveness, 2, 2, { ingestConnected: false });
    expect(notLive(liveness, 3)?.[1]).toContain("no messages");
    beat(liveness, 4);
    expect(notLive(liveness, 5)).toBeUndefined();
    liveness.cut("no connection");
    liveness.opened();
    liveness.present();
    expect(notLive(liveness, 6)).toEqual([4, "connecting"]);
  });

  test("a stream that has nothing to catch up with is live as it begins", () => {
    const liveness = new Liveness(0);
    liveness.begun(1000);
    expect(notLive(liveness, 2)).toBeUndefined();
    expect(notLive(liveness, 25)).toEqual([1, "the service says nothing"]);
  });

  test("silence shows within 25 s of the last heartbeat, and since then", () => {
    const liveness = live();
    beat(liveness, 10);
    expect(notLive(liveness, 33)).toBeUndefined();
    expect(notLive(liveness, 34)).toEqual([10, "the service says nothing"]);
    beat(liveness, 36);
    expect(notLive(liveness, 37)).toBeUndefined();
  });

  test("a cut shows at once, and lasts until what was missed is told", () => {
    const liveness = live();
    beat(liveness, 10);
    liveness.cut("no connection");
    expect(notLive(liveness, 12)).toEqual([10, "no connection"]);
    liveness.opened();
    beat(liveness, 15);
    expect(notLive(liveness, 16)).toEqual([10, "catching up"]);
    liveness.present();
    expect(notLive(liveness, 18)).toBeUndefined();
  });

  test("a service that hears no devices is not live, however often it says so", () => {
    const liveness = live();
    for (const at of [10, 20, 30]) beat(liveness, at, at, { ingestConnected: false });
    expect(notLive(liveness, 31)).toEqual([10, "the service takes no messages from its broker"]);
    beat(liveness, 40, 40, { lagMs: LAG_MAX_MS });
    expect(notLive(liveness, 41)?.[1]).toContain("behind");
    beat(liveness, 50);
    expect(notLive(liveness, 51)).toBeUndefined();
  });

  test("what was held back on its way is as old as it is", () => {
    const liveness = live();
    beat(liveness, 10);
    beat(liveness, 20, 32);
    expect(notLive(liveness, 43)).toBeUndefined();
    expect(notLive(liveness, 44)).toEqual([20, "the service says nothing"]);
    beat(liveness, 30, 55);
    expect(liveness.isOld).toBe(true);
    expect(notLive(liveness, 55)).toEqual([30, OLD]);
    beat(liveness, 55, 56);
    expect(liveness.isOld).toBe(false);
    expect(notLive(liveness, 57)).toBeUndefined();
  });
});

describe("the service's clock", () => {
  const seconds = (liveness: Liveness, at: number) =>
    ((liveness.serviceTime(at * 1000) ?? Number.NaN) - SERVICE_TIME) / 1000;

  test("runs on between heartbeats", () => {
    expect(new Liveness(0).serviceTime(0)).toBeUndefined();
    const liveness = live();
    beat(liveness, 10);
    expect([seconds(liveness, 13), seconds(liveness, 8)]).toEqual([13, 8]);
  });

  test("is not put back by what comes late, and forward by what comes faster", () => {
    const liveness = live();
    beat(liveness, 10, 15);
    expect(seconds(liveness, 20)).toBe(20);
    beat(liveness, 21, 20);
    expect(seconds(liveness, 20)).toBe(21);
  });

  test("is put back where a new stream says so: what it tells cannot be older than itself", () => {
    const liveness = live();
    beat(liveness, 60, 100);
    expect(notLive(liveness, 100)?.[1]).toBe(OLD);
    liveness.cut(OLD);
    liveness.asks(101_000);
    liveness.opened();
    liveness.present();
    beat(liveness, 62, 102);
    expect(notLive(liveness, 103)).toBeUndefined();
    expect(seconds(liveness, 102)).toBe(62);
  });

  test("may run a little slower than the page's for weeks", () => {
    const liveness = live();
    const weeks = 14 * 86_400;
    for (let at = 0; at < weeks; at += 10) beat(liveness, at * (1 - 1e-4), at);
    expect(liveness.isOld).toBe(false);
    expect(notLive(liveness, weeks)).toBeUndefined();
  });
});
