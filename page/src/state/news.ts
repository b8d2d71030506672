/**
 * What follows from what happens to alerts: limits are looked at again, and what calls, calls again or
 * has become worse is said aloud.
 *
 * High priority at once, the rest in a pause. What was missed while the stream was cut is summed up,
 * not read out one by one. A patient whom the site filter hides is not announced; the ward says how
 * many it hides.
 */
import { AlertCause } from "../gen/pulseward/v1/alert_pb";
import type { Change } from "../model/alerts";
import { Flood, TOGETHER_MS } from "../model/flood";
import { newsOf } from "../model/news";
import { rowsOf, tally } from "../model/ward";
import { announce } from "../ui/announcer";
import { alertSentence } from "../words/sentences";
import { steady } from "./clock";
import { filter } from "./filter";
import { forgetLimits, limitsChanged } from "./lookups";
import { ward } from "./ward";

const flood = new Flood();
/** Whether what the flood has counted will be told. */
let isRestDue = false;
/** Alerts of the past that were not told of yet. */
let past = 0;

/** Takes what happened. */
export function takeNews(change: Change, isPresent: boolean): void {
  noteLimits(change);
  tell(change, isPresent);
}

/** What happened may mean that other limits are in force. */
function noteLimits(change: Change): void {
  if (change.kind === "live") limitsChanged();
  if (change.kind === "left") forgetLimits(change.patientId);
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
  const news = newsOf(event);
  if (news?.kind === "past") tellOfPast();
  if (news?.kind !== "calls") return;
  if (flood.admits(news.isHigh, steady())) {
    announce(`${news.lead} ${alertSentence(alert)}`, news.isHigh ? "assertive" : "polite");
  } else if (!isRestDue) {
    isRestDue = true;
    setTimeout(tellRest, TOGETHER_MS);
  }
}

function tellRest(): void {
  isRestDue = false;
  const { all, high } = flood.rest(steady());
  const words = all === 1 ? "1 more alert" : `${all} more alerts`;
  announce(`${words}; ${high} high.`, high > 0 ? "assertive" : "polite");
}

/** They come with a batch of late readings: one sentence for all of them. */
function tellOfPast(): void {
  past += 1;
  if (past > 1) return;
  setTimeout(() => {
    announce(`${past === 1 ? "1 alert" : `${past} alerts`} of the past, by late readings.`);
    past = 0;
  }, TOGETHER_MS);
}

function summary(): string {
  const { patients, high, medium, low } = tally(rowsOf(ward));
  return `Live. ${patients} patients. Open alerts: ${high} high, ${medium} medium, ${low} low.`;
}
