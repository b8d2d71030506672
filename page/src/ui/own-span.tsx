/** A span of one's own: two times in this screen's zone. One that can't be shown is told why. */
import { useEffect, useState } from "preact/hooks";

import { fromLocalInput, localInput, type Span } from "../model/history";
import { zone } from "../words/times";
import { Button } from "./button";

interface Props {
  /** The span that is shown: both times begin there. */
  span: Span;
  /** What is wrong with what was typed; undefined if nothing is. */
  problemOf: (own: Partial<Span>) => string | undefined;
  onSpan: (span: Span) => void;
  /** Says the zone beside the times. */
  showsZone?: boolean;
}

export function OwnSpan({ span, problemOf, onSpan, showsZone = false }: Props) {
  const [from, setFrom] = useState(localInput(span.from));
  const [until, setUntil] = useState(localInput(span.until));
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    setFrom(localInput(span.from));
    setUntil(localInput(span.until));
    setProblem(undefined);
  }, [span.from, span.until]);
  const show = (event: Event) => {
    event.preventDefault();
    const own = { from: fromLocalInput(from), until: fromLocalInput(until) };
    const wrong = problemOf(own);
    setProblem(wrong);
    if (wrong === undefined && own.from !== undefined && own.until !== undefined) {
      onSpan({ from: own.from, until: own.until });
    }
  };
  const isWrong = problem !== undefined;
  return (
    <form class="own-span" onSubmit={show} noValidate>
      <TimeInput name="From" value={from} isWrong={isWrong} onValue={setFrom} />
      <TimeInput name="Until" value={until} isWrong={isWrong} onValue={setUntil} />
      <Button type="submit" onPress={() => undefined}>
        Show
      </Button>
      {showsZone && <span class="fine">{zone(span.until)}</span>}
      {isWrong && (
        <p class="own-span-problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}

interface TimeProps {
  name: string;
  value: string;
  isWrong: boolean;
  onValue: (value: string) => void;
}

function TimeInput({ name, value, isWrong, onValue }: TimeProps) {
  return (
    <label class="field-inline">
      {name}
      <input
        type="datetime-local"
        value={value}
        aria-invalid={isWrong}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
    </label>
  );
}
