/**
 * Alerts over the span, a lane for each rule, above the charts and on the same time. A picture for
 * the mouse: the table of alerts holds the same for everybody.
 */
import { type AlertSpan, drawnUntil, type Span } from "../../model/history";
import { href } from "../../router";
import { priorityMark, priorityName } from "../../words/alerts";
import { dateTime } from "../../words/times";

/** More lanes than this hide the charts; the table has them all. */
const LANES_MAX = 10;

interface Props {
  alerts: readonly AlertSpan[];
  span: Span;
  now: number;
}

export function AlertLanes({ alerts, span, now }: Props) {
  const lanes = byRule(alerts);
  const shown = lanes.slice(0, LANES_MAX);
  if (lanes.length === 0) return null;
  return (
    <div class="history-lanes" aria-hidden="true">
      {shown.map(([ruleId, alerts]) => (
        <div key={ruleId} class="history-lane">
          <span class="history-lane-name">{ruleId}</span>
          <svg class="history-lane-bars" width="100%" height="100%" aria-hidden="true">
            {alerts.map((alert) => (
              <Bar key={alert.alertId} alert={alert} span={span} now={now} />
            ))}
          </svg>
        </div>
      ))}
      {lanes.length > LANES_MAX && (
        <p class="fine">Rules that are only in the table: {lanes.length - LANES_MAX}.</p>
      )}
    </div>
  );
}

/** Rules by their worst alert, then by name. */
function byRule(alerts: readonly AlertSpan[]): [string, AlertSpan[]][] {
  const lanes = new Map<string, AlertSpan[]>();
  for (const alert of alerts) lanes.set(alert.ruleId, [...(lanes.get(alert.ruleId) ?? []), alert]);
  const worst = (alerts: AlertSpan[]) => Math.max(...alerts.map((alert) => alert.priority));
  return [...lanes].sort(([a, x], [b, y]) => worst(y) - worst(x) || (a < b ? -1 : 1));
}

function Bar({ alert, span, now }: { alert: AlertSpan; span: Span; now: number }) {
  const share = (at: number) => (100 * (at - span.from)) / (span.until - span.from);
  const left = Math.max(0, share(alert.from));
  const right = Math.min(100, share(drawnUntil(alert, now)));
  const name = priorityName(alert.priority);
  const mark = priorityMark(alert.priority);
  return (
    // The table has the same link: here it is for the mouse.
    <a href={href.alert(alert.alertId)} tabindex={-1} class={`history-bar history-bar-${name}`}>
      <title>{`${mark} ${alert.ruleId}, ${dateTime(alert.from)}`}</title>
      <rect x={`${left}%`} y="15%" width={`${Math.max(0, right - left)}%`} height="70%" />
      {right - left > 3 && (
        <text x={`${left}%`} y="50%" dx="4" dy="0.35em">
          {mark}
        </text>
      )}
    </a>
  );
}
