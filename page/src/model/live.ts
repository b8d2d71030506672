/**
 * Whether what is shown is live; and if not, since when and why.
 *
 * Pure: told what was heard and when, in milliseconds of a clock that never jumps. Live means: the
 * stream has come to the present, the service has said since it was opened and within SILENCE_MAX_MS
 * that it is there, and it takes messages from its broker without falling behind. Anything less is
 * NOT LIVE, from the last moment at which it was not less.
 *
 * What comes may be old: a network or a proxy may hold it back and let it go later. How late a
 * heartbeat is shows beside the one that came fastest; it counts from when it was said.
 */

/** The contract says 25 s, and a screen looks once a second. */
export const SILENCE_MAX_MS = 24_000;
/** An engine that is this far behind what has arrived is not live either. */
export const LAG_MAX_MS = 10_000;

/** Two clocks run apart by less than this share. */
const DRIFT_MAX = 2e-4;

/** Said of what was held back on its way. */
export const OLD = "what comes is old";

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
  /** By the heartbeat that came fastest. */
  private clock: { serviceTime: number; told: number } | undefined;
  /** When the stream was asked for: nothing that it tells was said before. */
  private askedAt: number;
  /** When the last heartbeat since it was opened was said, and how long it was on its way. */
  private beat: { saidAt: number; lateMs: number } | undefined;
  /** When the service was last heard; at first, when we began to listen. */
  private heard: number;

  constructor(now: number) {
    this.askedAt = now;
    this.heard = now;
  }

  /** A stream is asked for. */
  asks(now: number): void {
    this.askedAt = now;
  }

  /** A stream was opened; it is not at the present yet. */
  opened(): void {
    this.link = { is: "behind", why: "catching up" };
    this.beat = undefined;
  }

  /** The stream has come to the present; whether all is well there, a heartbeat says. */
  present(): void {
    this.link = { is: "present" };
    this.hear();
  }

  /** A stream that has nothing to catch up with begins: that is a sign of life. */
  begun(now: number): void {
    this.beat = { saidAt: now, lateMs: 0 };
    this.present();
  }

  /** The stream was cut. */
  cut(why: string): void {
    this.link = { is: "cut", why };
  }

  heartbeat(beat: Beat, now: number): void {
    const lateMs = this.follow(beat.serviceTime, now);
    this.beat = { saidAt: now - lateMs, lateMs };
    // What is past is no news of the present: that counts from the end of catching up.
    if (this.link.is === "present") this.hear();
    const why = whyDeaf(beat);
    this.deaf = why === undefined ? undefined : { since: this.deaf?.since ?? now, why };
  }

  /** How it is now. */
  verdict(now: number): Verdict {
    if (this.link.is !== "present") return { live: false, since: this.heard, why: this.link.why };
    if (this.beat === undefined) return { live: false, since: this.heard, why: "connecting" };
    if (now - this.heard >= SILENCE_MAX_MS) {
      const why = this.isOld ? OLD : "the service says nothing";
      return { live: false, since: this.heard, why };
    }
    return this.deaf === undefined ? { live: true } : { live: false, ...this.deaf };
  }

  /** Whether what comes is so old that the stream is to be opened anew. */
  get isOld(): boolean {
    return this.beat !== undefined && this.beat.lateMs >= SILENCE_MAX_MS;
  }

  /** What the service's clock says at that moment; undefined before it has said so once. */
  serviceTime(at: number): number | undefined {
    return this.clock && this.clock.serviceTime + (at - this.clock.told);
  }

  private hear(): void {
    if (this.beat !== undefined) this.heard = Math.max(this.heard, this.beat.saidAt);
  }

  /** Takes the service's clock, unless what it says is late; gives how late it is. */
  private follow(serviceTime: number | undefined, now: number): number {
    if (serviceTime === undefined) return 0;
    const expected = this.serviceTime(now);
    const lateMs = expected === undefined ? 0 : expected - serviceTime;
    // Later than the stream is old: not late, but one of the clocks was put right.
    const isOtherClock = lateMs > now - this.askedAt;
    const drift = this.clock === undefined ? 0 : (now - this.clock.told) * DRIFT_MAX;
    if (lateMs > drift && !isOtherClock) return lateMs;
    this.clock = { serviceTime, told: now };
    return 0;
  }
}

function whyDeaf(beat: Beat): string | undefined {
  if (!beat.ingestConnected) return "the service takes no messages from its broker";
  if (beat.lagMs >= LAG_MAX_MS) return "the service is behind what has arrived";
  return undefined;
}
