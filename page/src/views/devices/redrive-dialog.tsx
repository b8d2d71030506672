/**
 * Sending refused messages through again, in three steps: what would happen, "are you sure", and what
 * became of each message.
 */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import {
  type Became,
  type Plan,
  type Planned,
  plan,
  type Refused,
  type Result,
  readingsTopic,
} from "../../model/refused";
import { exactNow } from "../../state/moment";
import { announce } from "../../ui/announcer";
import { AskedState, useAsked } from "../../ui/asked";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { type Column, Table } from "../../ui/table";
import { dateTime } from "../../words/times";
import { lookUp, type Sent, send } from "./redrive";

interface Props {
  messages: readonly Refused[];
  onClose: (hasSent: boolean) => void;
}

type Step = { is: "dry run" } | { is: "sure" } | { is: "sending" } | { is: "sent" };

export function RedriveDialog({ messages, onClose }: Props) {
  // As they were when the dialog opened: a list that is asked for anew does not change it.
  const chosen = useRef(messages).current;
  const [step, setStep] = useState<Step>({ is: "dry run" });
  const [sent, setSent] = useState<Sent | undefined>();
  const ended = useRef(new AbortController());
  useEffect(() => () => ended.current.abort(), []);
  // The button that led to a step is gone: who uses a keyboard goes on where the step is told.
  const top = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (step.is !== "dry run") top.current?.focus();
  }, [step.is]);
  const looked = useAsked("registry", (signal) => lookUp(chosen, signal));
  const planned = useMemo(
    () => looked.answer && plan(chosen, looked.answer, exactNow()),
    [looked.answer],
  );
  const begin = async (planned: Plan) => {
    setStep({ is: "sending" });
    const all = planned.sent.map((it) => it.message);
    const done = await send(all, ended.current.signal, setSent);
    setSent(done);
    setStep({ is: "sent" });
    announce(sentWords(done));
  };
  const close = () => onClose(step.is === "sending" || step.is === "sent");
  return (
    <Dialog title="Send refused messages through again" onClose={close} wide>
      <div ref={top} class="redrive" tabIndex={-1}>
        {step.is === "dry run" && <AskedState of={looked} what="Dry run" />}
        {planned && step.is === "dry run" && <DryRun planned={planned} />}
        {planned && step.is === "sure" && <Sure count={planned.sent.length} />}
        {planned && step.is === "sending" && (
          <Sending done={sent?.results.length ?? 0} of={planned.sent.length} />
        )}
        {step.is === "sent" && sent && <Outcome sent={sent} />}
        <div class="buttons">
          {planned && step.is === "dry run" && (
            <Button
              kind="primary"
              onPress={() => setStep({ is: "sure" })}
              disabledWhy={planned.sent.length === 0 ? "There is nothing to send." : undefined}
            >
              Send {planned.sent.length}…
            </Button>
          )}
          {planned && step.is === "sure" && (
            <>
              <Button kind="primary" onPress={() => void begin(planned)}>
                Yes, send {planned.sent.length} through
              </Button>
              <Button onPress={() => setStep({ is: "dry run" })}>Back</Button>
            </>
          )}
          <Button onPress={close}>{step.is === "sent" ? "Close" : "Cancel"}</Button>
        </div>
      </div>
    </Dialog>
  );
}

const OUTLOOKS = ["goes through", "goes through in part", "refused again", "not known"] as const;

function DryRun({ planned }: { planned: Plan }) {
  const count = (outlook: Planned["outlook"]) =>
    planned.sent.filter((it) => it.outlook === outlook).length;
  return (
    <>
      <p>
        <b>Dry run: nothing was sent.</b> Messages that would be sent: {planned.sent.length}, the
        earliest first. What is likely to become of them, by what is registered now:
      </p>
      <ul class="redrive-counts">
        {OUTLOOKS.map((outlook) => (
          <li key={outlook}>
            <b>{count(outlook)}</b> {outlook}
          </li>
        ))}
        <li>
          <b>{planned.left.length}</b> left out
        </li>
      </ul>
      <Table
        caption="Each message"
        captionUnseen
        columns={PLANNED}
        rows={[...planned.sent, ...planned.left.map(leftOut)]}
        rowKey={(it) => it.message.messageId}
      />
      <p class="fine">
        Only the service judges readings. Those that it admits are marked late: they may show alerts
        that are over, and neither raise nor end one with signal.
      </p>
    </>
  );
}

const deviceOf = (message: Refused) => readingsTopic(message.topic)?.deviceId ?? message.topic;

interface Row {
  message: Refused;
  outlook: string;
  why: string;
}

const leftOut = ({ message, why }: Plan["left"][number]): Row => ({
  message,
  outlook: "left out",
  why,
});

const PLANNED: Column<Row>[] = [
  { head: "Received", rowHead: true, cell: (it) => dateTime(it.message.receivedAt) },
  { head: "Device", cell: (it) => deviceOf(it.message) },
  { head: "Likely", cell: (it) => <span class="redrive-became">{it.outlook}</span> },
  { head: "Because", cell: (it) => it.why },
];

function Sure({ count }: { count: number }) {
  return (
    <p class="redrive-sure">
      <b>
        Send {count} {count === 1 ? "message" : "messages"} through the intake again?
      </b>{" "}
      Each goes through at most once, and that can't be taken back. What is refused again stands as
      a new refused message. It is on record that you did it.
    </p>
  );
}

function Sending({ done, of }: { done: number; of: number }) {
  return (
    <>
      <p role="status">
        Sent: {done} of {of}. Closing this leaves out those that are not sent yet.
      </p>
      <progress max={of} value={done} aria-label="Messages sent" />
    </>
  );
}

function sentWords({ results, accepted, duplicate }: Sent): string {
  const count = (became: Became) => results.filter((it) => it.became === became).length;
  return `Messages: ${count("went through")} went through, ${count("refused again in part")} refused again in part, ${count("refused again")} refused again, ${count("left out")} left out, ${count("not known")} not known. Readings: ${accepted} admitted, ${duplicate} admitted before.`;
}

function Outcome({ sent }: { sent: Sent }) {
  return (
    <>
      <p>
        <b>{sentWords(sent)}</b>
      </p>
      <Table
        caption="What became of each message"
        captionUnseen
        columns={RESULTS}
        rows={sent.results}
        rowKey={(it) => it.message.messageId}
      />
      {sent.results.some((it) => it.became === "not known") && (
        <p class="fine">
          What is not known may have gone through: sending it again is harmless, and tells.
        </p>
      )}
    </>
  );
}

const RESULTS: Column<Result>[] = [
  { head: "Received", rowHead: true, cell: (it) => dateTime(it.message.receivedAt) },
  { head: "Device", cell: (it) => deviceOf(it.message) },
  { head: "Became", cell: (it) => <span class="redrive-became">{it.became}</span> },
  { head: "Why", cell: (it) => it.why },
];
