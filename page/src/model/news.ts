/**
 * What of what happens to alerts is said aloud.
 *
 * Pure. Only what calls: an alert that is born acknowledged, paused or off is nothing to jump up for.
 * One that late readings would have raised is over already; such are counted, not told one by one.
 */
import { type AlertEvent, AlertPhase, SignalState } from "../gen/pulseward/v1/alert_pb";
import { Priority } from "../gen/pulseward/v1/profile_pb";

/** What is said of an event. */
export type News =
  /** Says the alert behind this; at once, or when there is a pause. */
  | { kind: "calls"; lead: string; isHigh: boolean }
  /** Counts it. */
  | { kind: "past" };

/** The news of an event; undefined if it is none. */
export function newsOf({ phase, alert }: AlertEvent): News | undefined {
  if (alert === undefined) return undefined;
  if (alert.retrospective) return phase === AlertPhase.START ? { kind: "past" } : undefined;
  const lead = leadOf(phase);
  if (lead === undefined || alert.signal !== SignalState.ON) return undefined;
  return { kind: "calls", lead, isHigh: alert.priority === Priority.HIGH };
}

function leadOf(phase: AlertPhase): string | undefined {
  switch (phase) {
    case AlertPhase.START:
      return "New alert.";
    case AlertPhase.ESCALATE:
      return "Alert has become worse.";
    case AlertPhase.RESUME:
      return "Pause is over.";
    case AlertPhase.REMIND:
      return "Not acknowledged in time.";
    default:
      return undefined;
  }
}
