/**
 * A uPlot chart in a box that it fills: drawn anew when its box, its data or the colours change.
 *
 * A chart is a picture: `label` says in words what it shows, and whoever makes one gives the same data
 * as a table or text beside it.
 */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { clockTime } from "../words/times";
import { colour, remPixels, themeTurn } from "./theme";

export { remPixels } from "./theme";

interface Props {
  /** What it shows, in a sentence. */
  label: string;
  data: uPlot.AlignedData;
  /**
   * Everything but the size. Called again when `optionsKey` or the colours change, so that colours
   * may be read from the style sheet.
   */
  options: () => Omit<uPlot.Options, "width" | "height">;
  /** Changes when `options` would give something else. */
  optionsKey?: string;
  /** In CSS pixels per rem: 12 is twelve times the font size of the page. */
  heightRem?: number;
}

export function Chart({ label, data, options, optionsKey = "", heightRem = 14 }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef({ data, options });
  latest.current = { data, options };
  const colours = themeTurn.value;
  useEffect(() => {
    const target = box.current;
    if (target === null) return;
    const size = () => ({ width: target.clientWidth, height: heightRem * remPixels() });
    const made = new uPlot({ ...latest.current.options(), ...size() }, latest.current.data, target);
    plot.current = made;
    const watcher = new ResizeObserver(() => made.setSize(size()));
    watcher.observe(target);
    return () => {
      watcher.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [optionsKey, colours, heightRem]);
  useEffect(() => plot.current?.setData(data), [data]);
  return <div ref={box} class="chart" role="img" aria-label={label} />;
}

/** How axes look: letters, lines and colours of the page. Spread it into each axis. */
export function axisLook(): Partial<uPlot.Axis> {
  const line = { stroke: colour("chart-grid"), width: 1 };
  const font = `${Math.round(0.8125 * remPixels())}px system-ui, sans-serif`;
  return { stroke: colour("chart-text"), grid: line, ticks: line, font, labelFont: font };
}

/** Times of an axis on a clock of 24 hours; of a uPlot in seconds. */
export function clockTicks(_: uPlot, splits: number[]): string[] {
  return splits.map((it) => clockTime(it * 1000));
}
