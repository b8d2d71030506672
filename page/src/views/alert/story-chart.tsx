/**
 * The vital around the onset, with the limits that were in force, the readings that decided the
 * alert, and what happened to it.
 */
import type uPlot from "uplot";

import { vitals } from "../../api/clients";
import { type Alert, AlertPhase, type GetAlertResponse } from "../../gen/pulseward/v1/alert_pb";
import type { LimitLevel } from "../../gen/pulseward/v1/profile_pb";
import { Vital } from "../../gen/pulseward/v1/reading_pb";
import type { StoredReading } from "../../gen/pulseward/v1/vitals_pb";
import { now } from "../../state/clock";
import { AskedState, useAsked } from "../../ui/asked";
import { axisLook, Chart, clockTicks, remPixels } from "../../ui/chart";
import { colour } from "../../ui/theme";
import { phaseWords, priorityMark, priorityName } from "../../words/alerts";
import { clockTime, millis, timestamp } from "../../words/times";
import { quantityWords, vitalWords } from "../../words/vitals";

const BEFORE_MS = 5 * 60_000;
const AFTER_MS = 5 * 60_000;
/** Of a long alert its beginning is shown; the rest is the patient's history. */
const SPAN_MAX_MS = 40 * 60_000;
const READINGS_MAX = 5000;

interface Props {
  story: GetAlertResponse;
  alert: Alert;
}

export function StoryChart({ story, alert }: Props) {
  const onset = millis(alert.onsetAt);
  if (alert.vital === Vital.UNSPECIFIED || alert.vital === Vital.CONSCIOUSNESS) return null;
  if (onset === undefined || alert.patientId === "") return null;
  return <Around story={story} alert={alert} onset={onset} />;
}

function Around({ story, alert, onset }: Props & { onset: number }) {
  const from = onset - BEFORE_MS;
  const until = untilOf(story, alert, onset);
  const asked = useAsked(
    `${alert.alertId} ${until}`,
    (signal) =>
      vitals().listReadings(
        {
          patientId: alert.patientId,
          vitals: [alert.vital],
          from: timestamp(from),
          until: timestamp(until),
          pageSize: READINGS_MAX,
        },
        { signal, timeoutMs: 10_000 },
      ),
    { keepsAnswer: true },
  );
  const around = asked.answer?.readings ?? [];
  const data = dataOf(around, story.readings, alert.vital);
  const name = vitalWords(alert.vital).name;
  const levels = levelsOf(story);
  return (
    <figure class="story-chart">
      {data[0].length > 0 && (
        <Chart
          label={`${name} from ${clockTime(from)} to ${clockTime(until)}. ${label(levels, alert)}`}
          data={data}
          options={() => options(story, alert, { from, until })}
          optionsKey={`${alert.etag} ${until} ${story.events.length}`}
          heightRem={15}
        />
      )}
      {asked.answer === undefined && <AskedState of={asked} what="Readings around it" />}
      <figcaption class="fine">
        {name}, {vitalWords(alert.vital).unit}. Dots: readings that decided it. Dashed: limits in
        force when it was raised. Upright: what happened.
      </figcaption>
    </figure>
  );
}

/** Some time after the last thing that happened; rounded, so that it is not asked for each second. */
function untilOf(story: GetAlertResponse, alert: Alert, onset: number): number {
  const last = millis(story.events.at(-1)?.determinedAt) ?? onset;
  const end = millis(alert.endedAt) ?? last;
  const open = alert.closed ? Math.max(end, last) : now.value;
  const wished = Math.max(end, last, open) + (alert.closed ? AFTER_MS : 0);
  const bounded = Math.min(wished, onset + SPAN_MAX_MS);
  return Math.ceil(bounded / 15_000) * 15_000;
}

type Data = [number[], (number | null)[], (number | null)[]];

/** Times in seconds, all quantities, and those that decided it. */
function dataOf(
  around: readonly StoredReading[],
  deciding: readonly StoredReading[],
  vital: Vital,
): Data {
  const all = new Map<number, { value: number | null; decided: number | null }>();
  for (const it of around) put(all, it, false);
  for (const it of deciding) if (it.vital === vital) put(all, it, true);
  const times = [...all.keys()].sort((a, b) => a - b);
  return [
    times.map((it) => it / 1000),
    times.map((it) => all.get(it)?.value ?? null),
    times.map((it) => all.get(it)?.decided ?? null),
  ];
}

function put(
  all: Map<number, { value: number | null; decided: number | null }>,
  reading: StoredReading,
  decided: boolean,
): void {
  const at = millis(reading.measuredAt);
  if (at === undefined) return;
  const value = reading.value.case === "quantity" ? reading.value.value : null;
  all.set(at, { value, decided: decided ? value : (all.get(at)?.decided ?? null) });
}

function levelsOf(story: GetAlertResponse): readonly LimitLevel[] {
  const kind = story.rule?.rule?.kind;
  return kind?.case === "limit" ? kind.value.levels : [];
}

function label(levels: readonly LimitLevel[], alert: Alert): string {
  const limits = levels.map(
    (it) => `${priorityName(it.priority)} ${quantityWords(alert.vital, it.limit)}`,
  );
  const said = limits.length === 0 ? "" : `Limits: ${limits.join(", ")}. `;
  return `${said}The readings that decided the alert stand in the table below.`;
}

function options(
  story: GetAlertResponse,
  alert: Alert,
  span: { from: number; until: number },
): Omit<uPlot.Options, "width" | "height"> {
  const line = colour("trend");
  const look = axisLook();
  return {
    legend: { show: false },
    cursor: { show: false },
    padding: [0.75 * remPixels(), 2 * remPixels(), 0, 0],
    scales: {
      x: { time: true, range: () => [span.from / 1000, span.until / 1000] },
      y: { range: (_, low, high) => rangeWith(levelsOf(story), low, high) },
    },
    axes: [
      { ...look, values: clockTicks, space: 6 * remPixels(), size: 2 * remPixels() },
      { ...look, size: 3 * remPixels() },
    ],
    series: [
      {},
      { stroke: line, width: 1.75, points: { show: false } },
      {
        stroke: line,
        paths: () => null,
        points: { show: true, size: 8, fill: colour("surface"), stroke: line, width: 2 },
      },
    ],
    hooks: { draw: [(plot) => mark(plot, story, alert)] },
  };
}

function rangeWith(levels: readonly LimitLevel[], low: number, high: number): [number, number] {
  const limits = levels.map((it) => it.limit);
  const all = [low, high, ...limits].filter((it) => Number.isFinite(it));
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const spare = Math.max((most - least) * 0.08, 0.5);
  return [least - spare, most + spare];
}

/** Limits across, events upright. */
function mark(plot: uPlot, story: GetAlertResponse, alert: Alert): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  ctx.font = `${Math.round(0.75 * remPixels() * devicePixelRatio)}px system-ui, sans-serif`;
  for (const it of levelsOf(story)) {
    const y = Math.round(plot.valToPos(it.limit, "y", true)) + 0.5;
    acrossLine(ctx, bbox, y);
    ctx.fillStyle = colour("limit");
    const words = `${priorityMark(it.priority)} ${quantityWords(alert.vital, it.limit)}`;
    ctx.fillText(words, bbox.left + 6 * devicePixelRatio, y - 4 * devicePixelRatio);
  }
  uprightLines(ctx, bbox, upright(plot, story, alert));
  ctx.restore();
}

/** Where something happened, from the left, and what. */
function upright(plot: uPlot, story: GetAlertResponse, alert: Alert): [x: number, words: string][] {
  const shown = story.events.filter((it) => SHOWN.has(it.phase));
  const all: [number | undefined, string][] = [
    [millis(alert.onsetAt), "onset"],
    ...shown.map((it): [number | undefined, string] => [
      millis(it.determinedAt),
      phaseWords(it.phase),
    ]),
  ];
  const known = all.filter((it): it is [number, string] => it[0] !== undefined);
  return known
    .map(([at, words]): [number, string] => [plot.valToPos(at / 1000, "x", true), words])
    .filter(([x]) => x >= plot.bbox.left && x <= plot.bbox.left + plot.bbox.width)
    .sort(([a], [b]) => a - b);
}

/** Words stand left of their lines; where lines are close, they make room for each other. */
function uprightLines(
  ctx: CanvasRenderingContext2D,
  bbox: uPlot.BBox,
  lines: readonly [x: number, words: string][],
): void {
  const lineHeight = 0.9 * remPixels() * devicePixelRatio;
  let free = Number.NEGATIVE_INFINITY;
  for (const [x, words] of lines) {
    const at = Math.max(x - 4 * devicePixelRatio, free);
    uprightLine(ctx, bbox, x, at, words);
    free = at + lineHeight;
  }
}

function acrossLine(ctx: CanvasRenderingContext2D, bbox: uPlot.BBox, y: number): void {
  ctx.strokeStyle = colour("limit");
  ctx.lineWidth = 1.25 * devicePixelRatio;
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.setLineDash([]);
}

function uprightLine(
  ctx: CanvasRenderingContext2D,
  bbox: uPlot.BBox,
  x: number,
  wordsAt: number,
  words: string,
): void {
  ctx.strokeStyle = colour("text-2");
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.fillStyle = colour("text-2");
  ctx.save();
  ctx.translate(wordsAt, bbox.top + 4 * devicePixelRatio);
  ctx.rotate(-Math.PI / 2);
  ctx.textAlign = "right";
  ctx.fillText(words, 0, 0);
  ctx.restore();
}

/** Events that have a line: what the patient's data and people did. */
const SHOWN = new Set([
  AlertPhase.START,
  AlertPhase.ESCALATE,
  AlertPhase.DEESCALATE,
  AlertPhase.END,
  AlertPhase.ACKNOWLEDGE,
]);
