/**
 * What alarms ask of a ward: what a nurse manager takes to a meeting, on the screen, on paper and as a
 * file. Each figure says how it is counted, and stands beside that of the span before.
 *
 * The address says what is shown. The service counts; nothing is asked for by itself.
 */
import { useEffect, useMemo, useState } from "preact/hooks";

import { listSites } from "../../api/sites";
import type { Site } from "../../gen/pulseward/v1/registry_pb";
import {
  BURDEN_PRESETS,
  before,
  burdenCsv,
  byDay,
  byHourOfDay,
  type Figure,
  figures,
  spanProblem,
} from "../../model/burden";
import type { Span } from "../../model/history";
import { go, href } from "../../router";
import { exactNow } from "../../state/moment";
import { announce } from "../../ui/announcer";
import { AskedState, Problem, useAsked } from "../../ui/asked";
import { Button } from "../../ui/button";
import { download } from "../../ui/download";
import { Group } from "../../ui/group";
import { OwnSpan } from "../../ui/own-span";
import { useShortcuts } from "../../ui/shortcuts";
import { SiteChoice } from "../../ui/site-choice";
import { View } from "../../ui/view";
import { dateTime, millis, zone } from "../../words/times";
import { Bars, Legend } from "./bars";
import { type Burden, loadBurden } from "./load";
import { Besides, KindsTable, PatientsTable, RulesTable } from "./tables";
import "../../styles/burden.css";

const PRESET_DEFAULT = "7d";

export function BurdenView({ query }: { query: URLSearchParams }) {
  const [now, setNow] = useState(exactNow);
  const address = query.toString();
  useEffect(() => setNow(exactNow()), [address]);
  const siteId = query.get("site") ?? "";
  const { span, preset } = useMemo(() => spanOf(query, now), [address, now]);
  const [sites, setSites] = useState<readonly Site[]>([]);
  const asked = useAsked(`${siteId} ${span.from} ${span.until}`, async (ended) => {
    const sites = await listSites(ended);
    setSites(sites);
    return loadBurden({ siteId, span, timeZone: zoneOf(sites, siteId) }, ended);
  });
  const { answer } = asked;
  useEffect(() => {
    if (answer) announce(sentence(answer));
  }, [answer]);
  const same: Record<string, string> = preset === "" ? times(span) : { span: preset };
  const site: Record<string, string> = siteId === "" ? {} : { site: siteId };
  const refresh = () => setNow(exactNow());
  useShortcuts("Alarm burden", [
    { key: "r", does: "ask again", run: refresh },
    { key: "p", does: "print", run: () => print() },
  ]);
  return (
    <View
      name="burden"
      title="Alarm burden"
      tabTitle="Alarm burden"
      tools={
        <>
          <Button onPress={refresh} shortcut="r">
            Ask again
          </Button>
          <Button onPress={() => print()} shortcut="p">
            Print
          </Button>
          <Button
            onPress={() => answer && saveFile(answer)}
            disabledWhy={answer ? undefined : "Nothing is shown yet."}
          >
            Save as CSV
          </Button>
        </>
      }
    >
      <div class="burden-controls">
        <SiteChoice
          sites={sites}
          siteId={siteId}
          onChoose={(siteId) =>
            go(href.burden({ ...(siteId === "" ? {} : { site: siteId }), ...same }))
          }
        />
        <Group name="Span that ends now">
          {BURDEN_PRESETS.map(({ id, words }) => (
            <Button
              key={id}
              pressed={id === preset}
              onPress={() => (id === preset ? refresh() : go(href.burden({ ...site, span: id })))}
            >
              {words}
            </Button>
          ))}
        </Group>
        <OwnSpan
          span={span}
          problemOf={spanProblem}
          onSpan={(span) => go(href.burden({ ...site, ...times(span) }))}
        />
      </div>
      <AskedState of={asked} what="Alarm burden" />
      {answer && <Shown burden={answer} />}
    </View>
  );
}

/** The zone of the site, or of all where they have the same; otherwise this screen's. */
function zoneOf(sites: readonly Site[], siteId: string): string {
  const meant = sites.filter((site) => siteId === "" || site.siteId === siteId);
  const [zone, ...others] = new Set(meant.map((site) => site.timeZone));
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return zone && others.length === 0 && isKnown(zone) ? zone : own;
}

/** A zone of the service's that this browser has not heard of is not used. */
function isKnown(timeZone: string): boolean {
  try {
    return new Intl.DateTimeFormat("en-GB", { timeZone }) !== undefined;
  } catch {
    return false;
  }
}

function spanOf(query: URLSearchParams, now: number): { span: Span; preset: string } {
  const from = Date.parse(query.get("from") ?? "");
  const until = Date.parse(query.get("to") ?? "");
  const own = { from, until };
  if (Number.isFinite(from) && Number.isFinite(until) && spanProblem(own) === undefined) {
    return { span: own, preset: "" };
  }
  const id = query.get("span") ?? PRESET_DEFAULT;
  const preset = BURDEN_PRESETS.find((it) => it.id === id) ?? BURDEN_PRESETS[1];
  return { span: { from: now - preset.length, until: now }, preset: preset.id };
}

function times(span: Span): Record<string, string> {
  const iso = (at: number) => new Date(at).toISOString();
  return { from: iso(span.from), to: iso(span.until) };
}

const where = (siteId: string) => (siteId === "" ? "all sites of yours" : `site ${siteId}`);

function sentence({ siteId, now }: Burden): string {
  const [rate] = figures(now);
  return `Alarm burden of ${where(siteId)}: ${rate?.value} alerts per patient-day, ${now.all?.alertCount ?? 0} alerts.`;
}

function Shown({ burden }: { burden: Burden }) {
  const { siteId, span, timeZone, now, past } = burden;
  const asOf = millis(now.asOf);
  const earlier = before(span);
  return (
    <div class="burden-shown">
      <div class="burden-about">
        <p>
          <b>
            {capital(where(siteId))}, {dateTime(span.from)} to {dateTime(span.until)}
          </b>{" "}
          {zone(span.until)}. {asOf !== undefined && `Counted ${dateTime(asOf)}.`}
        </p>
        <p class="fine">
          Compared with the span before: {dateTime(earlier.from)} to {dateTime(earlier.until)}. Its
          alerts stand as they stand now, as those of this span do.
        </p>
      </div>
      {burden.pastMissing !== "" && (
        <Problem>
          <p>The span before is not shown: {burden.pastMissing}</p>
        </Problem>
      )}
      <ul class="burden-figures">
        {figures(now, past).map((figure) => (
          <li key={figure.name} class="panel">
            <FigureCard figure={figure} />
          </li>
        ))}
      </ul>
      <Legend />
      <div class="burden-columns">
        <section class="panel">
          <Bars
            name="By hour of the day"
            unit="Hour"
            bars={byHourOfDay(now, timeZone)}
            labelOf={(bar, index) => (index % 3 === 0 ? bar.label : "")}
            counted={`Alerts by the hour in which they were raised, all days together; hours of ${timeZone}.`}
          />
        </section>
        <section class="panel">
          <Bars
            name="By day"
            unit="Day"
            bars={byDay(now, span, timeZone)}
            labelOf={dayLabel}
            counted={`Alerts by the day on which they were raised, in ${timeZone}. The first and the last day may not be whole.`}
          />
        </section>
      </div>
      <RulesTable now={now} past={past} />
      <div class="burden-columns">
        <KindsTable now={now} />
        <div class="burden-stack">
          <PatientsTable now={now} />
          <Besides now={now} />
        </div>
      </div>
    </div>
  );
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** Days that have room for a label each. */
const LABELS_MAX = 8;

/** Each of a few days, or the first of each seven. */
function dayLabel({ label }: { label: string }, index: number, count: number): string {
  if (count > LABELS_MAX && index % 7 !== 0) return "";
  const date = new Date(`${label}T12:00:00Z`);
  return DAY.format(date);
}

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

const MORE_OR_LESS: Record<Figure["trend"], string> = {
  less: "▼",
  more: "▲",
  same: "=",
  unknown: "",
};

function FigureCard({ figure }: { figure: Figure }) {
  return (
    <>
      <h2>{figure.name}</h2>
      <p class="burden-value">{figure.value}</p>
      <p class="burden-before">
        span before: <b>{figure.before}</b>
        {figure.change !== "" && (
          <span class="burden-change">
            {" "}
            <span aria-hidden="true">{MORE_OR_LESS[figure.trend]}</span> {figure.change}
          </span>
        )}
      </p>
      <p class="fine">{figure.counted}</p>
    </>
  );
}

function saveFile({ siteId, span, timeZone, now, past }: Burden): void {
  const day = (at: number) => new Date(at).toISOString().slice(0, 10);
  const site = siteId === "" ? "all-sites" : siteId;
  const name = `alarm-burden_${site}_${day(span.from)}_${day(span.until)}.csv`;
  download(name, burdenCsv(where(siteId), span, timeZone, now, past));
}
