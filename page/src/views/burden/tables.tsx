/** The burden in tables: by priority and kind, by rule, by patient, and what is counted besides. */
import type { AlarmBurden, GetAlarmBurdenResponse } from "../../gen/pulseward/v1/alert_pb";
import { Priority } from "../../gen/pulseward/v1/profile_pb";
import {
  counts,
  milliseconds,
  NONE,
  percent,
  type RuleLine,
  ruleLines,
  shareOf,
  span,
} from "../../model/burden";
import { href } from "../../router";
import { PriorityMark } from "../../ui/priority-mark";
import { type Column, Table } from "../../ui/table";
import { vitalWords } from "../../words/vitals";
import { Share } from "./bars";

interface Props {
  now: GetAlarmBurdenResponse;
  past?: GetAlarmBurdenResponse;
}

const number = (value: number) => value.toLocaleString("en-GB");
const shown = <T,>(value: T | undefined, show: (value: T) => string) =>
  value === undefined ? NONE : show(value);
const share = (part: number, all: number) => shown(shareOf(part, all), percent);

interface KindRow {
  name: preact.ComponentChildren;
  key: string;
  of: (burden: AlarmBurden) => string;
}

const LEVELS = [
  ["high", Priority.HIGH],
  ["medium", Priority.MEDIUM],
  ["low", Priority.LOW],
] as const;

const KIND_ROWS: KindRow[] = [
  { key: "alerts", name: "Alerts", of: (it) => number(it.alertCount) },
  {
    key: "rate",
    name: "Alerts per patient-day",
    of: (it) => shown(it.alertsPerPatientDay, (rate) => rate.toFixed(2)),
  },
  ...LEVELS.map(([level, priority]) => ({
    key: level,
    name: <PriorityMark priority={priority} word />,
    of: (it: AlarmBurden) => {
      const alerts = counts(it.byPriority)[level];
      return `${number(alerts)} (${share(alerts, it.alertCount)})`;
    },
  })),
  {
    key: "acknowledged",
    name: "Acknowledged",
    of: (it) => `${number(it.acknowledgedCount)} (${share(it.acknowledgedCount, it.alertCount)})`,
  },
  {
    key: "median",
    name: "Time to acknowledge, median",
    of: (it) => shown(milliseconds(it.timeToAcknowledgeMedian), span),
  },
  {
    key: "p90",
    name: "Time to acknowledge, 9 in 10",
    of: (it) => shown(milliseconds(it.timeToAcknowledgeP90), span),
  },
  {
    key: "never",
    name: "Over, never acknowledged",
    of: (it) =>
      `${number(it.endedUnacknowledgedCount)} (${share(it.endedUnacknowledgedCount, it.alertCount)})`,
  },
  {
    key: "open",
    name: "Not over, not acknowledged",
    of: (it) => number(it.openUnacknowledgedCount),
  },
  {
    key: "self",
    name: "Ended by themselves within 30 s",
    of: (it) => `${number(it.selfEndedCount)} (${shown(it.selfEndedShare, percent)})`,
  },
  { key: "paused", name: "Paused by a clinician", of: (it) => number(it.pausedCount) },
  {
    key: "raised",
    name: "Raised while the patient was paused",
    of: (it) => number(it.raisedPausedCount),
  },
];

/** By priority and by what was done, of all alerts, of patients' and of equipment's. */
export function KindsTable({ now }: Props) {
  const column = (head: string, burden: AlarmBurden | undefined): Column<KindRow> => ({
    head,
    numeric: true,
    cell: (row) => (burden ? row.of(burden) : NONE),
  });
  return (
    <section class="panel">
      <Table
        caption="By priority, and how they were answered"
        rows={KIND_ROWS}
        rowKey={(row) => row.key}
        columns={[
          { head: <span class="unseen">Figure</span>, rowHead: true, cell: (row) => row.name },
          column("All", now.all),
          column("Patients", now.physiological),
          column("Equipment", now.technical),
        ]}
      />
      <p class="fine">
        Priorities are the highest that an alert reached. Shares are of the alerts of the column. An
        alert is as it stands now, also for what happened to it after the span.
      </p>
    </section>
  );
}

/** Most alerts first. */
export function RulesTable({ now, past }: Props) {
  const lines = ruleLines(now, past);
  const most = Math.max(0, ...lines.map((line) => line.alerts));
  const columns: Column<RuleLine>[] = [
    {
      head: "Rule",
      rowHead: true,
      cell: (it) => (
        <>
          {it.ruleId}
          <span class="burden-vital">{ruleAbout(it)}</span>
        </>
      ),
    },
    { head: "Alerts", numeric: true, cell: (it) => number(it.alerts) },
    {
      head: <span class="unseen">By priority, as a bar</span>,
      cell: (it) => <Share counts={it.counts} most={most} />,
    },
    { head: "High", numeric: true, cell: (it) => number(it.counts.high) },
    { head: "Medium", numeric: true, cell: (it) => number(it.counts.medium) },
    { head: "Low", numeric: true, cell: (it) => number(it.counts.low) },
    { head: "Of all", numeric: true, cell: (it) => shown(it.share, percent) },
    { head: "A patient-day", numeric: true, cell: (it) => shown(it.perPatientDay, twoDigits) },
    { head: "Acknowledged", numeric: true, cell: (it) => shown(it.acknowledged, percent) },
    { head: "Ended in 30 s", numeric: true, cell: (it) => shown(it.selfEnded, percent) },
    { head: "Span before", numeric: true, cell: (it) => shown(it.before, number) },
  ];
  return (
    <section class="panel">
      <Table
        caption={`By rule: ${lines.length}`}
        rows={lines}
        rowKey={(it) => `${it.ruleId} ${it.vital}`}
        columns={columns}
        empty="No alert was raised in this span."
      />
      <p class="fine">
        Most alerts first. "Acknowledged" and "ended in 30 s" are shares of the rule's own alerts. A
        rule whose alerts were of several vitals has a line for each.
      </p>
    </section>
  );
}

const twoDigits = (value: number) => value.toFixed(2);

function ruleAbout(line: RuleLine): string {
  const vital = line.vital === 0 ? "" : vitalWords(line.vital).name;
  return [line.isTechnical ? "equipment" : "", vital].filter((it) => it !== "").join(", ");
}

/** The tenth of patients with most alerts. */
export function PatientsTable({ now }: Props) {
  const most = now.mostAlarmed;
  if (!most) return null;
  const tenth = `${most.patientCount} of ${most.ofPatientCount} patients`;
  return (
    <section class="panel">
      <Table
        caption={`The tenth of patients with most alerts: ${tenth}`}
        rows={most.patients}
        rowKey={(it) => it.patientId}
        empty="No patient had an alert in this span."
        columns={[
          {
            head: "Patient",
            rowHead: true,
            cell: (it) => <a href={href.patient(it.patientId)}>{it.patientId}</a>,
          },
          { head: "Site", cell: (it) => it.siteId },
          { head: "Alerts", numeric: true, cell: (it) => number(it.alertCount) },
          { head: "High", numeric: true, cell: (it) => number(counts(it.byPriority).high) },
          { head: "Medium", numeric: true, cell: (it) => number(counts(it.byPriority).medium) },
          { head: "Low", numeric: true, cell: (it) => number(counts(it.byPriority).low) },
          { head: "Of equipment", numeric: true, cell: (it) => number(it.technicalCount) },
        ]}
      />
      <p class="fine">
        Together {number(most.alertCount)} alerts, {shown(most.share, percent)} of all patients'
        alerts. A patient counts where they are now, with all of the span.
      </p>
    </section>
  );
}

/** What is in no other number. */
export function Besides({ now }: Props) {
  const rows: [string, number, string][] = [
    [
      "Patients who wore a device",
      now.monitoredPatientCount,
      "At some time of the span. Observations by hand need no device and do not count.",
    ],
    [
      "Held back in floods",
      now.heldBackCount,
      "Alerts that were held back because the patient had too many; one alert of the rule pulseward.flood stands for them, and counts. Some are raised later, on their own, if they still hold.",
    ],
    [
      "Raised late",
      now.retrospectiveCount,
      "Alerts that late readings raised: over when they became known, never signalled, in no other number here.",
    ],
    [
      "Of the service itself",
      now.serviceCount,
      "Alerts about the service's own intake, for all sites at once, in no other number here.",
    ],
  ];
  return (
    <section class="panel">
      <h2>Counted besides</h2>
      <dl class="burden-besides">
        {rows.map(([name, value, meaning]) => (
          <div key={name}>
            <dt>
              {name}: <b>{number(value)}</b>
            </dt>
            <dd class="fine">{meaning}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
