/** Which span is shown: named ones that end now, or any by two times. */
import { useEffect, useState } from "preact/hooks";

import { fromLocalInput, localInput, PRESETS, SPAN_MAX, type Span } from "../../model/history";
import { Button } from "../../ui/button";
import { Group } from "../../ui/group";
import { zone } from "../../words/times";

interface Props {
  span: Span;
  /** The preset that is shown; empty for a span of one's own. */
  preset: string;
  now: number;
  onPreset: (id: string) => void;
  onSpan: (span: Span) => void;
}

/** Named spans that end now. */
export function Presets({ preset, onPreset }: Pick<Props, "preset" | "onPreset">) {
  return (
    <Group name="Span that ends now">
      {PRESETS.map(({ id }) => (
        <Button key={id} onPress={() => onPreset(id)} pressed={id === preset}>
          {id.replace(/(\d+)/, "$1 ")}
        </Button>
      ))}
    </Group>
  );
}

/** Two times in this screen's zone. */
export function OwnSpan({ span, now, onSpan }: Pick<Props, "span" | "now" | "onSpan">) {
  const [from, setFrom] = useState(localInput(span.from));
  const [until, setUntil] = useState(localInput(span.until));
  const [problem, setProblem] = useState("");
  useEffect(() => {
    setFrom(localInput(span.from));
    setUntil(localInput(span.until));
    setProblem("");
  }, [span.from, span.until]);
  const show = (event: Event) => {
    event.preventDefault();
    const chosen = { from: fromLocalInput(from), until: fromLocalInput(until) };
    const wrong = problemOf(chosen.from, chosen.until, now);
    setProblem(wrong ?? "");
    if (!wrong && chosen.from !== undefined && chosen.until !== undefined) {
      onSpan({ from: chosen.from, until: chosen.until });
    }
  };
  return (
    <form class="history-own" onSubmit={show} noValidate>
      <label class="field-inline">
        From
        <input
          type="datetime-local"
          value={from}
          aria-invalid={problem !== ""}
          onInput={(event) => setFrom(event.currentTarget.value)}
        />
      </label>
      <label class="field-inline">
        Until
        <input
          type="datetime-local"
          value={until}
          aria-invalid={problem !== ""}
          onInput={(event) => setUntil(event.currentTarget.value)}
        />
      </label>
      <Button type="submit" onPress={() => undefined}>
        Show
      </Button>
      <span class="fine">{zone(span.until)}</span>
      {problem !== "" && (
        <p class="history-problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}

function problemOf(from: number | undefined, until: number | undefined, now: number) {
  if (from === undefined || until === undefined) return "Both times are needed.";
  if (until <= from) return "The end is not after the beginning.";
  if (from >= now) return "The beginning lies ahead.";
  if (until - from > SPAN_MAX) return "At most 366 days are shown at once.";
  return undefined;
}
