/**
 * What is drawn on a vital's chart beside its line: gaps, alerts and limits.
 *
 * Alerts differ by pattern and mark as well as by colour; gaps by a pattern that no alert has. Colours
 * are those of the style sheet.
 */
import type uPlot from "uplot";

import { type AlertSpan, drawnUntil, type Gap, type Limit } from "../../model/history";
import { remPixels } from "../../ui/chart";
import { colour } from "../../ui/theme";
import { priorityMark, priorityName } from "../../words/alerts";

/** Time as the chart has it is in seconds. */
const SECOND = 1_000;
/** An alert of a moment is still seen. */
const ALERT_PIXELS_MIN = 3;

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The part of the chart between two times, cut off at its edges; `undefined` if there is none. */
function boxOf(plot: uPlot, from: number, until: number, least = 0): Box | undefined {
  const { left: edge, top, width: whole, height } = plot.bbox;
  const x = (at: number) => plot.valToPos(at / SECOND, "x", true);
  const left = Math.max(edge, x(from));
  const right = Math.min(edge + whole, Math.max(x(until), left + least * devicePixelRatio));
  return right > left ? { left, top, width: right - left, height } : undefined;
}

/** Stretches without readings: hatched sparsely, so that nobody takes an empty place for calm. */
export function drawGaps(plot: uPlot, gaps: readonly Gap[]): void {
  const { ctx } = plot;
  ctx.save();
  ctx.fillStyle = hatch(ctx, colour("chart-grid"), "cross");
  for (const gap of gaps) {
    const box = boxOf(plot, gap.from, gap.until);
    if (box) ctx.fillRect(box.left, box.top, box.width, box.height);
  }
  ctx.restore();
}

const PATTERNS = { high: "solid", medium: "slant", low: "dots", unknown: "slant" } as const;

/** Alerts behind the line: the ground of their priority, its pattern, and a bar with its mark on top. */
export function drawAlerts(plot: uPlot, alerts: readonly AlertSpan[], now: number): void {
  // The highest priority is drawn last, on top.
  const ordered = [...alerts].sort((a, b) => a.priority - b.priority);
  for (const alert of ordered) {
    const box = boxOf(plot, alert.from, drawnUntil(alert, now), ALERT_PIXELS_MIN);
    if (box) drawAlert(plot, alert, box);
  }
}

function drawAlert(plot: uPlot, alert: AlertSpan, box: Box): void {
  const { ctx } = plot;
  const name = priorityName(alert.priority);
  const bar = 0.9 * remPixels() * devicePixelRatio;
  ctx.save();
  ctx.globalAlpha = 0.24;
  ctx.fillStyle = hatch(ctx, colour(name), PATTERNS[name]);
  ctx.fillRect(box.left, box.top + bar, box.width, box.height - bar);
  ctx.globalAlpha = 1;
  ctx.fillStyle = colour(name);
  ctx.fillRect(box.left, box.top, box.width, bar);
  ctx.fillStyle = colour(`on-${name}`);
  ctx.font = `800 ${Math.round(bar * 0.8)}px ${fontFamily()}`;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  const mark = priorityMark(alert.priority);
  const space = box.width - bar * 0.4;
  if (ctx.measureText(mark).width < space) {
    ctx.fillText(mark, box.left + bar * 0.2, box.top + bar * 0.55);
  }
  ctx.restore();
  if (alert.limit !== undefined) drawLine(plot, alert.limit, box, colour(`${edgeOf(name)}`), [], 2);
}

const edgeOf = (name: string) => (name === "medium" || name === "low" ? `${name}-edge` : name);

const DASHES: Record<string, number[]> = { high: [], medium: [8, 4], low: [2, 4], unknown: [2, 4] };

/** Limits that are in force now: a line each, dashed by priority, with its mark and value. */
export function drawLimits(plot: uPlot, limits: readonly Limit[]): void {
  const { left, width, top, height } = plot.bbox;
  const labels: Label[] = [];
  for (const limit of limits) {
    const name = priorityName(limit.priority);
    const y = plot.valToPos(limit.value, "y", true);
    if (y < top || y > top + height) continue;
    const box = { left, top, width, height };
    drawLine(plot, limit.value, box, colour("limit"), DASHES[name] ?? [], 1);
    labelLimit(plot, limit, y, labels);
  }
}

/** Where a label stands already. */
interface Label {
  y: number;
  left: number;
}

/** Above an upper limit, below a lower one: on the side that breaches it; beside those in its way. */
function labelLimit(plot: uPlot, limit: Limit, y: number, labels: Label[]): void {
  const { ctx } = plot;
  const size = 0.72 * remPixels() * devicePixelRatio;
  const text = `${priorityMark(limit.priority)} ${limit.isUpper ? ">" : "<"} ${limit.value}`;
  ctx.save();
  ctx.font = `650 ${Math.round(size)}px ${fontFamily()}`;
  ctx.fillStyle = colour("limit");
  ctx.textAlign = "right";
  ctx.textBaseline = limit.isUpper ? "bottom" : "top";
  const at = y + (limit.isUpper ? -1 : 2) * devicePixelRatio;
  const inTheWay = labels.filter((label) => Math.abs(label.y - at) < size * 1.1);
  const edge = plot.bbox.left + plot.bbox.width;
  const right = Math.min(edge, ...inTheWay.map((label) => label.left)) - size * 0.4;
  ctx.fillText(text, right, at);
  labels.push({ y: at, left: right - ctx.measureText(text).width - size * 0.4 });
  ctx.restore();
}

function drawLine(
  plot: uPlot,
  value: number,
  box: Box,
  stroke: string,
  dashes: readonly number[],
  width: number,
): void {
  const { ctx } = plot;
  const y = plot.valToPos(value, "y", true);
  if (y < box.top || y > box.top + box.height) return;
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.lineWidth = width * devicePixelRatio;
  ctx.setLineDash(dashes.map((length) => length * devicePixelRatio));
  ctx.beginPath();
  ctx.moveTo(box.left, y);
  ctx.lineTo(box.left + box.width, y);
  ctx.stroke();
  ctx.restore();
}

type Hatch = "solid" | "slant" | "dots" | "cross";

/** A pattern of one colour; the plain colour where there is no canvas to make one of. */
function hatch(target: CanvasRenderingContext2D, ink: string, kind: Hatch): CanvasPattern | string {
  if (kind === "solid") return ink;
  const size = Math.round(8 * devicePixelRatio);
  const tile = document.createElement("canvas");
  tile.width = size;
  tile.height = size;
  const ctx = tile.getContext("2d");
  if (ctx === null) return ink;
  ctx.fillStyle = ink;
  ctx.strokeStyle = ink;
  HATCHES[kind](ctx, size);
  return target.createPattern(tile, "repeat") ?? ink;
}

const HATCHES: Record<
  Exclude<Hatch, "solid">,
  (ctx: CanvasRenderingContext2D, size: number) => void
> = {
  slant: (ctx, size) => {
    ctx.lineWidth = size / 2.6;
    slash(ctx, size, 1);
  },
  cross: (ctx, size) => {
    ctx.lineWidth = size / 10;
    slash(ctx, size, 1);
    slash(ctx, size, -1);
  },
  dots: (ctx, size) => {
    ctx.globalAlpha = 0.45;
    ctx.fillRect(0, 0, size, size);
    ctx.globalAlpha = 1;
    ctx.beginPath();
    ctx.arc(size / 2, size / 2, size / 3.4, 0, 2 * Math.PI);
    ctx.fill();
  },
};

/** A diagonal that goes on over the edges of the tile. */
function slash(ctx: CanvasRenderingContext2D, size: number, direction: 1 | -1): void {
  ctx.beginPath();
  for (const shift of [-size, 0, size]) {
    ctx.moveTo(shift - size, direction === 1 ? 2 * size : -size);
    ctx.lineTo(shift + 2 * size, direction === 1 ? -size : 2 * size);
  }
  ctx.stroke();
}

const fontFamily = () => getComputedStyle(document.documentElement).fontFamily;
