/** Everything that happened to an alert, in order, with who and when. */
import { AlertCause, type AlertEvent, AlertPhase } from "../../gen/pulseward/v1/alert_pb";
import { now } from "../../state/clock";
import { PriorityMark } from "../../ui/priority-mark";
import { causeWords, phaseWords } from "../../words/alerts";
import { decidingWords } from "../../words/sentences";
import { dateTime, millis, whenWords } from "../../words/times";

export function EventList({ events }: { events: readonly AlertEvent[] }) {
  if (events.length === 0) return <p>Nothing is told of what happened.</p>;
  return (
    <ol class="events">
      {events.map((it, index) => (
        <EventItem key={`${it.alert?.etag ?? ""} ${index}`} event={it} />
      ))}
    </ol>
  );
}

function EventItem({ event }: { event: AlertEvent }) {
  const at = millis(event.determinedAt);
  const cause = event.cause === AlertCause.REQUEST ? "" : causeWords(event.cause);
  const readings = event.readings.map(decidingWords).join(", ");
  return (
    <li class="event">
      {at !== undefined && (
        <time class="event-time" dateTime={new Date(at).toISOString()} title={dateTime(at)}>
          {whenWords(at, now.peek())}
        </time>
      )}
      <div class="event-what">
        <p>
          {event.alert !== undefined && MARKED.has(event.phase) && (
            <PriorityMark priority={event.alert.priority} word />
          )}{" "}
          <b>{whatHappened(event)}</b>
          {event.actor !== "" && (
            <>
              {" "}
              by <b>{event.actor}</b>
            </>
          )}
        </p>
        {readings !== "" && <p>{readings}</p>}
        {cause !== "" && <p class="fine">{cause}</p>}
        {event.note !== "" && <blockquote class="event-note">{event.note}</blockquote>}
      </div>
    </li>
  );
}

/** Events after which the priority is worth a look. */
const MARKED = new Set([AlertPhase.START, AlertPhase.ESCALATE, AlertPhase.DEESCALATE]);

function whatHappened(event: AlertEvent): string {
  if (event.phase === AlertPhase.UPDATE && event.note !== "") return "note";
  const until = millis(event.alert?.pausedUntil);
  if (event.phase === AlertPhase.PAUSE && until !== undefined) {
    return `${phaseWords(event.phase)} until ${whenWords(until, now.peek())}`;
  }
  return phaseWords(event.phase);
}
