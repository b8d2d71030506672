/**
 * Devices of the caller's sites, what needs attention first; and the messages that were refused.
 *
 * What is shown is of the moment at which it was asked for, which is said; ages go on by themselves.
 */
import { useSignal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { isGone, words } from "../../api/errors";
import { listSites } from "../../api/sites";
import {
  byAttention,
  type Device,
  findings,
  matching,
  skewWords,
  type Urgency,
  urgency,
} from "../../model/devices";
import { href } from "../../router";
import { exactNow } from "../../state/moment";
import { Age } from "../../ui/age";
import { announce } from "../../ui/announcer";
import { AskedState, Problem, useAsked } from "../../ui/asked";
import { Button } from "../../ui/button";
import { Group } from "../../ui/group";
import { useShortcuts } from "../../ui/shortcuts";
import { SiteChoice } from "../../ui/site-choice";
import { type Column, Table } from "../../ui/table";
import { View } from "../../ui/view";
import { clockTime } from "../../words/times";
import { DEVICES_MAX, type Devices, loadDevices } from "./load";
import { Findings } from "./marks";
import { RefusedMessages } from "./refused";
import "../../styles/devices.css";

type Part = "devices" | "refused";

/** What was chosen last, for who comes back from a device. */
const chosen = { part: "devices" as Part, siteId: "", typed: "", onlyAttention: false };

export function DevicesView() {
  const [part, setPart] = useState<Part>(chosen.part);
  const [siteId, setSite] = useState(chosen.siteId);
  chosen.part = part;
  chosen.siteId = siteId;
  const sites = useAsked("sites", listSites);
  return (
    <View
      name="devices"
      title="Devices"
      tabTitle="Devices"
      tools={<SiteChoice sites={sites.answer ?? []} siteId={siteId} onChoose={setSite} />}
    >
      <Group name="What is shown">
        <Button pressed={part === "devices"} onPress={() => setPart("devices")}>
          Devices
        </Button>
        <Button pressed={part === "refused"} onPress={() => setPart("refused")}>
          Refused messages
        </Button>
      </Group>
      {part === "devices" ? (
        <DeviceList key={siteId} siteId={siteId} />
      ) : (
        <RefusedMessages key={siteId} siteId={siteId} />
      )}
    </View>
  );
}

function DeviceList({ siteId }: { siteId: string }) {
  const [typed, setTyped] = useState(chosen.typed);
  const [prefix, setPrefix] = useState("");
  const [onlyAttention, setOnly] = useState(chosen.onlyAttention);
  chosen.typed = typed;
  chosen.onlyAttention = onlyAttention;
  const { loaded, asked } = useDevices(siteId, prefix);
  const field = useRef<HTMLInputElement>(null);
  useShortcuts("Devices", [
    { key: "/", does: "find a device", run: () => field.current?.focus() },
    { key: "r", does: "ask again", run: asked.again },
  ]);
  return (
    <>
      <div class="devices-tools">
        <label class="field-inline">
          Find
          <input
            ref={field}
            type="search"
            value={typed}
            placeholder="device, patient, site"
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        </label>
        {loaded?.isCut && typed.trim() !== "" && (
          <Button onPress={() => setPrefix(typed.trim())}>Ask for ids that begin so</Button>
        )}
        {prefix !== "" && <Button onPress={() => setPrefix("")}>All ids again</Button>}
        <label class="check">
          <input
            type="checkbox"
            checked={onlyAttention}
            onChange={(event) => setOnly(event.currentTarget.checked)}
          />
          Only what needs attention
        </label>
        <Button onPress={asked.again} shortcut="r">
          Ask again
        </Button>
      </div>
      {(!loaded || asked.failure !== undefined) && <AskedState of={asked} what="Devices" />}
      {loaded && <Loaded loaded={loaded} typed={typed} onlyAttention={onlyAttention} />}
    </>
  );
}

/** How often a list that is still growing is drawn anew: hundreds of rows take their time. */
const DRAW_EACH_MS = 400;

/** What is known while more is asked for. */
function useDevices(siteId: string, idPrefix: string) {
  const partial = useSignal<(Devices & { at: number }) | undefined>(undefined);
  const asked = useAsked(`${siteId} ${idPrefix}`, async (ended) => {
    const at = exactNow();
    let drawnAt = Number.NEGATIVE_INFINITY;
    const show = (devices: Devices) => {
      if (ended.aborted || performance.now() - drawnAt < DRAW_EACH_MS) return;
      drawnAt = performance.now();
      partial.value = { ...devices, at };
    };
    const devices = await loadDevices({ siteId, idPrefix }, ended, show);
    partial.value = { ...devices, at };
    return true;
  });
  const { answer } = asked;
  useEffect(() => {
    const devices = partial.peek()?.devices ?? [];
    if (answer) announce(`Devices: ${totals(devices, exactNow())}`);
  }, [answer]);
  return { loaded: isGone(asked.failure) ? undefined : partial.value, asked };
}

interface LoadedProps {
  loaded: Devices & { at: number };
  typed: string;
  onlyAttention: boolean;
}

function Loaded({ loaded, typed, onlyAttention }: LoadedProps) {
  const { devices, asked, at } = loaded;
  const isDone = asked === devices.length;
  // While reports come in, the list stays in one order: what moves can't be read.
  const ordered = isDone ? byAttention(devices, at) : devices;
  const needs = (device: Device) => urgency(findings(device, at)) !== "fine";
  const shown = matching(ordered, typed).filter((device) => !onlyAttention || needs(device));
  return (
    <>
      <p class="devices-totals" role="status">
        {isDone
          ? `${totals(devices, at)} As of ${clockTime(at)}.`
          : `Asking about each device: ${asked} of ${devices.length}…`}
      </p>
      {!isDone && <progress max={devices.length} value={asked} aria-label="Devices asked about" />}
      {loaded.failed > 0 && (
        <Problem>
          <p>
            Not known of {loaded.failed} devices: {words(loaded.failure)}
          </p>
        </Problem>
      )}
      {loaded.isCut && (
        <p class="fine">
          These are the first {DEVICES_MAX} by id. Choose a site, or type the beginning of an id.
        </p>
      )}
      <section class="panel">
        <Table
          caption={`Devices shown: ${shown.length}`}
          columns={COLUMNS}
          rows={shown}
          rowKey={(device) => device.deviceId}
          empty={devices.length === 0 ? "No device is enrolled." : "No device is like that."}
        />
      </section>
    </>
  );
}

function totals(devices: readonly Device[], now: number): string {
  const count = (wanted: Urgency) =>
    devices.filter((it) => it.report && urgency(findings(it, now)) === wanted).length;
  return `${devices.length} in all: ${count("act")} need action, ${count("look")} worth a look, ${count("fine")} with nothing to tell.`;
}

const number = (value: number | undefined) =>
  value === undefined ? "" : value.toLocaleString("en-GB");

const COLUMNS: Column<Device>[] = [
  {
    head: "Device",
    rowHead: true,
    cell: (it) => <a href={href.device(it.deviceId)}>{it.deviceId}</a>,
  },
  {
    head: "Needs attention",
    cell: (it) => (it.report ? <Findings found={findings(it, exactNow())} /> : "…"),
  },
  { head: "Last seen", cell: (it) => it.report && <Age at={it.report.lastSeenAt} after="ago" /> },
  { head: "Patient", cell: (it) => <Patient patientId={it.patientId} /> },
  { head: "Site", cell: (it) => it.siteId },
  {
    head: "Battery",
    numeric: true,
    cell: (it) => it.report?.batteryPercent !== undefined && `${it.report.batteryPercent} %`,
  },
  { head: "Clock", cell: (it) => it.report && clockWords(it.report.clockSkew) },
  { head: "Missing", numeric: true, cell: (it) => number(it.report?.missing) },
  { head: "Duplicates", numeric: true, cell: (it) => number(it.report?.duplicates) },
  { head: "Refused", numeric: true, cell: (it) => number(it.report?.rejected) },
];

/** In a list only what is off is worth words. */
function clockWords(skew: number | undefined): string {
  if (skew === undefined) return "not known";
  return Math.abs(skew) < 2_000 ? "right" : skewWords(skew);
}

/** Whom it is on. */
export function Patient({ patientId }: { patientId: string | undefined }) {
  if (patientId === undefined) return <>…</>;
  if (patientId === "") return <span class="findings-none">nobody</span>;
  return <a href={href.patient(patientId)}>{patientId}</a>;
}
