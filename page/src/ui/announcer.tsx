/**
 * What is said aloud to people who do not look: two live regions of the page.
 *
 * A text that is the same as the one before is said again, so each is given a node of its own. Old
 * texts go after a while, so that nobody who reads the page finds them at its end.
 */
import { signal } from "@preact/signals";

type Politeness = "polite" | "assertive";

interface Said {
  id: number;
  text: string;
}

const KEPT_MS = 10_000;
/** The newest count: nobody listens to a queue of hundreds. */
const KEPT_MAX = 6;

const said = { polite: signal<Said[]>([]), assertive: signal<Said[]>([]) };
let last = 0;

/** Says a text: at once (`assertive`), or when there is a pause (`polite`). */
export function announce(text: string, politeness: Politeness = "polite"): void {
  last += 1;
  const id = last;
  const region = said[politeness];
  region.value = [...region.value, { id, text }].slice(-KEPT_MAX);
  setTimeout(() => {
    region.value = region.value.filter((it) => it.id !== id);
  }, KEPT_MS);
}

/** The live regions; once in the page, and there before anything is said. */
export function Announcer() {
  return (
    <div class="unseen">
      <div role="log" aria-live="assertive" aria-relevant="additions" aria-label="Urgent news">
        {said.assertive.value.map((it) => (
          <p key={it.id}>{it.text}</p>
        ))}
      </div>
      <div role="log" aria-live="polite" aria-relevant="additions" aria-label="News">
        {said.polite.value.map((it) => (
          <p key={it.id}>{it.text}</p>
        ))}
      </div>
    </div>
  );
}
