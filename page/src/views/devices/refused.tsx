/**
 * Messages of which something was refused: what is wrong, what helps, what they hold; and sending them
 * through again. Of a site, or of one device.
 *
 * Payloads hold vitals: each is asked for by itself, when somebody wants to see it.
 */
import { useState } from "preact/hooks";

import { ingest } from "../../api/clients";
import { isGone, words } from "../../api/errors";
import type { RejectReason } from "../../gen/pulseward/v1/reading_pb";
import {
  cannotRedrive,
  REASONS,
  type Refused,
  readingsTopic,
  reason,
  reasonsOf,
  whyWords,
} from "../../model/refused";
import { href } from "../../router";
import { AskedState, Problem, useAsked } from "../../ui/asked";
import { Button } from "../../ui/button";
import { dateTime, timestamp } from "../../words/times";
import { refused } from "./load";
import { mayNotSeeRefused } from "./may";
import { readable } from "./payload";
import { RedriveDialog } from "./redrive-dialog";

/** Messages of one page. */
const PAGE_SIZE = 50;
/** One call of the service takes a thousand; this is what somebody can have looked at. */
const CHOSEN_MAX = 500;

interface Props {
  siteId: string;
  deviceId?: string;
}

interface Pages {
  messages: Refused[];
  nextPageToken: string;
}

export function RefusedMessages({ siteId, deviceId = "" }: Props) {
  const mayNot = mayNotSeeRefused();
  return (
    <section class="panel refused">
      <h2>Refused messages</h2>
      {mayNot === undefined ? (
        <List siteId={siteId} deviceId={deviceId} />
      ) : (
        <>
          <p>{mayNot}</p>
          <div class="buttons">
            <Button onPress={() => undefined} disabledWhy={mayNot}>
              Send through again…
            </Button>
          </div>
        </>
      )}
    </section>
  );
}

function List({ siteId, deviceId }: Required<Props>) {
  const [reasonNumber, setReason] = useState(0);
  const [onlyUnsent, setOnlyUnsent] = useState(true);
  const key = `${siteId} ${deviceId} ${reasonNumber}`;
  const pages = usePages(key, { siteId, deviceId, reason: reasonNumber as RejectReason });
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [isDialogOpen, setDialogOpen] = useState(false);
  const loaded = pages.loaded?.messages ?? [];
  const shown = loaded.filter((it) => !onlyUnsent || cannotRedrive(it) === undefined);
  const picked = shown.filter((it) => chosen.has(it.messageId));
  const sendable = shown.filter((it) => cannotRedrive(it) === undefined).slice(0, CHOSEN_MAX);
  const closeDialog = (hasSent: boolean) => {
    setDialogOpen(false);
    if (!hasSent) return;
    setChosen(new Set());
    pages.asked.again();
  };
  return (
    <>
      <div class="devices-tools">
        <ReasonChoice number={reasonNumber} onChoose={setReason} />
        <label class="check">
          <input
            type="checkbox"
            checked={onlyUnsent}
            onChange={(event) => setOnlyUnsent(event.currentTarget.checked)}
          />
          Only what can be sent through again
        </label>
        <Button onPress={pages.asked.again}>Ask again</Button>
      </div>
      <AskedState of={pages.asked} what="Refused messages" />
      {pages.loaded && (
        <>
          <div class="refused-choice">
            <Button
              onPress={() => setChosen(new Set(sendable.map((it) => it.messageId)))}
              disabledWhy={sendable.length === 0 ? "None of these can be sent." : undefined}
            >
              Choose all {sendable.length} shown
            </Button>
            <Button
              onPress={() => setChosen(new Set())}
              disabledWhy={picked.length === 0 ? "None is chosen." : undefined}
            >
              Choose none
            </Button>
            <Button
              kind="primary"
              onPress={() => setDialogOpen(true)}
              disabledWhy={picked.length === 0 ? "Choose messages first." : undefined}
            >
              Send {picked.length} through again…
            </Button>
          </div>
          <Messages messages={shown} chosen={chosen} onChoose={setChosen} />
          <More pages={pages} shown={shown.length} />
        </>
      )}
      {isDialogOpen && <RedriveDialog messages={picked} onClose={closeDialog} />}
    </>
  );
}

interface ReasonProps {
  number: number;
  onChoose: (number: number) => void;
}

function ReasonChoice({ number, onChoose }: ReasonProps) {
  return (
    <label class="field-inline">
      Reason
      <select value={number} onChange={(event) => onChoose(Number(event.currentTarget.value))}>
        <option value={0}>any</option>
        {REASONS.map((it) => (
          <option key={it.number} value={it.number}>
            {it.words}
          </option>
        ))}
      </select>
    </label>
  );
}

interface Which {
  siteId: string;
  deviceId: string;
  reason: RejectReason;
}

/** The first page, and those after it on request. */
function usePages(key: string, which: Which) {
  const [further, setFurther] = useState<Pages | undefined>();
  const [isAsking, setAsking] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const asked = useAsked(key, async (ended) => {
    setFurther(undefined);
    setFailure(undefined);
    return page(which, "", ended);
  });
  const loaded = isGone(asked.failure) ? undefined : (further ?? asked.answer);
  const more = async () => {
    if (!loaded || isAsking) return;
    setAsking(true);
    setFailure(undefined);
    try {
      const next = await page(which, loaded.nextPageToken);
      setFurther({ ...next, messages: [...loaded.messages, ...next.messages] });
    } catch (failure) {
      setFailure(failure);
    }
    setAsking(false);
  };
  return { asked, loaded, more, isAsking, failure };
}

async function page(which: Which, pageToken: string, signal?: AbortSignal): Promise<Pages> {
  const request = { ...which, pageSize: PAGE_SIZE, pageToken };
  const answer = await ingest().listRejectedMessages(request, { signal });
  return { messages: answer.messages.map(refused), nextPageToken: answer.nextPageToken };
}

function More({ pages, shown }: { pages: ReturnType<typeof usePages>; shown: number }) {
  const { loaded, failure } = pages;
  if (!loaded) return null;
  return (
    <div class="refused-choice">
      <p class="fine" role="status">
        Shown: {shown} of {loaded.messages.length} that were asked for, latest first
        {loaded.nextPageToken === "" ? "; there are no more." : "; there are more."}
      </p>
      {loaded.nextPageToken !== "" && (
        <Button
          onPress={() => void pages.more()}
          disabledWhy={pages.isAsking ? "Waiting for the service." : undefined}
        >
          More
        </Button>
      )}
      {failure !== undefined && (
        <Problem>
          <p>{words(failure)}</p>
        </Problem>
      )}
    </div>
  );
}

interface MessagesProps {
  messages: readonly Refused[];
  chosen: ReadonlySet<string>;
  onChoose: (chosen: ReadonlySet<string>) => void;
}

function Messages({ messages, chosen, onChoose }: MessagesProps) {
  if (messages.length === 0) return <p class="waiting">No such message.</p>;
  const toggle = (id: string) => {
    const changed = new Set(chosen);
    if (!changed.delete(id)) changed.add(id);
    onChoose(changed);
  };
  return (
    <ul class="refused-list">
      {messages.map((message) => (
        <li key={message.messageId} class="refused-message">
          <Message
            message={message}
            isChosen={chosen.has(message.messageId)}
            onToggle={() => toggle(message.messageId)}
          />
        </li>
      ))}
    </ul>
  );
}

interface MessageProps {
  message: Refused;
  isChosen: boolean;
  onToggle: () => void;
}

function Message({ message, isChosen, onToggle }: MessageProps) {
  const cannot = cannotRedrive(message);
  const when = dateTime(message.receivedAt);
  return (
    <>
      <input
        type="checkbox"
        checked={isChosen}
        disabled={cannot !== undefined}
        onChange={onToggle}
        aria-label={`Choose the message of ${when}, ${sender(message)}`}
      />
      <div class="refused-body">
        <p class="refused-line">
          <time>{when}</time> <Sender message={message} />
          {reasonsOf(message).map((it) => (
            <span key={it.number} class="refused-reason">
              {it.words}
            </span>
          ))}
        </p>
        <p class="refused-why">{whyWords(message)}</p>
        {message.redrivenAt !== undefined && (
          <p class="fine">Sent through again {dateTime(message.redrivenAt)}.</p>
        )}
        {message.redrivenFrom !== "" && (
          <p class="fine">Was sent through again before, and refused again.</p>
        )}
        <Details message={message} />
      </div>
    </>
  );
}

/** The reason of a device that has no page, because it is not enrolled. */
const UNKNOWN_DEVICE = 7;

const sender = (message: Refused) => readingsTopic(message.topic)?.deviceId ?? message.topic;

function Sender({ message }: { message: Refused }) {
  const topic = readingsTopic(message.topic);
  if (!topic) return <code class="refused-topic">{message.topic}</code>;
  const isEnrolled = message.reason !== UNKNOWN_DEVICE;
  return (
    <span>
      {isEnrolled ? <a href={href.device(topic.deviceId)}>{topic.deviceId}</a> : topic.deviceId} at{" "}
      {topic.siteId}
    </span>
  );
}

function Details({ message }: { message: Refused }) {
  return (
    <details>
      <summary>What is wrong, and what helps</summary>
      <dl class="refused-reasons">
        {reasonsOf(message).map((it) => (
          <div key={it.number}>
            <dt>{it.words}</dt>
            <dd>
              {it.meaning} <b>{it.remedy}</b>
            </dd>
          </div>
        ))}
      </dl>
      {message.readings.length > 0 && (
        <ul class="refused-readings">
          {message.readings.map((it) => (
            <li key={it.index}>
              Reading {it.index + 1}: {reason(it.reason).words}
              {it.detail !== "" && `: ${it.detail}`}
            </li>
          ))}
          {message.readingsTotal > message.readings.length && (
            <li>
              and {message.readingsTotal - message.readings.length} more, of which no details are
              kept
            </li>
          )}
        </ul>
      )}
      <p class="fine">
        Topic <code class="refused-topic">{message.topic}</code>, message{" "}
        <code class="refused-topic">{message.messageId}</code>
      </p>
      <Payload message={message} />
    </details>
  );
}

/** Asked for when wanted: it holds vitals, and who looked is on record. */
function Payload({ message }: { message: Refused }) {
  const [state, setState] = useState<{ kind: string; text: string } | string | undefined>();
  if (message.erasedAt !== undefined) {
    return <p class="fine">Its payload was erased {dateTime(message.erasedAt)}, with a patient.</p>;
  }
  if (typeof state === "object") {
    return (
      <figure class="refused-payload">
        <figcaption class="fine">{state.kind}</figcaption>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
        <pre tabIndex={0}>{state.text}</pre>
      </figure>
    );
  }
  const show = async () => {
    setState("Waiting for the service…");
    try {
      const payload = await payloadOf(message);
      setState(payload ? readable(message.topic, payload) : "The payload was not kept.");
    } catch (failure) {
      setState(words(failure));
    }
  };
  return (
    <div class="refused-choice">
      <Button onPress={() => void show()}>Show what it holds</Button>
      <span class="fine" role="status">
        {state ?? "It holds vitals. That you looked is on record."}
      </span>
    </div>
  );
}

/** There is no call for one message: it is asked for by the moment of its receipt. */
async function payloadOf(message: Refused): Promise<Uint8Array | undefined> {
  const deviceId = readingsTopic(message.topic)?.deviceId ?? "";
  const until = timestamp(message.receivedAt + 1);
  const request = { deviceId, from: timestamp(Math.floor(message.receivedAt)), until };
  for (let pageToken = ""; ; ) {
    const asked = { ...request, withPayload: true, pageToken };
    const page = await ingest().listRejectedMessages(asked);
    const found = page.messages.find((it) => it.messageId === message.messageId);
    pageToken = page.nextPageToken;
    if (found) return found.payload.length > 0 ? found.payload : undefined;
    if (pageToken === "") return undefined;
  }
}
