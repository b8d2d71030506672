/**
 * Alerts as bars, by hour of the day or by day: each priority with its colour and pattern, the highest
 * at the bottom. A picture; the table below it holds the same.
 */
import { type Bar, busiest, type Counts, total } from "../../model/burden";
import { Table } from "../../ui/table";

interface Props {
  /** Its heading. */
  name: string;
  /** What a bar stands for: `Hour`, `Day`. */
  unit: string;
  bars: readonly Bar[];
  /** Below which bars a label stands, and which. */
  labelOf: (bar: Bar, index: number, count: number) => string;
  /** Exactly what is counted. */
  counted: string;
}

export function Bars({ name, unit, bars, labelOf, counted }: Props) {
  const most = busiest(bars);
  const highest = most ? total(most.counts) : 1;
  return (
    <figure class="burden-bars">
      <figcaption>
        <h2>{name}</h2>
        <p class="fine">{counted}</p>
      </figcaption>
      <div class="burden-plot">
        <svg width="100%" height="100%" role="img" aria-label={sentence(name, bars, most)}>
          <Patterns />
          {bars.map((bar, index) => (
            <Stack key={bar.label} bar={bar} index={index} count={bars.length} highest={highest} />
          ))}
        </svg>
      </div>
      <div class="burden-labels" aria-hidden="true">
        <svg width="100%" height="100%" aria-hidden="true">
          {bars.map((bar, index) => (
            <text key={bar.label} x={`${(100 * (index + 0.5)) / bars.length}%`} y="1em">
              {labelOf(bar, index, bars.length)}
            </text>
          ))}
        </svg>
      </div>
      <details>
        <summary>As a table</summary>
        <Table
          caption={name}
          captionUnseen
          rows={bars}
          rowKey={(bar) => bar.label}
          columns={[
            { head: unit, rowHead: true, cell: (bar) => bar.label },
            { head: "Alerts", numeric: true, cell: (bar) => total(bar.counts) },
            { head: "High", numeric: true, cell: (bar) => bar.counts.high },
            { head: "Medium", numeric: true, cell: (bar) => bar.counts.medium },
            { head: "Low", numeric: true, cell: (bar) => bar.counts.low },
          ]}
        />
      </details>
    </figure>
  );
}

function sentence(name: string, bars: readonly Bar[], most: Bar | undefined): string {
  if (!most) return `${name}: no alerts.`;
  return `${name}: most in ${most.label}, ${total(most.counts)} of ${bars.reduce((sum, bar) => sum + total(bar.counts), 0)}.`;
}

/** Room above the highest bar for its number, in percent. */
const AIR = 12;

interface StackProps {
  bar: Bar;
  index: number;
  count: number;
  highest: number;
}

function Stack({ bar, index, count, highest }: StackProps) {
  const width = 100 / count;
  const x = `${index * width + width * 0.1}%`;
  const height = (alerts: number) => ((100 - AIR) * alerts) / highest;
  const { high, medium, low } = bar.counts;
  const levels = [
    { name: "high", from: 0, alerts: high },
    { name: "medium", from: high, alerts: medium },
    { name: "low", from: high + medium, alerts: low },
  ] as const;
  const all = total(bar.counts);
  return (
    <g>
      {levels.map(
        (level) =>
          level.alerts > 0 && (
            <rect
              key={level.name}
              class={`burden-bar burden-bar-${level.name}`}
              x={x}
              y={`${100 - height(level.from + level.alerts)}%`}
              width={`${width * 0.8}%`}
              height={`${height(level.alerts)}%`}
              fill={`url(#burden-${level.name})`}
            />
          ),
      )}
      {all > 0 && (
        <text
          class="burden-number"
          x={`${(index + 0.5) * width}%`}
          y={`${100 - height(all)}%`}
          dy="-0.3em"
        >
          {all}
        </text>
      )}
    </g>
  );
}

/** What the patterns stand for. */
export function Legend() {
  return (
    <ul class="burden-legend">
      {LEGEND.map(([name, words]) => (
        <li key={name}>
          <svg class="burden-key" aria-hidden="true">
            <rect
              class={`burden-bar-${name}`}
              width="100%"
              height="100%"
              fill={`url(#burden-${name})`}
            />
          </svg>
          {words}
        </li>
      ))}
    </ul>
  );
}

const LEGEND = [
  ["high", "high priority"],
  ["medium", "medium"],
  ["low", "low"],
] as const;

/** High is solid, medium slanted, low dotted: also on paper without colours. */
function Patterns() {
  return (
    <defs>
      <pattern id="burden-high" width="8" height="8" patternUnits="userSpaceOnUse">
        <rect class="burden-ink-high" width="8" height="8" />
      </pattern>
      <pattern id="burden-medium" width="8" height="8" patternUnits="userSpaceOnUse">
        <rect class="burden-ink-medium" width="8" height="8" />
        <path class="burden-edge-medium" d="M-2 2 2 -2M0 8 8 0M6 10 10 6" />
      </pattern>
      <pattern id="burden-low" width="6" height="6" patternUnits="userSpaceOnUse">
        <rect class="burden-ink-low" width="6" height="6" />
        <circle class="burden-edge-low" cx="3" cy="3" r="1.1" />
      </pattern>
    </defs>
  );
}

/** The three priorities of a row, as a bar of one length for the most. */
export function Share({ counts, most }: { counts: Counts; most: number }) {
  const width = (alerts: number) => (100 * alerts) / Math.max(1, most);
  const { high, medium, low } = counts;
  return (
    <svg class="burden-share" width="100%" height="100%" aria-hidden="true">
      <rect
        class="burden-bar-high"
        width={`${width(high)}%`}
        height="100%"
        fill="url(#burden-high)"
      />
      <rect
        class="burden-bar-medium"
        x={`${width(high)}%`}
        width={`${width(medium)}%`}
        height="100%"
        fill="url(#burden-medium)"
      />
      <rect
        class="burden-bar-low"
        x={`${width(high + medium)}%`}
        width={`${width(low)}%`}
        height="100%"
        fill="url(#burden-low)"
      />
    </svg>
  );
}
