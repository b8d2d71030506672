/** Times and spans in words: local time of this screen, 24 hours, its zone said. */
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

/** Milliseconds since 1970 of a time on the wire; undefined if there is none. */
export function millis(time: Timestamp | undefined): number | undefined {
  return time === undefined ? undefined : Number(time.seconds) * 1000 + time.nanos / 1e6;
}

/** The same for the wire. */
export function timestamp(at: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(at / 1000);
  return { seconds: BigInt(seconds), nanos: Math.round((at - seconds * 1000) * 1e6) };
}

/** Milliseconds of a span on the wire. */
export function spanMillis(span: Duration | undefined): number | undefined {
  return span === undefined ? undefined : Number(span.seconds) * 1000 + span.nanos / 1e6;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const DAY = new Intl.DateTimeFormat("sv-SE", { year: "numeric", month: "2-digit", day: "2-digit" });
const ZONE = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" });

/** `14:03:59` */
export function clockTime(at: number): string {
  return CLOCK.format(at);
}

/** `2026-01-31 14:03:59` */
export function dateTime(at: number): string {
  return `${DAY.format(at)} ${clockTime(at)}`;
}

/** `2026-01-31` */
export function day(at: number): string {
  return DAY.format(at);
}

/** `14:03:59` of today, `2026-01-31 14:03:59` of another day. */
export function whenWords(at: number, now: number): string {
  return day(at) === day(now) ? clockTime(at) : dateTime(at);
}

/** This screen's zone, such as `CET`. */
export function zone(at: number): string {
  return ZONE.formatToParts(at).find((it) => it.type === "timeZoneName")?.value ?? "";
}

/** A span in one unit, never too long: `12 s`, `3 min`, `5 h`, `2 d`. */
export function spanWords(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** A span exactly, for settings: `1 min 30 s`, `250 ms`. */
export function exactSpanWords(milliseconds: number): string {
  const parts: [number, string][] = [
    [86_400_000, "d"],
    [3_600_000, "h"],
    [60_000, "min"],
    [1000, "s"],
    [1, "ms"],
  ];
  const said: string[] = [];
  let rest = Math.round(milliseconds);
  for (const [size, unit] of parts) {
    const count = Math.floor(rest / size);
    if (count > 0) said.push(`${count} ${unit}`);
    rest -= count * size;
  }
  return said.join(" ") || "0 s";
}
