/** The rule that raised an alert, with the limits that were in force then, and whose they were. */
import type { Alert } from "../../gen/pulseward/v1/alert_pb";
import type { EffectiveRule } from "../../gen/pulseward/v1/profile_pb";
import { ownerWords, priorityWords } from "../../words/alerts";
import { limitWords, ruleSentence } from "../../words/sentences";
import { exactSpanWords, spanMillis } from "../../words/times";
import { Levels } from "../ward/limits-in-force";

interface Props {
  rule: EffectiveRule | undefined;
  alert: Alert;
}

export function RulePanel({ rule, alert }: Props) {
  const limit = limitWords(alert);
  return (
    <div class="rule">
      <p>
        <b>{alert.ruleId}</b>, version {alert.ruleVersion} of {ownerWords(alert.limitOwner)}
        {limit !== undefined && <>: {limit}</>}.
      </p>
      {rule?.rule === undefined ? (
        <p>Of this rule nothing more is told.</p>
      ) : (
        <>
          <p>{ruleSentence(rule.rule)}</p>
          <Levels of={rule} />
          <Passing rule={rule} />
        </>
      )}
    </div>
  );
}

/** To whom it goes, and what stays, if nobody answers. */
function Passing({ rule }: { rule: EffectiveRule }) {
  const escalations = rule.rule?.escalations ?? [];
  const latching = rule.rule?.latchingFrom ?? 0;
  return (
    <>
      {latching !== 0 && (
        <p class="fine">Latches from {priorityWords(latching)}: stays until somebody resets it.</p>
      )}
      {escalations.map((it) => (
        <p key={it.priority} class="fine">
          {priorityWords(it.priority)} is passed on after{" "}
          {exactSpanWords(spanMillis(it.after) ?? 0)} without an acknowledgement.
        </p>
      ))}
    </>
  );
}
