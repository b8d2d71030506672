/** The same as the charts, as tables: alerts with the way to their stories, and each vital's values. */
import { useState } from "preact/hooks";

import type { Priority } from "../../gen/pulseward/v1/profile_pb";
import type { Vital } from "../../gen/pulseward/v1/reading_pb";
import type { AlertSpan, Point } from "../../model/history";
import { href } from "../../router";
import { PriorityMark } from "../../ui/priority-mark";
import { type Column, Table } from "../../ui/table";
import { dateTime, spanWords, whenWords } from "../../words/times";
import { unitWords, vitalWords } from "../../words/vitals";
import { ALERTS_MAX, type Series } from "./load";
import { meanWords, pointWords } from "./vital-chart";

interface AlertsProps {
  alerts: readonly AlertSpan[];
  isCut: boolean;
  now: number;
}

/** Alerts of the span, latest first. */
export function AlertsTable({ alerts, isCut, now }: AlertsProps) {
  const columns: Column<AlertSpan>[] = [
    {
      head: <span class="unseen">Priority</span>,
      cell: (it) => <PriorityMark priority={it.priority as Priority} />,
    },
    {
      head: "Rule",
      rowHead: true,
      cell: (it) => (
        <>
          <a href={href.alert(it.alertId)}>{it.ruleId}</a>
          <span class="history-remarks">{remarksOf(it)}</span>
        </>
      ),
    },
    { head: "Onset", cell: (it) => <time class="history-time">{whenWords(it.from, now)}</time> },
    { head: "Lasted", cell: (it) => <span class="history-time">{lasted(it, now)}</span> },
  ];
  return (
    <section class="panel history-alerts">
      <Table
        caption={`Alerts in this span: ${alerts.length}`}
        columns={columns}
        rows={[...alerts].reverse()}
        rowKey={(it) => it.alertId}
        empty="No alerts in this span."
      />
      <p class="fine">
        Priority as it is now, or was at the end. A rule leads to the alert's story.
      </p>
      {isCut && <p class="fine">Only the latest {ALERTS_MAX} alerts were looked at.</p>}
    </section>
  );
}

function remarksOf(alert: AlertSpan): string {
  const limit = alert.limit === undefined ? "" : `limit ${alert.limit} ${unitWords(alert.unit)}`;
  const remarks = [
    limit.trim(),
    alert.isTechnical ? "equipment" : "",
    alert.isRetrospective ? "raised late" : "",
    alert.isUnconfirmed ? "unconfirmed" : "",
  ];
  return remarks.filter((remark) => remark !== "").join(", ");
}

function lasted(alert: AlertSpan, now: number): string {
  if (alert.endedAt !== undefined) return spanWords(alert.endedAt - alert.from);
  return alert.isOver ? "closed" : `lasts ${spanWords(now - alert.from)}`;
}

/** Rows beyond which a table serves nobody: the file has all of them. */
const ROWS_MAX = 500;

/** Every value of every chart; made only when somebody opens it. */
export function ValueTables({ series }: { series: readonly Series[] }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="panel" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Values as tables</summary>
      {isOpen && series.map((it) => <ValueTable key={it.vital} series={it} />)}
    </details>
  );
}

function ValueTable({ series }: { series: Series }) {
  const { name, unit } = vitalWords(series.vital);
  const shown = series.points.slice(-ROWS_MAX);
  const left = series.points.length - shown.length;
  return (
    <>
      <Table
        caption={`${name}${unit === "" ? "" : ` in ${unit}`}`}
        columns={series.width === 0 ? readingColumns(series.vital) : bucketColumns(series)}
        rows={shown}
        rowKey={(it, index) => `${it.from} ${index}`}
        empty="Nothing was measured in this span."
      />
      {left > 0 && (
        <p class="fine">
          The latest {ROWS_MAX} rows; the file has {left} more.
        </p>
      )}
    </>
  );
}

function readingColumns(vital: Vital): Column<Point>[] {
  return [
    { head: "Measured", rowHead: true, cell: (it) => dateTime(it.from) },
    { head: "Value", numeric: true, cell: (it) => pointWords(vital, it.mean) },
    { head: "Remarks", cell: (it) => it.remarks },
  ];
}

function bucketColumns(series: Series): Column<Point>[] {
  const say = (value: number) => pointWords(series.vital, value);
  return [
    {
      head: `From, for ${spanWords(series.width)}`,
      rowHead: true,
      cell: (it) => dateTime(it.from),
    },
    { head: "Mean", numeric: true, cell: (it) => meanWords(series.vital, it.mean) },
    { head: "Lowest", numeric: true, cell: (it) => say(it.min) },
    { head: "Highest", numeric: true, cell: (it) => say(it.max) },
    { head: "Readings", numeric: true, cell: (it) => it.count },
  ];
}
