/**
 * When the screen is touched: some times a second, and only what changed and is in sight.
 *
 * Readings are drawn together, four times a second: nobody reads faster, and each frame that a wall
 * does not have to draw is power it does not need. However many there are, a frame redraws at most
 * TILES_PER_FRAME tiles, so that it is done in time; the others follow in the next frames. What
 * happens to alerts waits for nothing but the next frame.
 */

/** Some milliseconds of work on a slow machine. */
const TILES_PER_FRAME = 8;
/** From the beginning of one drawing to that of the next. */
const DRAW_EVERY_MS = 250;
/** Frames stop in a tab that nobody sees; what must go on there (its title) goes on this often. */
const HIDDEN_MS = 1000;

/** Something that is drawn. */
export interface Drawn {
  draw: () => void;
}

const waiting = new Set<Drawn>();
const first = new Set<() => void>();
let isAsked = false;
let isDrawing = false;
let timer: ReturnType<typeof setTimeout> | undefined;
let begunAt = Number.NEGATIVE_INFINITY;
let takeBack: () => void = () => undefined;

/** Has this drawn when the screen is drawn next. */
export function drawSoon(what: Drawn): void {
  waiting.add(what);
  if (isDrawing || timer !== undefined) return;
  timer = setTimeout(begin, Math.max(0, begunAt + DRAW_EVERY_MS - performance.now()));
}

/** Has this done in the next frame, before anything is drawn. */
export function inNextFrame(what: () => void): void {
  first.add(what);
  ask();
}

function begin(): void {
  timer = undefined;
  begunAt = performance.now();
  isDrawing = true;
  ask();
}

function ask(): void {
  if (isAsked) return;
  isAsked = true;
  askAgain();
}

/** Asks by what comes: frames where the tab is seen, else a timer. */
function askAgain(): void {
  takeBack();
  if (document.hidden) {
    const id = setTimeout(frame, HIDDEN_MS);
    takeBack = () => clearTimeout(id);
  } else {
    const id = requestAnimationFrame(frame);
    takeBack = () => cancelAnimationFrame(id);
  }
}

function frame(): void {
  isAsked = false;
  try {
    for (const it of [...first]) {
      first.delete(it);
      it();
    }
    if (isDrawing) drawSome();
  } finally {
    // One that throws is not to stop the others.
    if (isDrawing || first.size > 0) ask();
  }
}

function drawSome(): void {
  let count = 0;
  for (const it of waiting) {
    if (count >= TILES_PER_FRAME) return;
    waiting.delete(it);
    it.draw();
    count += 1;
  }
  isDrawing = false;
}

// A frame that was asked for before the tab was hidden does not come; and what was asked for while it
// was hidden is not to wait for the slow timer.
globalThis.document?.addEventListener("visibilitychange", () => {
  if (isAsked) askAgain();
});
