/**
 * Whether a key may be meant for something else than what it would hit: pressed by habit, or while
 * what was looked at has just made room for another.
 */
import { loudest, type Row } from "./ward";

/** A dialog is read before Enter sends it. */
export const DIALOG_READ_MS = 500;
/** What has changed is looked at before a key acts on it. */
export const ROW_SEEN_MS = 1000;

/** Whether this Enter is from before the dialog was read. */
export function isHastyEnter(
  event: Pick<KeyboardEvent, "key" | "repeat" | "shiftKey">,
  openForMs: number,
): boolean {
  if (event.key !== "Enter" || event.shiftKey) return false;
  return event.repeat || openForMs < DIALOG_READ_MS;
}

/**
 * How long rows have been where they are, with the worst alert that they have and the one to answer.
 */
export class Settled {
  private known: Map<string, { look: string; since: number }> | undefined;

  /** Takes the rows as they are shown now. */
  take(rows: readonly Row[], now: number): void {
    const before = this.known;
    const next = rows.map(({ key, alerts }, place) => {
      const shown = [alerts[0], loudest(alerts)].map((it) => `${it?.alertId} ${it?.priority}`);
      const look = [place, ...shown].join(" ");
      const known = before?.get(key);
      // What is there from the beginning is no news.
      const first = before === undefined ? Number.NEGATIVE_INFINITY : now;
      return [key, known?.look === look ? known : { look, since: first }] as const;
    });
    this.known = new Map(next);
  }

  /** Whether the row has been seen as it is. */
  is(key: string, now: number): boolean {
    const since = this.known?.get(key)?.since;
    return since !== undefined && now - since >= ROW_SEEN_MS;
  }
}
