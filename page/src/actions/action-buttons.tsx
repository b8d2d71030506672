/** The buttons for everything that can be done to an alert. */
import { mayNotAct } from "../api/session";
import type { Alert } from "../gen/pulseward/v1/alert_pb";
import { Button } from "../ui/button";
import { ask, TASKS, whyNot } from "./asking";
import type { Task } from "./perform";

interface Props {
  alert: Alert;
  /** Shows the keys beside the words. */
  withKeys?: boolean;
}

const ALL = Object.keys(TASKS) as Task[];

export function ActionButtons({ alert, withKeys = false }: Props) {
  return (
    <fieldset class="buttons">
      <legend class="unseen">{`Answer ${alert.ruleId}`}</legend>
      {ALL.map((task) => (
        <Button
          key={task}
          kind={task === mainTask(alert) ? "primary" : "plain"}
          disabledWhy={whyNot(task, alert)}
          shortcut={withKeys ? TASKS[task].key : undefined}
          onPress={() => ask(task, alert)}
        >
          {TASKS[task].name}
        </Button>
      ))}
      {withKeys && mayNotAct.value !== undefined && <p class="buttons-why">{mayNotAct.value}</p>}
    </fieldset>
  );
}

/** What is most likely wanted. */
export function mainTask(alert: Alert): Task {
  return whyNot("reset", alert) === undefined ? "reset" : "acknowledge";
}
