/** An alert's facts, each under its name. */
import type { ComponentChildren } from "preact";

import type { Alert } from "../../gen/pulseward/v1/alert_pb";
import { href } from "../../router";
import { now } from "../../state/clock";
import { conditionWords, remarks, signalWords } from "../../words/alerts";
import { dateTime, exactSpanWords, millis, whenWords, zone } from "../../words/times";

export function Facts({ alert }: { alert: Alert }) {
  const onset = millis(alert.onsetAt);
  const raised = millis(alert.raisedAt);
  const ended = millis(alert.endedAt);
  const paused = millis(alert.pausedUntil);
  const notes = remarks(alert);
  return (
    <dl class="facts">
      <Fact name="Condition">{alert.closed ? "over" : conditionWords(alert.condition)}</Fact>
      <Fact name="Signal">
        {signalWords(alert.signal)}
        {paused !== undefined && `, until ${whenWords(paused, now.value)}`}
      </Fact>
      <Fact name="Onset">{time(onset)}</Fact>
      <Fact name="Raised">
        {time(raised)}
        {onset !== undefined && raised !== undefined && raised > onset && (
          <>, {exactSpanWords(Math.round((raised - onset) / 1000) * 1000)} after the onset</>
        )}
      </Fact>
      {ended !== undefined && <Fact name="Ended">{time(ended)}</Fact>}
      <Fact name="Taken care of by">{alert.assignee === "" ? "nobody" : alert.assignee}</Fact>
      {alert.siteId !== "" && <Fact name="Site">{alert.siteId}</Fact>}
      {alert.deviceId !== "" && (
        <Fact name="Device">
          <a href={href.device(alert.deviceId)}>{alert.deviceId}</a>
        </Fact>
      )}
      {alert.covered > 0 && <Fact name="Stands for">{alert.covered} others</Fact>}
      {notes.length > 0 && <Fact name="To be known">{notes.join(", ")}</Fact>}
      <Fact name="Id">
        <span class="fact-id">{alert.alertId}</span>
      </Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function time(at: number | undefined): string {
  return at === undefined ? "not known" : `${dateTime(at)} ${zone(at)}`;
}
