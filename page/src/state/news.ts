/**
 * What follows from what happens to alerts: limits are looked at again, and new alerts and those that
 * have become worse are said aloud.
 *
 * High priority at once, the rest in a pause. What was missed while the stream was cut is summed up,
 * not read out one by one. A patient whom the site filter hides is not announced; the ward says how
 * many it hides.
 */
import { AlertCause, AlertPhase } from "../gen/pulseward/v1/alert_pb";
import { Priority } from "../gen/pulseward/v1/profile_pb";
import type { Change } from "../model/alerts";
import { rowsOf, tally } from "../model/ward";
import { announce } from "../ui/announcer";
import { alertSentence } from "../words/sentences";
import { filter } from "./filter";
import { limitsChanged } from "./lookups";
import { ward } from "./ward";

/** Takes what happened. */
export function takeNews(change: Change, isPresent: boolean): void {
  noteLimits(change);
  tell(change, isPresent);
}

/** What happened may mean that other limits are in force. */
function noteLimits(change: Change): void {
  if (change.kind === "live") limitsChanged();
  if (change.kind === "monitoring") limitsChanged(change.patientId);
  if (change.kind === "alert" && change.event.cause === AlertCause.RULE_CHANGED) {
    limitsChanged(change.alert.patientId);
  }
}

function tell(change: Change, isPresent: boolean): void {
  if (change.kind === "live") announce(summary());
  if (change.kind !== "alert" || !isPresent) return;
  const { event, alert } = change;
  const chosen = filter.peek().siteId;
  if (chosen !== "" && alert.siteId !== "" && alert.siteId !== chosen) return;
  const isHigh = alert.priority === Priority.HIGH;
  if (event.phase === AlertPhase.START) {
    announce(`New alert. ${alertSentence(alert)}`, isHigh ? "assertive" : "polite");
  } else if (event.phase === AlertPhase.ESCALATE) {
    announce(`Alert has become worse. ${alertSentence(alert)}`, isHigh ? "assertive" : "polite");
  }
}

function summary(): string {
  const { patients, high, medium, low } = tally(rowsOf(ward));
  return `Live. ${patients} patients. Open alerts: ${high} high, ${medium} medium, ${low} low.`;
}
