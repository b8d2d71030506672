/**
 * Clocks: a steady one, and now by the service's.
 *
 * Ages on the screen are of the service's clock: a screen whose own clock is wrong must not show old
 * values as new. The steady clock of browsers stands still while the machine sleeps on some systems;
 * the time that was slept is put to it, for nobody was heard meanwhile.
 */
import { signal } from "@preact/signals";

/** Milliseconds since 1970; changes once a second. Read it as `now.value` to be drawn anew. */
export const now = signal(Date.now());

const TICK_MS = 1000;
/** The wall clock may be put right by less than this without anybody having slept. */
const SLEPT_MIN_MS = 2000;

let slept = 0;
let last = { steady: performance.now(), wall: Date.now() };
let serviceTimeAt: (steady: number) => number | undefined = () => undefined;

/** Milliseconds of a clock that never goes back, and goes on while the machine sleeps. */
export function steady(): number {
  const at = { steady: performance.now(), wall: Date.now() };
  const lost = at.wall - last.wall - (at.steady - last.steady);
  if (lost > SLEPT_MIN_MS) slept += lost;
  last = at;
  return at.steady + slept;
}

/** Takes the service's clock, by the steady one. */
export function followServiceClock(of: (steady: number) => number | undefined): void {
  serviceTimeAt = of;
}

/** What the service's clock says at a moment of the steady one; this screen's before that is known. */
export function timeAt(moment: number): number {
  return serviceTimeAt(moment) ?? Date.now() - (steady() - moment);
}

/** Begins to tick; what is given back ticks once more, at once. */
export function startClock(onTick: () => void): () => void {
  const tick = () => {
    now.value = timeAt(steady());
    onTick();
  };
  setInterval(tick, TICK_MS);
  return tick;
}
