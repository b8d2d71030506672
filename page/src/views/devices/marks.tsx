/** What needs attention about a device, by word and shape as well as by colour. */
import type { Finding, Urgency } from "../../model/devices";

const WORDS: Record<Urgency, string> = {
  act: "Needs action",
  look: "Worth a look",
  fine: "Nothing",
};

/** No priorities of alarms: those have shapes of their own. */
const SIGNS: Record<Urgency, string> = { act: "✖", look: "●", fine: "✓" };

/** A sign with its meaning. */
export function UrgencyMark({ urgency }: { urgency: Urgency }) {
  return (
    <span class={`urgency urgency-${urgency}`}>
      <span aria-hidden="true">{SIGNS[urgency]}</span>
      <span class="unseen">{WORDS[urgency]}:</span>
    </span>
  );
}

/** Everything that was found, the worst first. */
export function Findings({ found }: { found: readonly Finding[] }) {
  if (found.length === 0) return <span class="findings-none">nothing</span>;
  return (
    <ul class="findings">
      {found.map((finding) => (
        <li key={finding.words} class={`finding finding-${finding.urgency}`}>
          <UrgencyMark urgency={finding.urgency} /> {finding.words}
        </li>
      ))}
    </ul>
  );
}
