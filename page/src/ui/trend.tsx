/**
 * A vital's trend line on a canvas: the last ten minutes, gaps as gaps, limits dashed.
 *
 * It is drawn when its owner is. Sizes are told by one observer and colours kept, so that drawing
 * reads nothing back from the page.
 */
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { Vital } from "../gen/pulseward/v1/reading_pb";
import type { Bounds, Limit } from "../model/limits";
import { TREND_MS, type Track } from "../model/vitals";
import { now } from "../state/clock";
import { colour, remPixels, themeTurn } from "./theme";

interface Props {
  track: Track;
  vital: Vital;
  bounds: Bounds | undefined;
}

/** A line that moves by less than this is drawn flat: noise is no news. */
const SPAN_MIN: Partial<Record<Vital, number>> = {
  [Vital.HEART_RATE]: 24,
  [Vital.PULSE_RATE]: 24,
  [Vital.SPO2]: 6,
  [Vital.RESPIRATORY_RATE]: 10,
  [Vital.SYSTOLIC_PRESSURE]: 30,
  [Vital.DIASTOLIC_PRESSURE]: 30,
  [Vital.MEAN_PRESSURE]: 30,
  [Vital.BODY_TEMPERATURE]: 1.5,
  [Vital.SKIN_TEMPERATURE]: 1.5,
};
/** Of what SPAN_MIN does not know: a share of the highest value. */
const FLAT = 0.05;
/** Means of minutes stand a minute apart. */
const MEANS_GAP_MS = 130_000;
const GAP_MIN_MS = 15_000;

interface Size {
  width: number;
  height: number;
  /** How much larger than on a desk everything is: lines grow with letters. */
  zoom: number;
}

const sizes = new WeakMap<Element, Size>();
const redraws = new WeakMap<Element, () => void>();
let observer: ResizeObserver | undefined;
let palette = { turn: -1, line: "", limit: "" };

export function Trend({ track, vital, bounds }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const turn = themeTurn.value;
  const draw = () => {
    if (canvas.current !== null) paint(canvas.current, track, vital, bounds, turn);
  };
  useEffect(() => {
    const target = canvas.current;
    if (target === null) return;
    const watcher = sizeObserver();
    watcher.observe(target);
    return () => watcher.unobserve(target);
  }, []);
  useLayoutEffect(() => {
    if (canvas.current !== null) redraws.set(canvas.current, draw);
    draw();
  });
  return <canvas ref={canvas} class="trend" />;
}

function sizeObserver(): ResizeObserver {
  observer ??= new ResizeObserver((entries) => {
    const zoom = remPixels() / 16;
    for (const { target, contentRect } of entries) {
      sizes.set(target, { width: contentRect.width, height: contentRect.height, zoom });
      redraws.get(target)?.();
    }
  });
  return observer;
}

function paint(
  canvas: HTMLCanvasElement,
  track: Track,
  vital: Vital,
  bounds: Bounds | undefined,
  turn: number,
): void {
  const size = sizes.get(canvas);
  const context = canvas.getContext("2d");
  if (size === undefined || context === null || size.width === 0) return;
  if (palette.turn !== turn) palette = { turn, line: colour("trend"), limit: colour("limit") };
  const scale = devicePixelRatio || 1;
  const [width, height] = [Math.round(size.width * scale), Math.round(size.height * scale)];
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, size.width, size.height);
  const range = rangeOf(track.quantities, vital, bounds);
  if (range === undefined) return;
  const y = (value: number) =>
    size.height - 2 - ((value - range.low) / (range.high - range.low)) * (size.height - 4);
  paintLimits(context, size, range, bounds, y);
  paintLine(context, size, track, y);
}

interface Range {
  low: number;
  high: number;
}

/** From the lowest to the highest, limits included where they are near. */
function rangeOf(values: readonly number[], vital: Vital, bounds?: Bounds): Range | undefined {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return undefined;
  const least = SPAN_MIN[vital] ?? Math.max(Math.abs(high) * FLAT, 1e-6);
  const spare = Math.max(0, least - (high - low)) / 2;
  [low, high] = [low - spare, high + spare];
  const near = high - low;
  for (const { limit } of firstOf(bounds)) {
    if (limit < low && limit > low - near / 2) low = limit;
    if (limit > high && limit < high + near / 2) high = limit;
  }
  return { low, high };
}

/** The limit of each side that is reached first; the others stand with the patient. */
function firstOf(bounds: Bounds | undefined): Limit[] {
  return [bounds?.low[0], bounds?.high[0]].filter((it) => it !== undefined);
}

function paintLimits(
  context: CanvasRenderingContext2D,
  size: Size,
  range: Range,
  bounds: Bounds | undefined,
  y: (value: number) => number,
): void {
  context.strokeStyle = palette.limit;
  context.lineWidth = size.zoom;
  context.setLineDash([4 * size.zoom, 3 * size.zoom]);
  context.beginPath();
  for (const { limit } of firstOf(bounds)) {
    if (limit < range.low || limit > range.high) continue;
    context.moveTo(0, y(limit));
    context.lineTo(size.width, y(limit));
  }
  context.stroke();
  context.setLineDash([]);
}

function paintLine(
  context: CanvasRenderingContext2D,
  size: Size,
  track: Track,
  y: (value: number) => number,
): void {
  const { times, quantities } = track;
  const until = now.peek();
  const edge = size.width - 3 * size.zoom;
  const x = (at: number) => edge - ((until - at) / TREND_MS) * edge;
  const gap = gapOf(track);
  context.strokeStyle = palette.line;
  context.lineWidth = 1.75 * size.zoom;
  context.lineJoin = "round";
  context.lineCap = "round";
  context.beginPath();
  let before = Number.NEGATIVE_INFINITY;
  let newest: [number, number] | undefined;
  times.forEach((at, index) => {
    const value = quantities[index] ?? Number.NaN;
    if (until - at > TREND_MS) return;
    if (Number.isNaN(value)) {
      before = Number.NEGATIVE_INFINITY;
      return;
    }
    const point: [number, number] = [x(at), y(value)];
    const isJoined =
      at - before <= (at <= track.meansUntil + MEANS_GAP_MS / 2 ? MEANS_GAP_MS : gap);
    if (isJoined) context.lineTo(...point);
    else {
      context.moveTo(...point);
      context.lineTo(point[0] + 0.01, point[1]);
    }
    before = at;
    newest = point;
  });
  context.stroke();
  if (newest === undefined) return;
  context.fillStyle = palette.line;
  context.beginPath();
  context.arc(newest[0], newest[1], 2.5 * size.zoom, 0, 2 * Math.PI);
  context.fill();
}

/** Longer than this between two readings is a gap: some times how often this device measures. */
function gapOf(track: Track): number {
  const first = track.times.findIndex((it) => it > track.meansUntil);
  const count = first < 0 ? 0 : track.times.length - first;
  if (count < 3) return 90_000;
  const length = (track.times.at(-1) ?? 0) - (track.times[first] ?? 0);
  return Math.max(GAP_MIN_MS, (2.5 * length) / (count - 1));
}
