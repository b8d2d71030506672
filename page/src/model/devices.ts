/**
 * Devices by what needs attention, worked out without a browser.
 *
 * Promises: every counter is explained in words that say what it counts; a device of which nothing
 * is known is never shown as well. Asks nobody for anything. Times are milliseconds since 1970 (UTC).
 */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/** What is known of a device: `GetDeviceReport`, and its binding now. */
export interface Device {
  readonly deviceId: string;
  readonly siteId: string;
  /** `undefined` until it was asked for, or where it could not be told. */
  readonly report: Report | undefined;
  /** `undefined` while unknown; a patient's id, or empty if it is on nobody. */
  readonly patientId: string | undefined;
  /** How often it is expected to send, where its binding says so. */
  readonly sendsEvery: number | undefined;
}

export interface Report {
  readonly lastSeenAt: number | undefined;
  readonly isOnline: boolean | undefined;
  readonly batteryPercent: number | undefined;
  readonly isSensorAttached: boolean | undefined;
  readonly firmware: string;
  readonly gateway: string;
  readonly statusAt: number | undefined;
  /** Ahead of the service; negative if behind. */
  readonly clockSkew: number | undefined;
  readonly bootId: bigint;
  readonly highestSeq: bigint | undefined;
  readonly gaps: readonly { readonly firstSeq: bigint; readonly lastSeq: bigint }[];
  readonly missing: number;
  readonly duplicates: number;
  readonly reordered: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly restarts: number;
  readonly amended: number;
  readonly unknownFields: number;
  readonly gapsEver: number;
  readonly gapOverflows: number;
}

/** How urgent: something is wrong now; it is worth a look; nothing. */
export type Urgency = "act" | "look" | "fine";

/** One thing about a device that somebody should know. */
export interface Finding {
  readonly urgency: Urgency;
  readonly words: string;
  /** The higher, the earlier in the list. */
  readonly weight: number;
}

/** A device that says nothing of how often it sends is silent after this long, as the engine has it. */
export const SILENT_AFTER = 10 * MINUTE;
/** A vital is silent after this many of its expected intervals, as the engine has it. */
const SILENT_INTERVALS = 3;
/** Below this a battery is low, and critical, as the default profile has it. */
export const BATTERY_LOW = 20;
export const BATTERY_CRITICAL = 5;
/** A clock that is further off is a fault, as the engine has it. */
export const SKEW_MAX = 30 * SECOND;

/** What needs attention about a device, the most urgent first. */
export function findings(device: Device, now: number): Finding[] {
  const { report } = device;
  if (!report) return [];
  const found: Finding[] = [
    ...heard(device, report, now),
    ...battery(report),
    ...clock(report),
    ...intake(report),
  ];
  if (report.isSensorAttached === false) {
    found.push({
      urgency: isWorn(device) ? "act" : "look",
      words: "sensor off",
      weight: isWorn(device) ? 60 : 8,
    });
  }
  return found.sort((a, b) => b.weight - a.weight);
}

const isWorn = (device: Device) => device.patientId !== undefined && device.patientId !== "";

/** How long nothing may be heard of a device. */
export function silentAfter(device: Device): number {
  const every = device.sendsEvery;
  return every === undefined ? SILENT_AFTER : Math.max(SILENT_AFTER, SILENT_INTERVALS * every);
}

function heard(device: Device, report: Report, now: number): Finding[] {
  // What lies in a drawer is silent by right: only what somebody wears is missed.
  const worn = isWorn(device);
  const urgency: Urgency = worn ? "act" : "look";
  if (report.lastSeenAt === undefined) {
    return worn ? [{ urgency, words: "never heard of", weight: 90 }] : [];
  }
  const found: Finding[] = [];
  if (report.isOnline === false) found.push({ urgency, words: "offline", weight: worn ? 80 : 10 });
  const silentFor = now - report.lastSeenAt;
  if (worn && silentFor > silentAfter(device)) found.push({ urgency, words: "silent", weight: 70 });
  return found;
}

function battery(report: Report): Finding[] {
  const percent = report.batteryPercent;
  if (percent === undefined || percent >= BATTERY_LOW) return [];
  if (percent < BATTERY_CRITICAL)
    return [{ urgency: "act", words: `battery ${percent} %`, weight: 75 }];
  return [{ urgency: "look", words: `battery ${percent} %`, weight: 40 }];
}

function clock(report: Report): Finding[] {
  const skew = report.clockSkew;
  if (skew === undefined || Math.abs(skew) <= SKEW_MAX) return [];
  const words = `clock ${Math.round(Math.abs(skew) / SECOND)} s ${skew > 0 ? "ahead" : "behind"}`;
  return [{ urgency: "act", words, weight: 65 }];
}

function intake(report: Report): Finding[] {
  const found: Finding[] = [];
  const look = (holds: boolean, words: string, weight: number) => {
    if (holds) found.push({ urgency: "look", words, weight });
  };
  look(report.rejected > 0, `refused: ${report.rejected.toLocaleString("en-GB")}`, 30);
  look(report.missing > 0, `missing: ${report.missing.toLocaleString("en-GB")}`, 25);
  look(report.gapOverflows > 0, "gaps lost count of", 15);
  return found;
}

/** How urgent a device is: as its most urgent finding. */
export function urgency(found: readonly Finding[]): Urgency {
  if (found.some((finding) => finding.urgency === "act")) return "act";
  return found.length > 0 ? "look" : "fine";
}

/**
 * The order of the list: urgent things first, then what is worth a look, then the rest; those of
 * which nothing is known yet last; of equals by id.
 */
export function byAttention(devices: readonly Device[], now: number): Device[] {
  const byId = (a: Device, b: Device) => (a.deviceId < b.deviceId ? -1 : 1);
  const ranked = devices.map((device) => ({ device, rank: rankOf(device, now) }));
  ranked.sort((a, b) => b.rank - a.rank || byId(a.device, b.device));
  return ranked.map(({ device }) => device);
}

/** The worst finding decides; the sum of the others only between equals. */
function rankOf(device: Device, now: number): number {
  if (!device.report) return -1;
  const found = findings(device, now);
  const act = found.some((finding) => finding.urgency === "act") ? 1_000_000 : 0;
  const [worst, ...others] = found.map((finding) => finding.weight);
  return act + (worst ?? 0) * 1_000 + others.reduce((sum, weight) => sum + weight, 0);
}

/** Devices whose id, patient or site contains what was typed; all, if nothing was. */
export function matching(devices: readonly Device[], typed: string): Device[] {
  const wanted = typed.trim().toLowerCase();
  const names = (device: Device) => [device.deviceId, device.patientId ?? "", device.siteId];
  return devices.filter((device) =>
    names(device).some((name) => name.toLowerCase().includes(wanted)),
  );
}

/** A counter with what it counts. */
export interface Counter {
  readonly name: string;
  readonly value: string;
  readonly meaning: string;
}

/** Every counter of a report, in words for whoever looks after devices. */
export function counters(report: Report): Counter[] {
  const number = (value: number) => value.toLocaleString("en-GB");
  const row = (name: string, value: number, meaning: string): Counter => ({
    name,
    value: number(value),
    meaning,
  });
  return [
    row("Accepted", report.accepted, "Readings admitted since the device was enrolled."),
    row(
      "Refused",
      report.rejected,
      "Readings refused since it was enrolled. A message that was refused as a whole, a status too, counts as one.",
    ),
    row(
      "Duplicates",
      report.duplicates,
      "Readings received again. They are recognised and stored once: a device that repeats itself after a bad connection does what it should.",
    ),
    row(
      "Missing now",
      report.missing,
      "Sequence numbers of the present start that have not arrived. What they stood for was measured and is not here, or not yet.",
    ),
    row(
      "Gaps so far",
      report.gapsEver,
      "How often numbers were skipped, whether they arrived later or not.",
    ),
    row(
      "Out of order",
      report.reordered,
      "Readings admitted that came after a later one. They are stored, and judged as readings that came late.",
    ),
    row(
      "Amended",
      report.amended,
      "Readings that say something else than an earlier one of the same vital and time. Both are kept.",
    ),
    row(
      "Restarts",
      report.restarts,
      "Starts of the device since it was enrolled, the first one not counted.",
    ),
    row(
      "Unknown fields",
      report.unknownFields,
      "Fields of its messages that this service does not know, and ignored. A newer device may send them.",
    ),
    row(
      "Gaps lost count of",
      report.gapOverflows,
      "How often two gaps had to be taken for one, because there were too many to remember. Numbers between them count as missing although they arrived, and would be stored again if they were sent again.",
    ),
  ];
}

/** Spans of missing sequence numbers in words, such as `17 to 23 (7)`. */
export function gapWords(report: Report): string[] {
  return report.gaps.map(({ firstSeq, lastSeq }) =>
    firstSeq === lastSeq ? `${firstSeq}` : `${firstSeq} to ${lastSeq} (${lastSeq - firstSeq + 1n})`,
  );
}

/** How far a clock is off, in words. */
export function skewWords(skew: number | undefined): string {
  if (skew === undefined) return "not known";
  if (Math.abs(skew) < SECOND / 2) return "right, to half a second";
  const seconds = Math.abs(skew) / SECOND;
  const size = seconds < 10 ? seconds.toFixed(1) : Math.round(seconds).toLocaleString("en-GB");
  return `${size} s ${skew > 0 ? "ahead" : "behind"}`;
}
