/**
 * Asks what is to be said, sends it, and tells what became of it.
 *
 * It holds the alert as it was seen. Where that has changed meanwhile, or the service refuses because
 * it has, both are shown, and nothing goes on before somebody has said that they have seen it.
 */
import { useEffect, useRef, useState } from "preact/hooks";

import { alerts } from "../api/clients";
import type { Alert } from "../gen/pulseward/v1/alert_pb";
import { isHastyEnter } from "../model/haste";
import { openAlert, turnOf } from "../state/ward";
import { announce } from "../ui/announcer";
import { Problem } from "../ui/asked";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { priorityWords, whose } from "../words/alerts";
import { ActionFields, emptyIntent } from "./action-fields";
import { AlertFacts } from "./alert-facts";
import { asking, TASKS, whyNot } from "./asking";
import { tellLate } from "./late";
import { complaint, type Intent, newRequestId, type Outcome, perform, type Task } from "./perform";

/** The dialog that is asked for, if one is. */
export function Asking() {
  const now = asking.value;
  if (now === undefined) return null;
  const key = `${now.task} ${now.seen.alertId}`;
  // Closes this one; never another that was opened meanwhile.
  const close = () => {
    if (asking.peek() === now) asking.value = undefined;
  };
  return <ActionDialog key={key} first={emptyIntent(now.task, now.seen)} close={close} />;
}

interface Props {
  first: Intent;
  close: () => void;
}

function ActionDialog({ first, close }: Props) {
  const [intent, setIntent] = useState(first);
  const [outcome, setOutcome] = useState<Outcome>();
  const [isSending, setSending] = useState(false);
  const [wrong, setWrong] = useState<string>();
  const current = useCurrent(intent.seen, outcome);
  const requestId = useRequestId(intent);
  const ended = useEnded();
  const [openedAt] = useState(() => performance.now());
  const words = TASKS[intent.task];
  // A note takes nothing from anybody: whatever the alert has become, it may be added.
  const isOther = !isSending && intent.task !== "note" && isOtherThanSeen(intent.seen, current);
  const changed = isOther ? current : undefined;

  const send = async (event: Event) => {
    event.preventDefault();
    const said = complaint(intent);
    setWrong(said);
    if (said !== undefined || isSending || changed !== undefined) return;
    setSending(true);
    const answer = await perform(intent, requestId, ended);
    if (ended.aborted) {
      tellLate(intent, answer);
      return;
    }
    setSending(false);
    setOutcome(answer);
    if (answer.kind !== "done") return;
    announce(`${words.name}: ${words.done}. ${intent.seen.ruleId} of ${whose(intent.seen)}.`);
    close();
  };
  const holdBack = (event: KeyboardEvent) => {
    if (!isHastyEnter(event, performance.now() - openedAt)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  const look = () => {
    if (current === undefined) return;
    setOutcome(undefined);
    setIntent({ ...intent, seen: current });
  };
  const noteInstead = () => {
    setOutcome(undefined);
    setIntent({ ...intent, task: "note", seen: current ?? intent.seen });
  };
  const isRefused = outcome?.kind === "refused";
  const isStopped = isRefused || changed !== undefined;
  return (
    <Dialog title={words.title} onClose={close}>
      <form class="action" onSubmit={send} onKeyDownCapture={holdBack}>
        {outcome !== undefined && <Answer outcome={outcome} done={words.done} />}
        {/* Not the comparison itself: its ages go on, and each would be said aloud. */}
        {changed !== undefined && !isRefused && (
          <p role="alert">It has changed since you saw it.</p>
        )}
        {isStopped ? (
          <Comparison seen={intent.seen} current={current} />
        ) : (
          <AlertFacts alert={intent.seen} />
        )}
        {!isRefused && <ActionFields intent={intent} onChange={setIntent} />}
        {wrong !== undefined && <Problem>{wrong}</Problem>}
        {/* With keys: a button that is pressed must not become another one while it is. */}
        <div class="buttons">
          {isStopped ? (
            <LookAgain
              key="look"
              outcome={outcome}
              current={current}
              task={intent.task}
              onLook={look}
            />
          ) : (
            <Button key="send" type="submit" kind="primary" onPress={() => undefined}>
              {isSending ? "Sending…" : sendWords(outcome, words.title)}
            </Button>
          )}
          {isStopped && intent.task !== "note" && intent.note.trim() !== "" && (
            <Button key="note" onPress={noteInstead}>
              Add what you wrote as a note
            </Button>
          )}
          <Button key="close" onPress={close}>
            {closeWords(isRefused, isSending)}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** What is on its way cannot be called back. */
function closeWords(isRefused: boolean, isSending: boolean): string {
  if (isSending) return "Close (it may be done)";
  return isRefused ? "Close" : "Cancel";
}

function sendWords(outcome: Outcome | undefined, title: string): string {
  return outcome?.kind === "unknown" ? "Ask again" : title;
}

/** What the service has said. */
function Answer({ outcome, done }: { outcome: Outcome; done: string }) {
  if (outcome.kind === "done") return null;
  const head = outcome.kind === "refused" ? `NOT ${done.toUpperCase()}` : "NO ANSWER";
  return (
    <Problem>
      <p>
        <strong>{head}</strong> {outcome.words}{" "}
        {outcome.kind === "unknown" &&
          "It may have been done or not. Asking again is harmless: it is done once at most."}
      </p>
    </Problem>
  );
}

/** What was seen, and what it is. */
function Comparison({ seen, current }: { seen: Alert; current: Alert | undefined }) {
  return (
    <div class="comparison">
      <h3>You saw</h3>
      <AlertFacts alert={seen} />
      <h3>It is</h3>
      {current === undefined ? <p>Waiting for the service…</p> : <AlertFacts alert={current} />}
    </div>
  );
}

interface LookProps {
  outcome: Outcome | undefined;
  current: Alert | undefined;
  task: Task;
  onLook: () => void;
}

/** Goes on with the alert as it is: only after it was shown, and where that can help. */
function LookAgain({ outcome, current, task, onLook }: LookProps) {
  const isHopeless = outcome?.kind === "refused" && !MENDABLE.has(outcome.reason);
  if (isHopeless || current === undefined) return null;
  const why = whyNot(task, current);
  if (why !== undefined) return <p class="action-why">{why}</p>;
  return (
    <Button kind="primary" onPress={onLook}>
      {`I have seen that it is ${priorityWords(current.priority)}: ${TASKS[task].name.toLowerCase()} it`}
    </Button>
  );
}

/** Refusals after which the same may be asked for with the state as it is. */
const MENDABLE = new Set(["ALERT_ESCALATED", "ALERT_REASSIGNED", "ETAG_UNKNOWN"]);

/** Whether somebody must look again: it has become another thing than what was seen. */
function isOtherThanSeen(seen: Alert, current: Alert | undefined): boolean {
  if (current === undefined) return false;
  return (
    current.closed ||
    current.priority !== seen.priority ||
    current.condition !== seen.condition ||
    current.signal !== seen.signal ||
    current.assignee !== seen.assignee
  );
}

/** The alert as it stands: by the stream, or by asking where the service has refused. */
function useCurrent(seen: Alert, outcome: Outcome | undefined): Alert | undefined {
  const [told, setTold] = useState<Alert>();
  useEffect(() => {
    if (outcome?.kind !== "refused") return;
    const { alertId } = seen;
    alerts()
      .getAlert({ alertId }, { timeoutMs: 10_000 })
      .then(
        (answer) => setTold(answer.alert),
        () => undefined,
      );
  }, [outcome, seen]);
  void turnOf(seen.alertId).value;
  const streamed = openAlert(seen.alertId);
  if (told !== undefined && (streamed === undefined || streamed.etag === seen.etag)) return told;
  return streamed;
}

/** Ends with the dialog. */
function useEnded(): AbortSignal {
  const [ending] = useState(() => new AbortController());
  useEffect(() => () => ending.abort(), [ending]);
  return ending.signal;
}

/** The same id for the same request, another one for another. */
function useRequestId(intent: Intent): string {
  const known = useRef({ content: "", id: "" });
  const { task, seen, note, minutes, assignee } = intent;
  const content = JSON.stringify([
    task,
    seen.alertId,
    seen.etag,
    note.trim(),
    minutes,
    assignee.trim(),
  ]);
  if (known.current.content !== content) known.current = { content, id: newRequestId() };
  return known.current.id;
}
