/** How many there are: patients, open alerts, and what a filter hides. */
import { Priority } from "../../gen/pulseward/v1/profile_pb";
import { type Tally as Counted, type Row, tally } from "../../model/ward";
import { PriorityMark } from "../../ui/priority-mark";

export function Tally({ all, hidden }: { all: Counted; hidden: readonly Row[] }) {
  const ofHidden = tally(hidden);
  const hiddenAlerts = ofHidden.high + ofHidden.medium + ofHidden.low;
  return (
    <div class="tally">
      <p>
        <b>{all.patients}</b> patients, <b>{all.fullyMonitored}</b> fully monitored
      </p>
      <p class="tally-alerts">
        <span>open:</span> <Counts of={all} />
      </p>
      {hidden.length > 0 && (
        <p class="tally-hidden">
          not shown: <b>{ofHidden.patients}</b> patients
          {hiddenAlerts > 0 && (
            <>
              , <Counts of={ofHidden} />
            </>
          )}
        </p>
      )}
    </div>
  );
}

function Counts({ of }: { of: Counted }) {
  return (
    <>
      {(
        [
          [Priority.HIGH, of.high],
          [Priority.MEDIUM, of.medium],
          [Priority.LOW, of.low],
        ] as const
      ).map(([priority, count]) => (
        <span key={priority} class="tally-count">
          <b>{count}</b> <PriorityMark priority={priority} word quiet={count === 0} />
        </span>
      ))}
    </>
  );
}
