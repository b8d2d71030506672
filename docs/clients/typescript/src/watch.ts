/**
 * Watches alerts, misses none when the connection breaks, and acknowledges on request.
 *
 *     npm ci && npm run generate && npm run build
 *     node dist/watch.js http://127.0.0.1:50051
 *     NODE_EXTRA_CA_CERTS=ca.pem node dist/watch.js https://ward.example:50051 \
 *         --token-file token --site north
 *
 * What it shows to do:
 *
 * - Without a cursor a stream begins with a snapshot that *replaces* what the client holds; after a
 *   cursor it goes on with what came since. So the cursor is only moved together with what it stands
 *   for, and both are thrown away together.
 * - A heartbeat comes every 10 s. Without one for 25 s, or with one that says that no vitals come, the
 *   screen is NOT LIVE, whatever it still shows.
 * - A token expires while a stream stands, and the stream ends: the next call carries the one that is
 *   in the file by then. Only what is refused at the very first is for a person to mend.
 * - An acknowledgement carries the etag that was seen, so that an escalation that nobody has looked at
 *   is never acknowledged. If it is refused, look again; never repeat it with a newer etag unseen.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { Code, ConnectError, createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import {
  AlertPhase,
  AlertService,
  type Alert,
  type AlertEvent,
  type WatchAlertsResponse,
} from "./gen/pulseward/v1/alert_pb.js";
import { Priority } from "./gen/pulseward/v1/profile_pb.js";

const NOT_LIVE_AFTER_MS = 25_000;
const RETRY_MIN_MS = 200;
const RETRY_MAX_MS = 10_000;
const NO_VITALS = "the service receives no vitals";

/** What the client holds: open alerts, and the cursor up to which it knows everything. */
class Ward {
  readonly alerts = new Map<string, Alert>();
  cursor = "";

  forget(): void {
    this.alerts.clear();
    this.cursor = "";
  }

  put(alert: Alert): void {
    if (alert.closed) this.alerts.delete(alert.alertId);
    else this.alerts.set(alert.alertId, alert);
  }

  leave(patientId: string): void {
    for (const [id, alert] of this.alerts) {
      if (alert.patientId === patientId) this.alerts.delete(id);
    }
  }
}

class Watcher {
  private readonly ward = new Ward();
  private notLive: string | undefined = "not connected yet";
  private isTold = false;
  private wasLive = false;
  private wasEverLive = false;

  constructor(
    private readonly client: Client<typeof AlertService>,
    private readonly siteIds: string[],
    private readonly note: string | undefined,
  ) {}

  /** Watches for ever; returns only what was refused before it was live once. */
  async run(): Promise<ConnectError> {
    for (let pause = RETRY_MIN_MS; ; pause = Math.min(pause * 2, RETRY_MAX_MS)) {
      try {
        await this.watch();
        this.lost("the service has ended the stream");
      } catch (failure) {
        const error = ConnectError.from(failure);
        this.lost(`${Code[error.code]}: ${error.rawMessage}`);
        if (!this.wasEverLive && isForAPerson(error)) return error;
        if (isForgetting(error)) this.ward.forget();
      }
      if (this.wasLive) pause = RETRY_MIN_MS;
      this.wasLive = false;
      // Clients that were cut off together do not come back together.
      await sleep(pause * (0.5 + Math.random() / 2));
    }
  }

  private async watch(): Promise<void> {
    const silence = new AbortController();
    const silent = () =>
      silence.abort(new ConnectError(`nothing heard for ${NOT_LIVE_AFTER_MS / 1000} s`, Code.Unavailable));
    let timer = setTimeout(silent, NOT_LIVE_AFTER_MS);
    try {
      const request = { filter: { siteIds: this.siteIds }, resumeAfter: this.ward.cursor };
      for await (const message of this.client.watchAlerts(request, { signal: silence.signal })) {
        clearTimeout(timer);
        timer = setTimeout(silent, NOT_LIVE_AFTER_MS);
        this.take(message);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  private take({ message }: WatchAlertsResponse): void {
    switch (message.case) {
      case "snapshot":
        if (message.value.part === 0) this.ward.alerts.clear();
        for (const alert of message.value.alerts) {
          this.ward.put(alert);
          show("OPEN", alert);
        }
        break;
      case "live":
        this.ward.cursor = message.value.cursor;
        this.live();
        break;
      case "heartbeat":
        this.ward.cursor = message.value.cursor;
        if (!message.value.ingestConnected) this.lost(NO_VITALS);
        else if (this.notLive === NO_VITALS) this.live();
        break;
      case "event":
        if (message.value.change.case === "alert") this.changed(message.value.change.value);
        this.ward.cursor = message.value.cursor;
        break;
      case "leftScope":
        this.ward.leave(message.value.patientId);
        this.ward.cursor = message.value.cursor;
        break;
    }
  }

  private changed(event: AlertEvent): void {
    // Every alert event carries its alert.
    const alert = event.alert!;
    this.ward.put(alert);
    show(AlertPhase[event.phase] ?? `PHASE_${event.phase}`, alert);
    if (this.note !== undefined && event.phase === AlertPhase.START) {
      void this.acknowledge(alert, this.note);
    }
  }

  private async acknowledge(alert: Alert, note: string): Promise<void> {
    try {
      // With a request id it may be sent again after an answer that was lost.
      const requestId = randomUUID();
      const { alertId, etag } = alert;
      await this.client.acknowledgeAlert({ alertId, etag, note, requestId }, { timeoutMs: 10_000 });
    } catch (failure) {
      say(`REFUSED ${alert.ruleId} ${alert.patientId}: ${ConnectError.from(failure).rawMessage}`);
    }
  }

  private live(): void {
    this.wasLive = this.wasEverLive = true;
    if (this.notLive !== undefined) say(`LIVE, ${this.ward.alerts.size} open alerts`);
    this.notLive = undefined;
    this.isTold = false;
  }

  private lost(why: string): void {
    if (!this.isTold) say(`NOT LIVE: ${why}`);
    this.notLive = why;
    this.isTold = true;
  }
}

function isForAPerson(error: ConnectError): boolean {
  return [Code.Unauthenticated, Code.PermissionDenied, Code.InvalidArgument].includes(error.code);
}

/** What came after the cursor is no longer kept, or it is of another service, which may not know it for one. */
function isForgetting(error: ConnectError): boolean {
  return [Code.OutOfRange, Code.InvalidArgument].includes(error.code);
}

function show(what: string, alert: Alert): void {
  const priority = (Priority[alert.priority] ?? "").toLowerCase();
  say(`${what} ${priority} ${alert.ruleId} ${alert.patientId} ${alert.alertId}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Says who calls, anew for each call: tokens live for minutes. */
function bearer(file: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${readFileSync(file, "utf8").trim()}`);
    return next(request);
  };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "token-file": { type: "string" },
    site: { type: "string", multiple: true, default: [] },
    acknowledge: { type: "string" },
  },
});
const baseUrl = positionals[0];
if (baseUrl === undefined) {
  process.stderr.write("which service? node dist/watch.js http://127.0.0.1:50051\n");
  process.exit(2);
}
const tokenFile = values["token-file"];
if (tokenFile !== undefined && !baseUrl.startsWith("https://")) {
  process.stderr.write("a token is not sent in plain text; use https://\n");
  process.exit(2);
}
const interceptors = tokenFile === undefined ? [] : [bearer(tokenFile)];
const client = createClient(AlertService, createGrpcTransport({ baseUrl, interceptors }));
const error = await new Watcher(client, values.site, values.acknowledge).run();
process.stderr.write(`${Code[error.code]}: ${error.rawMessage}\n`);
process.exit(1);
