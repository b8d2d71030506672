/**
 * In which order a ward is read: worst alert first, then how far somebody is watched.
 *
 * Pure. Priority counts before everything else, also of an alert that was acknowledged: the patient is
 * as ill as before. Of equals, one of whom any alert still signals comes first, then the patient of
 * whom less is known, then the id: so that nothing changes places without a reason. The terminal has
 * the same order, but looks at the signal of the worst alert only.
 */
import {
  type Alert,
  MonitoringState,
  type PatientMonitoring,
  SignalState,
} from "../gen/pulseward/v1/alert_pb";
import type { Priority } from "../gen/pulseward/v1/profile_pb";
import type { Ward } from "./alerts";

/** Who or what a row is about. */
export interface Row {
  /** Tells it from others: `p:p-1042` of a patient, `e:north` of a site's equipment. */
  key: string;
  /** Empty for equipment. */
  patientId: string;
  /** Empty for the service itself. */
  siteId: string;
  /** How they are watched; equipment is not. */
  monitoring: PatientMonitoring | undefined;
  /** Open alerts, the worst first. */
  alerts: Alert[];
}

/** The key of the row that an alert stands in. */
export function keyOf(alert: Alert): string {
  return alert.patientId === "" ? `e:${alert.siteId}` : patientKey(alert.patientId);
}

/** The key of a patient's row. */
export function patientKey(patientId: string): string {
  return `p:${patientId}`;
}

/** A row's name. */
export function rowName(row: Row): string {
  if (row.patientId !== "") return row.patientId;
  return row.siteId === "" ? "The service" : `Devices of ${row.siteId}`;
}

/** Everybody who is watched, and equipment with open alerts, in the order to be read. */
export function rowsOf(ward: Ward): Row[] {
  const rows = new Map<string, Row>();
  for (const monitoring of ward.patients.values()) {
    const { patientId, siteId } = monitoring;
    const key = patientKey(patientId);
    rows.set(key, { key, patientId, siteId, monitoring, alerts: [] });
  }
  for (const alert of ward.open.values()) {
    const key = keyOf(alert);
    const { patientId, siteId } = alert;
    const row = rows.get(key) ?? { key, patientId, siteId, monitoring: undefined, alerts: [] };
    row.alerts.push(alert);
    rows.set(key, row);
  }
  const all = [...rows.values()];
  for (const row of all) row.alerts.sort(byUrgency);
  return all.sort(byNeed);
}

/** Whether nobody is called by it at the moment. */
export function isQuiet(alert: Alert): boolean {
  return alert.signal !== SignalState.ON && alert.signal !== SignalState.LATCHED;
}

/** Of open alerts, the worst first, the one to answer: the worst of those that signal loudest. */
export function loudest(alerts: readonly Alert[]): Alert | undefined {
  const rank = Math.min(...alerts.map(signalRank));
  return isCalling(alerts) ? alerts.find((it) => signalRank(it) === rank) : alerts[0];
}

/** Whether anybody is called by any of them. */
export function isCalling(alerts: readonly Alert[]): boolean {
  return alerts.some((it) => !isQuiet(it));
}

function byUrgency(a: Alert, b: Alert): number {
  return b.priority - a.priority || signalRank(a) - signalRank(b) || compare(a.alertId, b.alertId);
}

function byNeed(a: Row, b: Row): number {
  return (
    worst(b) - worst(a) ||
    loudness(a) - loudness(b) ||
    unwatchedRank(a) - unwatchedRank(b) ||
    compare(a.key, b.key)
  );
}

/** The worst open alert's priority; below every other without one. */
function worst(row: Row): Priority | -1 {
  return row.alerts[0]?.priority ?? -1;
}

/** Of the loudest signal; without an alert all are equal. */
function loudness(row: Row): number {
  return Math.min(SIGNAL_RANK_MAX, ...row.alerts.map(signalRank));
}

const SIGNAL_RANK_MAX = 4;

/** Less asks louder. */
function signalRank(alert: Alert): number {
  switch (alert.signal) {
    case SignalState.LATCHED:
      return 1;
    case SignalState.PAUSED:
      return 2;
    case SignalState.ACKNOWLEDGED:
      return 3;
    case SignalState.OFF:
      return SIGNAL_RANK_MAX;
    default:
      return 0;
  }
}

/** Less is known of them. */
function unwatchedRank(row: Row): number {
  switch (row.monitoring?.state) {
    case MonitoringState.NO_DATA:
      return 0;
    case MonitoringState.NO_DEVICE:
      return 1;
    case MonitoringState.LIMITS_OFF:
      return 2;
    case MonitoringState.PARTIAL:
    case MonitoringState.UNSPECIFIED:
      return 3;
    case MonitoringState.PAUSED:
      return 4;
    default:
      return 5;
  }
}

/** By code units, as the service orders ids; "e:" comes before "p:". */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** How many alerts there are of each priority. */
export interface Counts {
  high: number;
  medium: number;
  low: number;
}

/** How many of a ward there are of what. */
export interface Tally extends Counts {
  patients: number;
  fullyMonitored: number;
}

/** Counts rows and their open alerts. */
export function tally(rows: readonly Row[]): Tally {
  const counted: Tally = { patients: 0, fullyMonitored: 0, high: 0, medium: 0, low: 0 };
  for (const row of rows) {
    if (row.patientId !== "") counted.patients += 1;
    if (row.monitoring?.state === MonitoringState.MONITORED) counted.fullyMonitored += 1;
    for (const alert of row.alerts) count(counted, alert);
  }
  return counted;
}

/** Counts the alerts that call. */
export function tallyCalling(rows: readonly Row[]): Counts {
  const counted: Counts = { high: 0, medium: 0, low: 0 };
  for (const row of rows) {
    for (const alert of row.alerts) if (!isQuiet(alert)) count(counted, alert);
  }
  return counted;
}

function count(counted: Counts, { priority }: Alert): void {
  if (priority === 3) counted.high += 1;
  else if (priority === 2) counted.medium += 1;
  else counted.low += 1;
}

/** What is looked for. */
export interface Filter {
  /** Only of this site; empty for all. */
  siteId: string;
  /** Only whose id, site, device or rule holds this; empty for all. */
  text: string;
}

/** The stream of vitals takes at most so many sites. */
export const SITES_MAX = 100;

/** Whose vitals are watched, of the site that is chosen or of all; and whose there is no room for. */
export function vitalSites(
  sites: readonly string[],
  chosen: string,
): { watched: readonly string[]; leftOut: readonly string[] } {
  if (chosen !== "") return { watched: [chosen], leftOut: [] };
  return { watched: sites.slice(0, SITES_MAX), leftOut: sites.slice(SITES_MAX) };
}

/** Whether a row is what is looked for. The service itself always is. */
export function matches(row: Row, filter: Filter): boolean {
  if (row.patientId === "" && row.siteId === "") return true;
  if (filter.siteId !== "" && row.siteId !== filter.siteId) return false;
  const text = filter.text.trim().toLowerCase();
  if (text === "") return true;
  const words = [
    row.patientId,
    row.siteId,
    ...row.alerts.flatMap((it) => [it.ruleId, it.deviceId]),
  ];
  return words.some((it) => it.toLowerCase().includes(text));
}
