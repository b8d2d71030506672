/**
 * The ward as the alert stream tells it: who is watched and how, and which alerts are open.
 *
 * Pure: messages in, what stands out. A snapshot replaces, events go on; an alert event carries the
 * whole alert, so that the last one counts and one that comes twice changes nothing. A snapshot that
 * is cut before its end replaces nothing: half a ward would look like a quiet one. The cursor is moved
 * only together with what it stands for.
 */
import type {
  Alert,
  AlertEvent,
  PatientMonitoring,
  WatchAlertsResponse,
} from "../gen/pulseward/v1/alert_pb";

/** What a message changed. */
export type Change =
  | { kind: "nothing" }
  /** A part of everything, which is shown once it is whole. */
  | { kind: "snapshot" }
  /** From here on it is live. */
  | { kind: "live" }
  | { kind: "heartbeat" }
  /** Something happened to an alert; `before` is how it stood. */
  | { kind: "alert"; event: AlertEvent; alert: Alert; before: Alert | undefined }
  | { kind: "monitoring"; patientId: string }
  | { kind: "left"; patientId: string };

/** Who is watched, and their open alerts. */
class Content {
  readonly patients = new Map<string, PatientMonitoring>();
  /** Alerts that are not over, by id. */
  readonly open = new Map<string, Alert>();

  put(alert: Alert): void {
    if (alert.closed) this.open.delete(alert.alertId);
    else this.open.set(alert.alertId, alert);
  }

  leave(patientId: string): void {
    this.patients.delete(patientId);
    for (const [id, alert] of this.open) {
      if (alert.patientId === patientId) this.open.delete(id);
    }
  }
}

export class Ward {
  private content = new Content();
  /** The parts of a snapshot that have come, until it is whole. */
  private coming: Content | undefined;
  /** To resume after; empty asks for a snapshot. */
  cursor = "";
  /** A cursor within a snapshot would leave out the rest of it. */
  private isWhole = false;

  /** Who is watched, by id. */
  get patients(): ReadonlyMap<string, PatientMonitoring> {
    return this.content.patients;
  }

  /** Alerts that are not over, by id. */
  get open(): ReadonlyMap<string, Alert> {
    return this.content.open;
  }

  /** A stream begins: behind the cursor, or with a snapshot. */
  begins(): void {
    this.coming = undefined;
    this.isWhole = this.cursor !== "";
  }

  /** Somebody else looks: nothing of what was held is theirs. */
  forget(): void {
    this.content = new Content();
    this.coming = undefined;
    this.cursor = "";
    this.isWhole = false;
  }

  /** The cursor is good no longer. What is held stands until a snapshot replaces it. */
  forgetCursor(): void {
    this.cursor = "";
  }

  take({ message }: WatchAlertsResponse): Change {
    switch (message.case) {
      case "snapshot":
        if (message.value.part === 0) this.coming = new Content();
        for (const it of message.value.patients) this.newest.patients.set(it.patientId, it);
        for (const it of message.value.alerts) this.newest.put(it);
        return { kind: "snapshot" };
      case "live":
        this.content = this.newest;
        this.coming = undefined;
        this.isWhole = true;
        this.move(message.value.cursor);
        return { kind: "live" };
      case "heartbeat":
        this.move(message.value.cursor);
        return { kind: "heartbeat" };
      case "event": {
        const change = this.change(message.value.change);
        this.move(message.value.cursor);
        return change;
      }
      case "leftScope":
        this.newest.leave(message.value.patientId);
        this.move(message.value.cursor);
        return { kind: "left", patientId: message.value.patientId };
      default:
        return { kind: "nothing" };
    }
  }

  /** What the stream speaks of: the snapshot that is coming, else what is shown. */
  private get newest(): Content {
    return this.coming ?? this.content;
  }

  private change(of: EventChange): Change {
    if (of.case === "monitoring") {
      this.newest.patients.set(of.value.patientId, of.value);
      return { kind: "monitoring", patientId: of.value.patientId };
    }
    const alert = of.case === "alert" ? of.value.alert : undefined;
    if (of.case !== "alert" || alert === undefined) return { kind: "nothing" };
    const before = this.newest.open.get(alert.alertId);
    this.newest.put(alert);
    return { kind: "alert", event: of.value, alert, before };
  }

  private move(cursor: string): void {
    if (this.isWhole && cursor !== "") this.cursor = cursor;
  }
}

type EventChange = Extract<WatchAlertsResponse["message"], { case: "event" }>["value"]["change"];
