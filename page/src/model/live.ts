/**
 * Whether what is shown is live; and if not, since when and why.
 *
 * Pure: told what was heard and when, in milliseconds of a clock that never jumps. Live means: the
 * stream has come to the present, the service has said within SILENCE_MAX_MS that it is there, and it
 * takes messages from its broker without falling behind. Anything less is NOT LIVE, from the last
 * moment at which it was not less.
 */

/** The contract says 25 s, and a screen looks once a second. */
export const SILENCE_MAX_MS = 24_000;
/** An engine that is this far behind what has arrived is not live either. */
export const LAG_MAX_MS = 10_000;

/** What a heartbeat says. */
export interface Beat {
  /** The service's clock, milliseconds since 1970. */
  serviceTime: number | undefined;
  ingestConnected: boolean;
  lagMs: number;
}

/** What to show. `since` is of the clock that the model is told. */
export type Verdict = { live: true } | { live: false; since: number; why: string };

type Link = { is: "behind"; why: string } | { is: "present" } | { is: "cut"; why: string };

export class Liveness {
  private link: Link = { is: "behind", why: "connecting" };
  private deaf: { since: number; why: string } | undefined;
  private clock: { serviceTime: number; told: number } | undefined;
  /** When the service was last heard; at first, when we began to listen. */
  private heard: number;

  constructor(now: number) {
    this.heard = now;
  }

  /** A stream was opened; it is not at the present yet. */
  opened(): void {
    this.link = { is: "behind", why: "catching up" };
  }

  /** The stream has come to the present. */
  present(now: number): void {
    this.link = { is: "present" };
    this.heard = now;
  }

  /** The stream was cut. */
  cut(why: string): void {
    this.link = { is: "cut", why };
  }

  heartbeat(beat: Beat, now: number): void {
    // What is past is no news of the present: that counts from the end of catching up.
    if (this.link.is === "present") this.heard = now;
    if (beat.serviceTime !== undefined) this.clock = { serviceTime: beat.serviceTime, told: now };
    const why = whyDeaf(beat);
    this.deaf = why === undefined ? undefined : { since: this.deaf?.since ?? now, why };
  }

  /** How it is now. */
  verdict(now: number): Verdict {
    if (this.link.is !== "present") return { live: false, since: this.heard, why: this.link.why };
    if (now - this.heard >= SILENCE_MAX_MS) {
      return { live: false, since: this.heard, why: "the service says nothing" };
    }
    return this.deaf === undefined ? { live: true } : { live: false, ...this.deaf };
  }

  /** What the service's clock says at that moment; undefined before it has said so once. */
  serviceTime(at: number): number | undefined {
    return this.clock && this.clock.serviceTime + (at - this.clock.told);
  }
}

function whyDeaf(beat: Beat): string | undefined {
  if (!beat.ingestConnected) return "the service takes no messages from its broker";
  if (beat.lagMs >= LAG_MAX_MS) return "the service is behind what has arrived";
  return undefined;
}
