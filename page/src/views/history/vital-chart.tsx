/**
 * One vital over the span: its mean as a line, its lowest and highest as a band, with gaps, alerts and
 * limits; and in words what the cursor is on.
 */
import type { Signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type uPlot from "uplot";

import { Acvpu, Vital } from "../../gen/pulseward/v1/reading_pb";
import {
  type AlertSpan,
  columns,
  gapTotals,
  type Point,
  pointAt,
  type Span,
  scale,
  summary,
} from "../../model/history";
import { Chart, remPixels } from "../../ui/chart";
import { colour } from "../../ui/theme";
import { clockTime, dateTime, exactSpanWords } from "../../words/times";
import { consciousnessWords, quantityWords, vitalWords } from "../../words/vitals";
import { drawAlerts, drawGaps, drawLimits } from "./drawing";
import type { Series } from "./load";

/** The charts of the view, whose cursors move together. */
export type Plots = Set<uPlot>;

interface Props {
  series: Series;
  span: Span;
  /** Those of this vital. */
  alerts: readonly AlertSpan[];
  now: number;
  /** The time under the cursor, if there is one. */
  cursor: Signal<number | undefined>;
  plots: Plots;
  onZoom: (span: Span) => void;
}

const HEIGHT_REM = 12;
/** Left of the plot stand the numbers, right of it the half of a time. The lanes keep to the same. */
const LEFT_REM = 3.25;
const RIGHT_REM = 1.375;

export function VitalChart(props: Props) {
  const { series, span, alerts, now, cursor } = props;
  const { name, unit } = vitalWords(series.vital);
  const data = useMemo((): uPlot.AlignedData => {
    const rows = columns(series.points, series.width, series.gaps);
    return [rows.at, rows.max, rows.mean, rows.min];
  }, [series]);
  const key = useMemo(
    () => `${span.from} ${span.until} ${turn(series)} ${turn(alerts)}`,
    [series, alerts],
  );
  return (
    <section class="history-vital" aria-label={name}>
      <div class="history-vital-head">
        <h2>
          {name} {unit !== "" && <span class="history-unit">{unit}</span>}
        </h2>
        <Readout series={series} cursor={cursor} />
      </div>
      {series.points.length === 0 ? (
        <p class="history-empty">Nothing was measured in this span.</p>
      ) : (
        <Chart
          label={chartLabel(series, alerts.length)}
          data={data}
          options={() => options(props)}
          optionsKey={key}
          heightRem={HEIGHT_REM}
        />
      )}
      <p class="fine">{gapSentence(series, span, now)}</p>
    </section>
  );
}

/** A number for each object, so that a chart is made anew for another one. */
const turns = new WeakMap<object, number>();
let lastTurn = 0;

function turn(of: object): number {
  const known = turns.get(of);
  if (known !== undefined) return known;
  lastTurn += 1;
  turns.set(of, lastTurn);
  return lastTurn;
}

const isLevel = (vital: Vital) => vital === Vital.CONSCIOUSNESS;

/** A value of a vital in words, without its unit. */
export function pointWords(vital: Vital, value: number): string {
  return isLevel(vital) ? consciousnessWords(value as Acvpu) : quantityWords(vital, value);
}

/** A mean, in a digit more than the vital is read with: what it has beyond says nothing. */
export function meanWords(vital: Vital, mean: number): string {
  if (isLevel(vital)) return pointWords(vital, mean);
  return mean.toFixed(Math.max(1, vitalWords(vital).digits));
}

/** What the cursor is on; without a cursor, what the span comes to. */
function Readout({ series, cursor }: Pick<Props, "series" | "cursor">) {
  const at = cursor.value;
  const say = (value: number) => pointWords(series.vital, value);
  if (at === undefined) {
    const all = summary(series.points);
    if (!all || isLevel(series.vital)) return null;
    return (
      <p class="history-readout">
        <Part name="lowest" value={say(all.min)} />
        <Part name="mean" value={meanWords(series.vital, all.mean)} />
        <Part name="highest" value={say(all.max)} />
        <Part name="last" value={say(all.last)} />
      </p>
    );
  }
  const point = pointAt(series.points, at, series.width, series.gapLimit / 2);
  if (!point) return <p class="history-readout">{clockTime(at)} nothing measured</p>;
  return (
    <p class="history-readout is-cursor">
      <span>{series.width === 0 ? clockTime(point.from) : bucketTime(point, series.width)}</span>
      <Part
        name=""
        value={series.width === 0 ? say(point.mean) : meanWords(series.vital, point.mean)}
      />
      {series.width > 0 && <span>{`${say(point.min)} to ${say(point.max)}`}</span>}
      {point.remarks !== "" && <span>{point.remarks}</span>}
    </p>
  );
}

function Part({ name, value }: { name: string; value: string }) {
  return (
    <span>
      {name} <b>{value}</b>
    </span>
  );
}

function bucketTime(point: Point, width: number): string {
  const say = width >= DAY_LONG ? dateTime : clockTime;
  const [from, until] = [point.from, point.from + width].map((at) =>
    say(at).slice(0, -":00".length),
  );
  return `${from} to ${until}`;
}

const DAY_LONG = 86_400_000;

function chartLabel(series: Series, alerts: number): string {
  const { name, unit } = vitalWords(series.vital);
  const all = summary(series.points);
  if (!all) return `${name}: nothing measured`;
  const say = (value: number) => pointWords(series.vital, value);
  const range = `from ${say(all.min)} to ${say(all.max)} ${unit}`;
  const count = gapTotals(series.gaps).count;
  return `${name}: ${range}, last ${say(all.last)}; gaps: ${count}; alerts: ${alerts}. The tables below hold the same.`;
}

/** Where nothing was measured, in a sentence. */
function gapSentence(series: Series, span: Span, now: number): string {
  if (series.points.length === 0) return "";
  const { count, total, longest } = gapTotals(series.gaps);
  const meant = `longer than ${exactSpanWords(series.gapLimit)}`;
  if (!longest) return `No gaps ${meant}.`;
  const share = Math.round((100 * total) / (Math.min(span.until, now) - span.from));
  const of = `${share < 1 ? "less than 1" : share} % of the span`;
  const times = `${dateTime(longest.from)} to ${dateTime(longest.until)}`;
  if (count === 1) return `1 gap ${meant}, ${of}: ${times}.`;
  return `${count} gaps ${meant}, together ${of}; the longest: ${times}.`;
}

/** Where the readout finds room, a point is drawn for itself: between gaps there is no line to see. */
function alone(plot: uPlot, index: number): number[] {
  const column = plot.data[index] ?? [];
  const isEmpty = (at: number) => column[at] === null || column[at] === undefined;
  const found: number[] = [];
  for (let at = 0; at < column.length; at += 1) {
    if (!isEmpty(at) && isEmpty(at - 1) && isEmpty(at + 1)) found.push(at);
  }
  return found;
}

type Options = Omit<uPlot.Options, "width" | "height">;

function options(props: Props): Options {
  const { series, span, alerts, now } = props;
  const edges: uPlot.Series = { width: 0, points: { show: false } };
  return {
    legend: { show: false },
    padding: [0.5 * remPixels(), RIGHT_REM * remPixels(), 0, 0],
    cursor: cursorOptions(),
    scales: {
      x: { time: true, range: () => [span.from / 1000, span.until / 1000] },
      y: { range: () => yRange(series), dir: isLevel(series.vital) ? -1 : 1 },
    },
    series: [{}, { ...edges }, meanSeries(series), { ...edges }],
    bands: isLevel(series.vital) ? [] : [{ series: [1, 3], fill: colour("trend-band") }],
    axes: [timeAxis(), valueAxis(series)],
    hooks: {
      init: [(plot) => props.plots.add(plot)],
      destroy: [(plot) => props.plots.delete(plot)],
      drawClear: [
        (plot) => {
          drawGaps(plot, series.gaps);
          drawAlerts(plot, alerts, now);
        },
      ],
      draw: [(plot) => drawLimits(plot, series.limits)],
      setCursor: [(plot) => follow(plot, props.cursor)],
      setSelect: [(plot) => zoom(plot, props.onZoom)],
    },
  };
}

function cursorOptions(): uPlot.Cursor {
  const moves = ["mousemove", "mouseleave", "mouseenter"];
  return {
    y: false,
    drag: { x: true, y: false, setScale: false, dist: 6 },
    points: { size: 8 },
    sync: { key: "history", filters: { pub: (type) => moves.includes(type), sub: () => true } },
  };
}

function follow(plot: uPlot, cursor: Signal<number | undefined>): void {
  const left = plot.cursor.left ?? -1;
  cursor.value = left < 0 ? undefined : plot.posToVal(left, "x") * 1000;
}

function zoom(plot: uPlot, onZoom: (span: Span) => void): void {
  const { left, width } = plot.select;
  if (width <= 0) return;
  const time = (pixels: number) => Math.round(plot.posToVal(pixels, "x") * 1000);
  onZoom({ from: time(left), until: time(left + width) });
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
}

function meanSeries(series: Series): uPlot.Series {
  const stroke = colour("trend");
  const points = { size: 5, fill: stroke, stroke };
  if (isLevel(series.vital))
    return { stroke, paths: () => null, points: { ...points, size: 9, show: true } };
  return {
    stroke,
    width: 1.75,
    points: { ...points, filter: (plot, index, show) => (show ? null : alone(plot, index)) },
  };
}

/** The least that a scale shows, so that a quiet line does not look wild. */
const LEAST: Partial<Record<Vital, number>> = {
  [Vital.SPO2]: 6,
  [Vital.BODY_TEMPERATURE]: 1.5,
  [Vital.SKIN_TEMPERATURE]: 1.5,
  [Vital.PERFUSION_INDEX]: 1,
  [Vital.OXYGEN_FLOW]: 2,
  [Vital.WEIGHT]: 2,
};
const LEAST_OF_OTHERS = 10;

function yRange(series: Series): [number, number] {
  if (isLevel(series.vital)) return [Acvpu.ALERT - 0.5, Acvpu.UNRESPONSIVE + 0.5];
  return scale(series.points, series.limits, LEAST[series.vital] ?? LEAST_OF_OTHERS);
}

const grid = () => ({ stroke: colour("chart-grid"), width: 1 });
const font = (size: number) =>
  `${Math.round(size * remPixels())}px ${getComputedStyle(document.documentElement).fontFamily}`;

/** Hours of 24; the day stands below where it begins. */
const DAY_BELOW = "\n{D} {MMM}";
const TIMES: uPlot.Axis.Values = [
  [86_400 * 300, "{YYYY}", null, null, null, null, null, null, 1],
  [86_400 * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86_400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", DAY_BELOW, null, DAY_BELOW, null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", DAY_BELOW, null, DAY_BELOW, null, null, null, 1],
];

function timeAxis(): uPlot.Axis {
  return {
    stroke: colour("chart-text"),
    font: font(0.75),
    grid: grid(),
    ticks: { ...grid(), size: 4 },
    size: 2.875 * remPixels(),
    gap: 4,
    space: 4.5 * remPixels(),
    values: TIMES,
  };
}

function valueAxis(series: Series): uPlot.Axis {
  const isOfLevels = isLevel(series.vital);
  const levels = [Acvpu.ALERT, Acvpu.CONFUSION, Acvpu.VOICE, Acvpu.PAIN, Acvpu.UNRESPONSIVE];
  return {
    stroke: colour("chart-text"),
    font: font(0.75),
    grid: grid(),
    ticks: { ...grid(), size: 4 },
    gap: 4,
    size: LEFT_REM * remPixels(),
    space: 2.2 * remPixels(),
    ...(isOfLevels && {
      splits: () => levels,
      values: (_, splits) =>
        splits.map((level) => consciousnessWords(level).slice(0, 1).toUpperCase()),
    }),
  };
}
