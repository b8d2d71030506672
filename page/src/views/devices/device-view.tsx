/** Everything that is known of one device, with every counter in words. */
import { ingest, registry } from "../../api/clients";
import type { DeviceReport } from "../../gen/pulseward/v1/ingest_pb";
import type { Binding } from "../../gen/pulseward/v1/registry_pb";
import {
  type Counter,
  counters,
  type Device,
  findings,
  gapWords,
  type Report,
  skewWords,
} from "../../model/devices";
import { href } from "../../router";
import { now } from "../../state/clock";
import { Age } from "../../ui/age";
import { AskedState, useAsked } from "../../ui/asked";
import { Button } from "../../ui/button";
import { useShortcuts } from "../../ui/shortcuts";
import { type Column, Table } from "../../ui/table";
import { View } from "../../ui/view";
import { dateTime, exactSpanWords, millis, spanMillis } from "../../words/times";
import { vitalWords } from "../../words/vitals";
import { Patient } from "./devices-view";
import { deviceOf } from "./load";
import { Findings } from "./marks";
import { RefusedMessages } from "./refused";
import "../../styles/devices.css";

/** Bindings shown, the latest; the service keeps a thousand of a device at most. */
const BINDINGS_SHOWN = 100;

interface Told {
  report: DeviceReport;
  bindings: Binding[];
  hasMore: boolean;
}

export function DeviceView({ deviceId }: { deviceId: string }) {
  const asked = useAsked(deviceId, (ended) => load(deviceId, ended));
  useShortcuts("Device", [{ key: "r", does: "ask again", run: asked.again }]);
  return (
    <View
      name="device"
      title={`Device ${deviceId}`}
      tabTitle="Device"
      tools={
        <>
          <a class="button" href={href.devices()}>
            All devices
          </a>
          <Button onPress={asked.again} shortcut="r">
            Ask again
          </Button>
        </>
      }
    >
      <AskedState of={asked} what="Device" />
      {asked.answer && <Shown told={asked.answer} />}
    </View>
  );
}

async function load(deviceId: string, signal: AbortSignal): Promise<Told> {
  const of = { case: "deviceId", value: deviceId } as const;
  const [report, page] = await Promise.all([
    ingest().getDeviceReport({ deviceId }, { signal }),
    registry().listBindings({ of, pageSize: BINDINGS_SHOWN }, { signal }),
  ]);
  return { report, bindings: page.bindings, hasMore: page.nextPageToken !== "" };
}

function Shown({ told }: { told: Told }) {
  const device = deviceOf(told.report, told.bindings[0]);
  const { report } = device;
  if (!report) return null;
  return (
    <>
      <div class="device-top">
        <section class="panel">
          <h2>Needs attention</h2>
          <Findings found={findings(device, now.value)} />
        </section>
        <Facts device={device} report={report} />
      </div>
      <section class="panel">
        <Table
          caption="What became of what it sent"
          columns={COUNTERS}
          rows={counters(report)}
          rowKey={(it) => it.name}
        />
        <Missing report={report} />
      </section>
      <section class="panel">
        <Table
          caption="Whom it was on"
          columns={BINDINGS}
          rows={told.bindings}
          rowKey={(it) => String(millis(it.from))}
          empty="It was never on anybody."
        />
        {told.hasMore && <p class="fine">The latest {BINDINGS_SHOWN}.</p>}
      </section>
      <RefusedMessages siteId="" deviceId={device.deviceId} />
    </>
  );
}

function Facts({ device, report }: { device: Device; report: Report }) {
  const facts: [string, preact.ComponentChildren][] = [
    ["Site", device.siteId],
    ["Patient", <Patient key="patient" patientId={device.patientId} />],
    ["Last seen", <Age key="seen" at={report.lastSeenAt} after="ago" />],
    ["Connected", connectedWords(report)],
    ["Battery", report.batteryPercent === undefined ? "not said" : `${report.batteryPercent} %`],
    ["Sensor", sensorWords(report.isSensorAttached)],
    ["Clock", skewWords(report.clockSkew)],
    ["Firmware", report.firmware || "not said"],
    ["Gateway", <Gateway key="gateway" gateway={report.gateway} />],
    ["Numbers", numberWords(report)],
  ];
  return (
    <section class="panel">
      <h2>As it stands</h2>
      <dl class="device-facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function connectedWords(report: Report): string {
  if (report.isOnline === undefined) return "not said";
  const since = report.statusAt === undefined ? "" : `, as of ${dateTime(report.statusAt)}`;
  return `${report.isOnline ? "yes" : "no"}${since}`;
}

function sensorWords(isAttached: boolean | undefined): string {
  if (isAttached === undefined) return "not said";
  return isAttached ? "on the patient" : "off";
}

function numberWords(report: Report): string {
  if (report.bootId === 0n) return "none: it keeps no sequence numbers";
  const highest =
    report.highestSeq === undefined ? "none has arrived" : `up to ${report.highestSeq}`;
  return `${highest}, of start ${report.bootId}`;
}

function Gateway({ gateway }: { gateway: string }) {
  return gateway === "" ? <>none</> : <a href={href.device(gateway)}>{gateway}</a>;
}

const COUNTERS: Column<Counter>[] = [
  { head: "Counter", rowHead: true, cell: (it) => it.name },
  { head: "Number", numeric: true, cell: (it) => it.value },
  { head: "What it counts", cell: (it) => <span class="device-meaning">{it.meaning}</span> },
];

function Missing({ report }: { report: Report }) {
  const spans = gapWords(report);
  if (spans.length === 0) return null;
  return (
    <details class="device-missing">
      <summary>Sequence numbers that have not arrived</summary>
      <p class="figures">{spans.join(" · ")}</p>
      <p class="fine">The latest 100 stretches.</p>
    </details>
  );
}

const BINDINGS: Column<Binding>[] = [
  { head: "Patient", rowHead: true, cell: (it) => <Patient patientId={it.patientId} /> },
  { head: "From", cell: (it) => timeWords(millis(it.from)) },
  { head: "Until", cell: (it) => timeWords(millis(it.until)) || "lasts" },
  { head: "Measures", cell: (it) => <span class="device-meaning">{measuresWords(it)}</span> },
];

const timeWords = (at: number | undefined) => (at === undefined ? "" : dateTime(at));

function measuresWords({ schedule }: Binding): string {
  const each = (schedule?.expectedIntervals ?? []).map(({ vital, interval }) => {
    return `${vitalWords(vital).name} each ${exactSpanWords(spanMillis(interval) ?? 0)}`;
  });
  const upload = spanMillis(schedule?.uploadInterval) ?? 0;
  if (upload > 0) each.push(`sends within ${exactSpanWords(upload)}`);
  return each.join(", ") || "not said";
}
