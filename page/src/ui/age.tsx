/** How old something is, in words that go on by themselves; stale beyond a minute. */
import { now } from "../state/clock";
import { dateTime, spanWords } from "../words/times";

/** Older than this, a value is not called new. */
export const FRESH_MAX_MS = 60_000;

interface Props {
  /** Milliseconds since 1970; undefined for "never". */
  at: number | undefined;
  /** Before the span, such as "since". */
  before?: string;
  /** After the span, such as "ago". */
  after?: string;
  /** Marks it once it is older than a minute. */
  marksStale?: boolean;
}

export function Age({ at, before = "", after = "", marksStale = false }: Props) {
  if (at === undefined) return <span class="age">never</span>;
  const age = now.value - at;
  const isStale = marksStale && age > FRESH_MAX_MS;
  return (
    <time class={isStale ? "age is-stale" : "age"} dateTime={isoTime(at)} title={dateTime(at)}>
      {[before, spanWords(age), after].filter((it) => it !== "").join(" ")}
    </time>
  );
}

function isoTime(at: number): string {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? "" : time.toISOString();
}
