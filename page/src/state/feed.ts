/**
 * The two streams that the page lives on, from the first sign-in until it is closed: alerts, resumed
 * behind the cursor, and vitals, which have nothing to resume.
 */

import { Code, ConnectError } from "@connectrpc/connect";
import { computed, effect } from "@preact/signals";

import { alerts as alertClient, vitals as vitalsClient } from "../api/clients";
import { reasonOf, words } from "../api/errors";
import { access, otherCallers } from "../api/session";
import { follow } from "../api/stream";
import type { WatchAlertsResponse } from "../gen/pulseward/v1/alert_pb";
import type { WatchVitalsResponse } from "../gen/pulseward/v1/vitals_pb";
import type { Change } from "../model/alerts";
import { type Beat, Liveness, OLD, type Verdict } from "../model/live";
import { route } from "../router";
import { millis, spanMillis } from "../words/times";
import { followServiceClock, steady, timeAt } from "./clock";
import { sitesOfVitals } from "./filter";
import { showVerdict } from "./live";
import { takeAlerts, takeVitals, ward } from "./ward";

/**
 * As often as the screen is drawn: with less, a value that comes each second waits for up to another
 * second. Devices that measure at 1 Hz cause no more messages by it.
 */
const PER_SECOND_MAX = 4;

const alertsLive = new Liveness(steady());
const vitalsLive = new Liveness(steady());

/** What everybody who wants to hear of changes is told, after the models have taken them. */
export type Listener = (change: Change, isPresent: boolean) => void;

/** Begins to follow once there is access. Called once. */
export function startFeed(listener: Listener): void {
  followServiceClock((at) => alertsLive.serviceTime(at));
  const ended = new AbortController();
  const stop = effect(() => {
    const { kind } = access.value;
    if (kind !== "open" && kind !== "token") return;
    queueMicrotask(() => stop());
    void followAlerts(listener, ended.signal);
    followVitals(ended.signal);
  });
  // A page that is left holds no stream of the service's; one that comes back begins anew.
  globalThis.addEventListener("pagehide", () => ended.abort());
  globalThis.addEventListener("pageshow", (event) => {
    if (event.persisted) globalThis.location.reload();
  });
}

/** Looks at the clock: whether what is shown is live. */
export function judge(): void {
  showVerdict(verdict(), timeAt);
}

function verdict(): Verdict {
  const at = steady();
  const ofAlerts = alertsLive.verdict(at);
  if (!ofAlerts.live || wanted.peek() === undefined) return ofAlerts;
  const ofVitals = vitalsLive.verdict(at);
  return ofVitals.live ? ofVitals : { ...ofVitals, why: `vitals: ${ofVitals.why}` };
}

async function followAlerts(listener: Listener, ended: AbortSignal): Promise<void> {
  let isPresent = false;
  await follow<WatchAlertsResponse>(
    {
      open: (signal) => {
        ward.begins();
        alertsLive.asks(steady());
        return alertClient().watchAlerts(
          { resumeAfter: ward.cursor },
          { signal: untilOtherCaller(signal) },
        );
      },
      opened: () => alertsLive.opened(),
      take: (message) => {
        const change = takeAlerts(message);
        if (change.kind === "live") {
          isPresent = true;
          alertsLive.present();
        }
        if (message.message.case === "heartbeat") {
          alertsLive.heartbeat(beatOf(message.message.value), steady());
        }
        listener(change, isPresent);
        judge();
        refuseOld(alertsLive);
      },
      cut: (failure) => {
        isPresent = false;
        if (isCursorGone(failure)) ward.forgetCursor();
        alertsLive.cut(whyCut(failure));
        judge();
      },
      signedIn,
    },
    ended,
  );
}

/** Ends also when somebody else signs in, who may see other patients. */
function untilOtherCaller(ended: AbortSignal): AbortSignal {
  const ending = new AbortController();
  const began = otherCallers.peek();
  const stop = effect(() => {
    if (otherCallers.value !== began) ending.abort();
  });
  ended.addEventListener("abort", () => {
    stop();
    ending.abort();
  });
  return ending.signal;
}

/** Whether to begin again with a snapshot. */
function isCursorGone(failure: ConnectError): boolean {
  if (failure.code === Code.OutOfRange || failure.code === Code.InvalidArgument) return true;
  const reason = reasonOf(failure);
  return reason?.reason === "WATCHER_TOO_SLOW" && (reason.metadata.cursor ?? "") === "";
}

/** Whose vitals to watch; nobody's while no site is known. A text, so that equals are equal. */
const wanted = computed<string | undefined>(() => {
  const siteIds = sitesOfVitals.value.watched;
  const at = route.value;
  const patientIds = at.view === "patient" ? [at.patientId] : [];
  const isAnything = siteIds.length > 0 && access.value.kind !== "checking";
  return isAnything ? JSON.stringify({ siteIds, patientIds }) : undefined;
});

function followVitals(ended: AbortSignal): void {
  let current = new AbortController();
  ended.addEventListener("abort", () => current.abort());
  effect(() => {
    const request = wanted.value;
    void otherCallers.value;
    current.abort();
    current = new AbortController();
    if (request !== undefined && !ended.aborted) void vitalsOf(request, current.signal);
  });
}

async function vitalsOf(request: string, ended: AbortSignal): Promise<void> {
  const asked = JSON.parse(request) as { siteIds: string[]; patientIds: string[] };
  const whole = { ...asked, perSecondMax: PER_SECOND_MAX };
  await follow<WatchVitalsResponse>(
    {
      open: (signal) => {
        vitalsLive.asks(steady());
        return vitalsClient().watchVitals(whole, { signal });
      },
      opened: () => undefined,
      take: (message) => {
        takeVitals(message);
        takeVitalsSign(message);
      },
      cut: (failure) => {
        vitalsLive.cut(whyCut(failure));
        judge();
      },
      signedIn,
    },
    ended,
  );
}

function takeVitalsSign({ message }: WatchVitalsResponse): void {
  if (message.case === "begun") vitalsLive.begun(steady());
  if (message.case === "heartbeat") vitalsLive.heartbeat(beatOf(message.value), steady());
  if (message.case === "begun" || message.case === "heartbeat") judge();
  refuseOld(vitalsLive);
}

/** Cuts a stream that is held back on its way: a new one tells what is now. */
function refuseOld(liveness: Liveness): void {
  if (liveness.isOld) throw new ConnectError(OLD, Code.Aborted);
}

interface WireBeat {
  serviceTime?: { seconds: bigint; nanos: number };
  ingestConnected: boolean;
  engineLag?: { seconds: bigint; nanos: number };
}

function beatOf(beat: WireBeat): Beat {
  return {
    serviceTime: millis(beat.serviceTime as Parameters<typeof millis>[0]),
    ingestConnected: beat.ingestConnected,
    lagMs: spanMillis(beat.engineLag as Parameters<typeof spanMillis>[0]) ?? 0,
  };
}

/** Without a full stop: it stands within a sentence. */
function whyCut(failure: ConnectError): string {
  const said = words(failure).replace(/\.$/, "");
  return said.charAt(0).toLowerCase() + said.slice(1);
}

/** Resolves once a token is there that the service has not refused. */
function signedIn(ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      queueMicrotask(() => stop());
      resolve();
    };
    const stop = effect(() => {
      const { kind } = access.value;
      if (kind === "token" || kind === "open") done();
    });
    ended.addEventListener("abort", done, { once: true });
  });
}
