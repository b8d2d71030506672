/** An alert in two lines: what it is, and how it stands. */
import type { Alert } from "../gen/pulseward/v1/alert_pb";
import { isQuiet } from "../model/ward";
import { Age } from "../ui/age";
import { PriorityMark } from "../ui/priority-mark";
import { conditionWords, remarks, signalWords, whose } from "../words/alerts";
import { alertTopic, limitWords } from "../words/sentences";
import { millis } from "../words/times";

interface Props {
  alert: Alert;
  /** Its name stands above already. */
  isNamed?: boolean;
}

export function AlertFacts({ alert, isNamed = false }: Props) {
  const facts = [
    alert.closed ? "over" : conditionWords(alert.condition),
    `signal ${signalWords(alert.signal)}`,
    limitWords(alert),
    ...remarks(alert).filter((it) => it !== conditionWords(alert.condition)),
  ].filter((it) => it !== undefined);
  return (
    <div class="alert-facts">
      <PriorityMark priority={alert.priority} quiet={isQuiet(alert)} word />
      {!isNamed && (
        <span class="alert-facts-name">
          {alert.ruleId} of {whose(alert)}
        </span>
      )}
      <span class="alert-facts-rest">
        {alertTopic(alert)}, {facts.join(", ")}, <Age at={millis(alert.onsetAt)} before="since" />
      </span>
    </div>
  );
}
