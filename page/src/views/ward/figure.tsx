/** One vital as a monitor shows it: the value large, its limits beside it, its age, its trend. */
import type { Bounds, Limit } from "../../model/limits";
import { isQuiet } from "../../model/ward";
import { now } from "../../state/clock";
import { FRESH_MAX_MS } from "../../ui/age";
import { PriorityMark } from "../../ui/priority-mark";
import { Trend } from "../../ui/trend";
import { priorityName } from "../../words/alerts";
import { spanWords } from "../../words/times";
import { quantityWords, unitWords, vitalWords } from "../../words/vitals";
import { type Figure as FigureOf, sayingOf } from "./cells";

/** Longer values are as small as these. */
const LENGTH_MAX = 8;

interface Props {
  of: FigureOf;
  bounds: Bounds | undefined;
}

export function Figure({ of, bounds }: Props) {
  const { vital, track, second, alert } = of;
  const reading = track.newest;
  if (reading === undefined || track.measuredAt === undefined) return null;
  const words = vitalWords(vital);
  const age = now.peek() - track.measuredAt;
  const isStale = age > FRESH_MAX_MS;
  const { value: plain, why } = sayingOf(of);
  const value = isStale ? `(${plain})` : plain;
  const look = alert === undefined ? "" : ` has-alert alert-${priorityName(alert.priority)}`;
  const name = second === undefined ? words.name : "Blood pressure";
  return (
    <div class={`figure${look}${isStale ? " is-stale" : ""}`}>
      <div class="figure-head">
        <span class="figure-name">
          {alert !== undefined && <PriorityMark priority={alert.priority} quiet={isQuiet(alert)} />}
          <abbr title={name}>{second === undefined ? words.short : "BP"}</abbr>{" "}
          <span class="figure-unit">{unitWords(reading.unit) || words.unit}</span>
        </span>
      </div>
      <div class="figure-body">
        <span class={`figure-value length-${Math.min(value.length, LENGTH_MAX)}`}>{value}</span>
        {bounds !== undefined && <Limits bounds={bounds} of={of} />}
      </div>
      <div class="figure-foot">
        {why !== undefined && <span class="figure-why">{why}</span>}
        {why === undefined && reading.value.case !== "consciousness" && (
          <Trend track={track} vital={vital} bounds={bounds} />
        )}
        <span class="figure-age">{spanWords(age)}</span>
      </div>
    </div>
  );
}

/** The first limit of each side, high above low, as on a monitor. */
function Limits({ bounds, of }: { bounds: Bounds; of: FigureOf }) {
  const of1 = (limit: Limit | undefined) =>
    limit === undefined ? "–" : quantityWords(of.vital, limit.limit);
  const [high, low] = [of1(bounds.high[0]), of1(bounds.low[0])];
  return (
    <span class="figure-limits">
      <span class="unseen">limits</span>
      <span>
        {high}
        <span class="unseen"> high,</span>
      </span>
      <span>
        {low}
        <span class="unseen"> low</span>
      </span>
    </span>
  );
}
