/** The readings that decided an alert, as a table. */
import type { GetAlertResponse } from "../../gen/pulseward/v1/alert_pb";
import type { StoredReading } from "../../gen/pulseward/v1/vitals_pb";
import { type Column, Table } from "../../ui/table";
import { clockTime, dateTime, millis, spanWords } from "../../words/times";
import { absentWords, flagWords, unitWords, valueWords, vitalWords } from "../../words/vitals";

/** More than this is folded away: the chart shows them too. */
const SHOWN_MAX = 8;

const COLUMNS: Column<StoredReading>[] = [
  { head: "Measured", cell: (it) => <Measured of={it} />, rowHead: true },
  { head: "Vital", cell: (it) => vitalWords(it.vital).name },
  { head: "Value", cell: (it) => `${valueWords(it)} ${unitWords(it.unit)}`, numeric: true },
  { head: "Came after", cell: delay, numeric: true },
  { head: "Device", cell: (it) => it.deviceId },
  { head: "To be known", cell: worth },
];

export function Deciding({ story }: { story: GetAlertResponse }) {
  const { readings } = story;
  if (readings.length === 0) return <p>No reading decided it.</p>;
  const latest = readings.slice(-SHOWN_MAX);
  return (
    <>
      <Table
        caption={
          readings.length > latest.length
            ? `The latest ${latest.length} of ${readings.length} readings that decided it`
            : "The readings that decided it"
        }
        columns={COLUMNS}
        rows={latest}
        rowKey={keyOf}
      />
      {readings.length > latest.length && (
        <details>
          <summary>All {readings.length} readings</summary>
          <Table
            caption="All readings that decided it"
            captionUnseen
            columns={COLUMNS}
            rows={readings}
            rowKey={keyOf}
          />
        </details>
      )}
    </>
  );
}

function keyOf(reading: StoredReading, index: number): string {
  return `${millis(reading.measuredAt) ?? ""} ${reading.vital} ${index}`;
}

function Measured({ of }: { of: StoredReading }) {
  const at = millis(of.measuredAt);
  if (at === undefined) return <>?</>;
  return (
    <time dateTime={new Date(at).toISOString()} title={dateTime(at)}>
      {clockTime(at)}
    </time>
  );
}

function delay(of: StoredReading): string {
  const [measured, received] = [millis(of.measuredAt), millis(of.receivedAt)];
  return measured === undefined || received === undefined ? "" : spanWords(received - measured);
}

function worth(of: StoredReading): string {
  const absent = absentWords(of);
  return [...(absent === undefined ? [] : [absent]), ...of.flags.map(flagWords)].join(", ");
}
