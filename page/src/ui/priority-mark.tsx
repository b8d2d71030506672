/**
 * An alarm priority by colour, shape and letters, as IEC 60601-1-8 has them: high is a red triangle,
 * medium a yellow one on its point, low a cyan bar. Nothing is told by colour alone.
 */
import type { Priority } from "../gen/pulseward/v1/profile_pb";
import { priorityMark, priorityName, priorityWords } from "../words/alerts";

interface Props {
  priority: Priority;
  /** Shows the word beside the mark; otherwise it is only read aloud. */
  word?: boolean;
  /** The signal is silenced (acknowledged, paused, off): outlined, not filled. */
  quiet?: boolean;
}

const SHAPES = {
  high: "M12 2 23 21.5H1Z",
  medium: "M1 3.5H23L12 22Z",
  low: "M4 5h16a3 3 0 0 1 3 3v8a3 3 0 0 1-3 3H4a3 3 0 0 1-3-3V8a3 3 0 0 1 3-3Z",
  unknown: "M12 1.5 22.5 12 12 22.5 1.5 12Z",
};

const LETTERS_AT = { high: 18, medium: 12.2, low: 16.2, unknown: 16 };

export function PriorityMark({ priority, word = false, quiet = false }: Props) {
  const name = priorityName(priority);
  return (
    <span class={`priority priority-${name}${quiet ? " is-quiet" : ""}`}>
      <svg class="priority-shape" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
        <path d={SHAPES[name]} />
        <text x="12" y={LETTERS_AT[name]}>
          {priorityMark(priority)}
        </text>
      </svg>
      <span class={word ? "priority-word" : "unseen"}>{priorityWords(priority)}</span>
    </span>
  );
}
