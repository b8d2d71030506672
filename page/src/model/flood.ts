/**
 * Which of many alerts are said aloud one by one, and which are summed up: nobody listens to a queue.
 *
 * Pure: told what comes and when, in milliseconds of a clock that never jumps. The first few within a
 * short time are said, the rest is counted. Alerts of high priority wait for such alone.
 */

/** What comes within this belongs together. */
export const TOGETHER_MS = 2000;
/** So many of it are said one by one. */
const SAID_MAX = 3;

/** How many were not said one by one. */
export interface Rest {
  all: number;
  high: number;
}

export class Flood {
  private readonly high = new Window();
  private readonly other = new Window();

  /** Whether to say it; otherwise it is counted. */
  admits(isHigh: boolean, at: number): boolean {
    return (isHigh ? this.high : this.other).admits(at);
  }

  /** What was counted since this was asked last, to be told now. */
  rest(at: number): Rest {
    const high = this.high.rest(at);
    return { all: high + this.other.rest(at), high };
  }
}

class Window {
  /** When the last ones were said. */
  private said: number[] = [];
  private held = 0;

  admits(at: number): boolean {
    this.said = this.said.filter((it) => at - it < TOGETHER_MS);
    if (this.held > 0 || this.said.length >= SAID_MAX) {
      this.held += 1;
      return false;
    }
    this.said.push(at);
    return true;
  }

  /** Once summed up, what goes on coming is summed up as well. */
  rest(at: number): number {
    const { held } = this;
    if (held > 0) this.said = Array(SAID_MAX).fill(at);
    this.held = 0;
    return held;
  }
}
