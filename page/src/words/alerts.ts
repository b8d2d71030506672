/**
 * Alerts in words: the same as the terminal's.
 *
 * Marks follow IEC 60601-1-8: `!!!` high, `!!` medium, `!` low. A word that this version does not know
 * is `?`, never left out.
 */
import {
  type Alert,
  AlertCause,
  AlertKind,
  AlertPhase,
  ConditionState,
  MonitoringState,
  ScoreCaveat,
  ScoreRisk,
  SignalState,
} from "../gen/pulseward/v1/alert_pb";
import { Priority, type ProfileOwner } from "../gen/pulseward/v1/profile_pb";

/** `high`, `medium`, `low`; for class names too. */
export type PriorityName = "high" | "medium" | "low" | "unknown";

/** A priority's name. */
export function priorityName(priority: Priority): PriorityName {
  switch (priority) {
    case Priority.HIGH:
      return "high";
    case Priority.MEDIUM:
      return "medium";
    case Priority.LOW:
      return "low";
    default:
      return "unknown";
  }
}

/** `HIGH`, `MEDIUM`, `LOW`. */
export function priorityWords(priority: Priority): string {
  const name = priorityName(priority);
  return name === "unknown" ? "?" : name.toUpperCase();
}

/** `!!!`, `!!`, `!`. */
export function priorityMark(priority: Priority): string {
  return { high: "!!!", medium: "!!", low: "!", unknown: "?" }[priorityName(priority)];
}

/** What a priority asks for. */
export function priorityMeaning(priority: Priority): string {
  const known = {
    high: "immediate response",
    medium: "prompt response",
    low: "awareness",
    unknown: "unknown priority",
  };
  return known[priorityName(priority)];
}

/** How a patient is watched. */
export function monitoringWords(state: MonitoringState | undefined): string {
  switch (state) {
    case MonitoringState.MONITORED:
      return "monitored";
    case MonitoringState.PARTIAL:
      return "partial";
    case MonitoringState.PAUSED:
      return "paused";
    case MonitoringState.LIMITS_OFF:
      return "limits off";
    case MonitoringState.NO_DEVICE:
      return "no device";
    case MonitoringState.NO_DATA:
      return "NO DATA";
    default:
      return "?";
  }
}

/** What that means. */
export function monitoringMeaning(state: MonitoringState | undefined): string {
  switch (state) {
    case MonitoringState.MONITORED:
      return "Readings arrive and every rule can fire.";
    case MonitoringState.PARTIAL:
      return "Some vitals are silent, or some rules cannot fire on the patient's devices.";
    case MonitoringState.PAUSED:
      return "Alarm signals are paused.";
    case MonitoringState.LIMITS_OFF:
      return "No rule is in force.";
    case MonitoringState.NO_DEVICE:
      return "No device is bound.";
    case MonitoringState.NO_DATA:
      return "A device is bound and no reading arrives.";
    default:
      return "It is not known how this patient is watched.";
  }
}

/** Whom an alert has reached. */
export function signalWords(signal: SignalState): string {
  switch (signal) {
    case SignalState.ON:
      return "ON";
    case SignalState.ACKNOWLEDGED:
      return "acknowledged";
    case SignalState.PAUSED:
      return "paused";
    case SignalState.LATCHED:
      return "latched";
    case SignalState.OFF:
      return "off";
    default:
      return "?";
  }
}

/** How many others stand behind the worst of open alerts: `+1 more, 1 signal ON`; empty for none. */
export function moreWords([, ...others]: readonly Alert[]): string {
  if (others.length === 0) return "";
  const on = others.filter((it) => it.signal === SignalState.ON).length;
  return `+${others.length} more${on === 0 ? "" : `, ${on} signal ON`}`;
}

/** What the data says. */
export function conditionWords(condition: ConditionState): string {
  switch (condition) {
    case ConditionState.ACTIVE:
      return "active";
    case ConditionState.INACTIVE:
      return "inactive";
    case ConditionState.INDETERMINATE:
      return "indeterminate";
    default:
      return "?";
  }
}

/** What happened. */
export function phaseWords(phase: AlertPhase): string {
  const known: Record<AlertPhase, string> = {
    [AlertPhase.UNSPECIFIED]: "?",
    [AlertPhase.START]: "started",
    [AlertPhase.ESCALATE]: "rose to a higher priority",
    [AlertPhase.DEESCALATE]: "fell to a lower priority",
    [AlertPhase.END]: "ended",
    [AlertPhase.CLOSE]: "closed without readings",
    [AlertPhase.UPDATE]: "updated",
    [AlertPhase.ACKNOWLEDGE]: "acknowledged",
    [AlertPhase.PAUSE]: "signal paused",
    [AlertPhase.RESUME]: "pause over",
    [AlertPhase.REMIND]: "passed on, not acknowledged in time",
    [AlertPhase.INDETERMINATE]: "indeterminate",
    [AlertPhase.RESET]: "reset",
  };
  return known[phase] ?? "?";
}

/** What decided an event; empty where readings did. */
export function causeWords(cause: AlertCause): string {
  const known: Record<AlertCause, string> = {
    [AlertCause.UNSPECIFIED]: "",
    [AlertCause.UNBOUND]: "the device was unbound",
    [AlertCause.RULE_CHANGED]: "the rule changed",
    [AlertCause.REQUEST]: "asked for",
    [AlertCause.TIMER]: "time passed",
    [AlertCause.TRANSFER]: "device replaced or patient transferred",
    [AlertCause.ENGINE_CHANGED]: "a new version of the engine",
    [AlertCause.DEVICE_STATUS]: "the device's status",
    [AlertCause.INGEST]: "the service's own intake",
    [AlertCause.GROUPING]: "grouped with another alert",
    [AlertCause.RESTORED]: "rebuilt from the database",
    [AlertCause.ERASED]: "the patient was erased",
  };
  return known[cause] ?? "?";
}

/** The patient, else the device, else the service itself. */
export function whose(alert: Alert): string {
  return alert.patientId || alert.deviceId || "the service";
}

/** What else is to be known about an alert. */
export function remarks(alert: Alert): string[] {
  const all: [boolean, string][] = [
    [alert.kind === AlertKind.TECHNICAL, "technical"],
    [alert.condition !== ConditionState.ACTIVE, conditionWords(alert.condition)],
    [alert.delayed, "delayed"],
    [alert.unconfirmed, "unconfirmed"],
    [alert.retrospective, "retrospective"],
    [alert.escalationLevel > 0, `passed on (level ${alert.escalationLevel})`],
  ];
  return all.filter(([holds]) => holds).map(([, words]) => words);
}

/** Whose a rule or a limit is. */
export function ownerWords(owner: ProfileOwner | undefined): string {
  switch (owner?.owner.case) {
    case "everyone":
      return "everyone's default";
    case "siteId":
      return `site ${owner.owner.value}`;
    case "patientId":
      return "this patient's own";
    default:
      return "?";
  }
}

/** How soon someone must look. */
export function riskWords(risk: ScoreRisk): string {
  const known: Record<ScoreRisk, string> = {
    [ScoreRisk.UNSPECIFIED]: "?",
    [ScoreRisk.LOW]: "low risk",
    [ScoreRisk.LOW_MEDIUM]: "low to medium risk: one parameter alone scores 3",
    [ScoreRisk.MEDIUM]: "medium risk: urgent response",
    [ScoreRisk.HIGH]: "high risk: emergency response",
  };
  return known[risk] ?? "?";
}

/** Why a score may not mean what it says. */
export function caveatWords(caveat: ScoreCaveat): string {
  const known: Record<ScoreCaveat, string> = {
    [ScoreCaveat.UNSPECIFIED]: "?",
    [ScoreCaveat.AGE_UNKNOWN]: "it is not known whether the patient is 16 or over",
    [ScoreCaveat.PREGNANCY_UNKNOWN]: "it is not known whether the patient is pregnant",
  };
  return known[caveat] ?? "?";
}
