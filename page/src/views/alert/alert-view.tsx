/**
 * An alert's story: what decided it, by which rule and whose limit, everything that happened to it
 * with who and when, and what can be done about it.
 */
import { useEffect } from "preact/hooks";

import { ActionButtons } from "../../actions/action-buttons";
import { AlertFacts } from "../../actions/alert-facts";
import { ask, TASKS } from "../../actions/asking";
import type { Task } from "../../actions/perform";
import { alerts } from "../../api/clients";
import { type Alert, AlertPart, type GetAlertResponse } from "../../gen/pulseward/v1/alert_pb";
import { go, href } from "../../router";
import { openAlert, turnOf } from "../../state/ward";
import { AskedState, useAsked } from "../../ui/asked";
import { useShortcuts } from "../../ui/shortcuts";
import { View } from "../../ui/view";
import { priorityWords, whose } from "../../words/alerts";
import { Deciding } from "./deciding";
import { EventList } from "./event-list";
import { Facts } from "./facts";
import { RulePanel } from "./rule-panel";
import { ScorePanel } from "./score-panel";
import { StoryChart } from "./story-chart";
import "../../styles/alert.css";

export function AlertView({ alertId }: { alertId: string }) {
  const turn = turnOf(alertId).value;
  const asked = useAsked(alertId, (signal) =>
    alerts().getAlert({ alertId }, { signal, timeoutMs: 10_000 }),
  );
  const { again } = asked;
  // What the stream tells of it, the story tells in full.
  useEffect(() => {
    if (turn > 0) again();
  }, [turn, again]);
  // The stream is ahead of the answer while that is on its way.
  const alert = openAlert(alertId) ?? asked.answer?.alert;
  useShortcuts("Alert", keys(alert));
  const title = alert === undefined ? "Alert" : `${alert.ruleId} of ${whose(alert)}`;
  return (
    <View
      name="alert"
      title={title}
      tabTitle={alert === undefined ? "Alert" : `${priorityWords(alert.priority)} alert`}
      tools={<Ways alert={alert} />}
    >
      {alert !== undefined && (
        <section class="panel alert-now is-live-content">
          <h2 class="unseen">How it stands</h2>
          <AlertFacts alert={alert} isNamed />
          <ActionButtons alert={alert} withKeys />
        </section>
      )}
      <AskedState of={asked} what="The story" />
      {asked.answer?.alert !== undefined && (
        <Story story={asked.answer} alert={alert ?? asked.answer.alert} />
      )}
    </View>
  );
}

function Ways({ alert }: { alert: Alert | undefined }) {
  const patientId = alert?.patientId ?? "";
  return (
    <>
      <a class="button" href={href.ward()}>
        Ward
      </a>
      {patientId !== "" && (
        <>
          <a class="button" href={href.patient(patientId)}>
            Patient {patientId}
          </a>
          <a class="button" href={href.history(patientId)}>
            History
          </a>
        </>
      )}
    </>
  );
}

function Story({ story, alert }: { story: GetAlertResponse; alert: Alert }) {
  return (
    <>
      <Missing parts={story.missing} />
      <div class="story">
        <section class="panel story-decided">
          <h2>What decided it</h2>
          <StoryChart story={story} alert={alert} />
          <ScorePanel alert={alert} />
          <Deciding story={story} />
        </section>
        <section class="panel">
          <h2>What happened</h2>
          <EventList events={story.events} />
        </section>
        <section class="panel">
          <h2>Rule and limit</h2>
          <RulePanel rule={story.rule} alert={alert} />
        </section>
        <section class="panel">
          <h2>Facts</h2>
          <Facts alert={alert} />
        </section>
      </div>
    </>
  );
}

/** What the service could not tell. */
function Missing({ parts }: { parts: readonly AlertPart[] }) {
  if (parts.length === 0) return null;
  const names: Record<AlertPart, string> = {
    [AlertPart.UNSPECIFIED]: "something",
    [AlertPart.EVENTS]: "events",
    [AlertPart.READINGS]: "readings",
    [AlertPart.RULE]: "the rule",
  };
  return (
    <p class="problem">
      The service could not tell all of it: {parts.map((it) => names[it] ?? "something").join(", ")}{" "}
      may be missing, in whole or in part.
    </p>
  );
}

function keys(alert: Alert | undefined) {
  const tasks = Object.keys(TASKS) as Task[];
  const back =
    alert === undefined || alert.patientId === "" ? href.ward() : href.patient(alert.patientId);
  return [
    ...tasks.map((task) => ({
      key: TASKS[task].key,
      does: TASKS[task].title.toLowerCase(),
      run: () => ask(task, alert),
    })),
    { key: "Escape", does: "back to the patient", run: () => go(back) },
  ];
}
