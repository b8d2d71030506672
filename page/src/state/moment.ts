/** This very moment by the service's clock, for what is asked of it; `now` is of the last second. */
import { steady, timeAt } from "./clock";

/** Milliseconds since 1970. */
export function exactNow(): number {
  return timeAt(steady());
}
