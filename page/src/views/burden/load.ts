/** Asks the service how much alarms ask of a ward: in a span, and in the one before. */
import { alerts } from "../../api/clients";
import { words } from "../../api/errors";
import type { GetAlarmBurdenResponse } from "../../gen/pulseward/v1/alert_pb";
import { before, hourOffsetMinutes } from "../../model/burden";
import type { Span } from "../../model/history";
import { timestamp } from "../../words/times";

/** Which burden. */
export interface Wanted {
  /** Empty for all of the caller's. */
  readonly siteId: string;
  readonly span: Span;
  readonly timeZone: string;
}

/** What is shown. */
export interface Burden extends Wanted {
  readonly now: GetAlarmBurdenResponse;
  /** `undefined` where the span before could not be had; `pastMissing` says why. */
  readonly past: GetAlarmBurdenResponse | undefined;
  readonly pastMissing: string;
}

/** Both spans at once; without the one before there is nothing to compare with, and that is said. */
export async function loadBurden(wanted: Wanted, signal: AbortSignal): Promise<Burden> {
  const [now, past] = await Promise.allSettled([
    counted(wanted, wanted.span, signal),
    counted(wanted, before(wanted.span), signal),
  ]);
  if (now.status === "rejected") throw now.reason;
  const isThere = past.status === "fulfilled";
  return {
    ...wanted,
    now: now.value,
    past: isThere ? past.value : undefined,
    pastMissing: isThere ? "" : words(past.reason),
  };
}

function counted({ siteId, timeZone }: Wanted, span: Span, signal: AbortSignal) {
  const request = {
    siteIds: siteId === "" ? [] : [siteId],
    from: timestamp(span.from),
    until: timestamp(span.until),
    hourOffsetMinutes: hourOffsetMinutes(timeZone, span.from),
  };
  return alerts().getAlarmBurden(request, { signal });
}
