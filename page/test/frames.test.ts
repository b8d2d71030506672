import { afterEach, beforeEach, expect, test, vi } from "vitest";

/** A tab whose frames come only while it is seen. */
const tab = {
  hidden: false,
  changed: (): void => undefined,
  frames: new Map<number, () => void>(),
};

vi.stubGlobal("document", {
  get hidden() {
    return tab.hidden;
  },
  addEventListener: (_: string, listener: () => void) => {
    tab.changed = listener;
  },
});
vi.stubGlobal("requestAnimationFrame", (frame: () => void) => {
  const id = Math.random();
  tab.frames.set(id, frame);
  return id;
});
vi.stubGlobal("cancelAnimationFrame", (id: number) => tab.frames.delete(id));

const { drawSoon, inNextFrame } = await import("../src/state/frames");

function see(is: boolean): void {
  tab.hidden = !is;
  tab.changed();
}

function drawFrame(): void {
  const all = [...tab.frames.values()];
  tab.frames.clear();
  for (const it of all) it();
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  see(true);
});
afterEach(() => void vi.useRealTimers());

test("a frame that was asked for before the tab is hidden is not waited for", () => {
  let drawn = 0;
  inNextFrame(() => {
    drawn += 1;
  });
  see(false);
  vi.advanceTimersByTime(1000);
  expect(drawn).toBe(1);
  see(true);
  drawFrame();
  expect(drawn).toBe(1);
});

test("one drawing that throws does not stop the others", () => {
  const fault = () => {
    throw new Error("a fault");
  };
  let drawn = 0;
  const draw = () => {
    drawn += 1;
  };
  inNextFrame(fault);
  inNextFrame(draw);
  drawSoon({ draw: fault });
  drawSoon({ draw });
  expect(() => vi.advanceTimersByTime(1000)).not.toThrow();
  for (let faults = 0; faults < 2; faults += 1) expect(drawFrame).toThrow("a fault");
  drawFrame();
  expect(drawn).toBe(2);
});

test("what waits in a tab that comes in sight is drawn in its next frame, once", () => {
  let drawn = 0;
  see(false);
  inNextFrame(() => {
    drawn += 1;
  });
  see(true);
  drawFrame();
  expect(drawn).toBe(1);
  vi.advanceTimersByTime(5000);
  expect(drawn).toBe(1);
});
