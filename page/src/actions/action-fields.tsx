/** What is to be said for each task. */
import { access } from "../api/session";
import type { Alert } from "../gen/pulseward/v1/alert_pb";
import { Button } from "../ui/button";
import type { Intent, Task } from "./perform";

/** A pause, if nothing else is said. */
const MINUTES_DEFAULT = 5;
/** The service's most is a day. */
const LENGTHS: [number, string][] = [
  [2, "2 min"],
  [5, "5 min"],
  [10, "10 min"],
  [15, "15 min"],
  [30, "30 min"],
  [60, "1 h"],
  [120, "2 h"],
  [240, "4 h"],
  [480, "8 h"],
  [720, "12 h"],
  [1440, "24 h"],
];

/** Nothing said yet. */
export function emptyIntent(task: Task, seen: Alert): Intent {
  const assignee = task === "assign" ? (ownSubject() ?? seen.assignee) : "";
  return { task, seen, note: "", minutes: MINUTES_DEFAULT, assignee };
}

interface Props {
  intent: Intent;
  onChange: (intent: Intent) => void;
}

export function ActionFields({ intent, onChange }: Props) {
  switch (intent.task) {
    case "acknowledge":
      return <NoteField label="Note, if any" {...{ intent, onChange }} />;
    case "pause":
      return (
        <>
          <LengthField {...{ intent, onChange }} />
          <NoteField label="Why" {...{ intent, onChange }} />
          <p class="fine">Its signal comes back by itself. The condition goes on being watched.</p>
        </>
      );
    case "reset":
      return <p>Its condition has ended. This clears the signal that waits.</p>;
    case "assign":
      return <AssigneeField {...{ intent, onChange }} />;
    case "note":
      return <NoteField label="Note" isLong {...{ intent, onChange }} />;
  }
}

function NoteField({
  intent,
  onChange,
  label,
  isLong,
}: Props & { label: string; isLong?: boolean }) {
  return (
    <label class="field">
      <span>{label}</span>
      <textarea
        rows={isLong ? 5 : 2}
        value={intent.note}
        onInput={(event) => onChange({ ...intent, note: event.currentTarget.value })}
        onKeyDown={sendOnEnter}
      />
    </label>
  );
}

/** Enter sends, as in one line; shift and Enter begin a new line. */
function sendOnEnter(event: KeyboardEvent): void {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  (event.currentTarget as HTMLTextAreaElement).form?.requestSubmit();
}

function LengthField({ intent, onChange }: Props) {
  return (
    <label class="field">
      <span>For how long</span>
      <select
        value={String(intent.minutes)}
        onChange={(event) => onChange({ ...intent, minutes: Number(event.currentTarget.value) })}
      >
        {LENGTHS.map(([minutes, words]) => (
          <option key={minutes} value={String(minutes)}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}

function AssigneeField({ intent, onChange }: Props) {
  const own = ownSubject();
  const set = (assignee: string) => onChange({ ...intent, assignee });
  return (
    <>
      <p>Now: {intent.seen.assignee === "" ? "nobody" : intent.seen.assignee}</p>
      <label class="field">
        <span>Who takes care of it (as they sign in); empty for nobody</span>
        <input
          type="text"
          autocomplete="off"
          value={intent.assignee}
          onInput={(event) => set(event.currentTarget.value)}
        />
      </label>
      <div class="buttons">
        {own !== undefined && <Button onPress={() => set(own)}>Me ({own})</Button>}
        <Button onPress={() => set("")}>Nobody</Button>
      </div>
    </>
  );
}

function ownSubject(): string | undefined {
  const now = access.value;
  return now.kind === "token" ? now.bearer.subject : undefined;
}
