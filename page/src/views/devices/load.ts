/**
 * Asks the service for devices: the list, then each one's report and binding.
 *
 * The contract tells reports one by one, so a list takes a call a device, and another for who wears it. Promises: few calls at
 * once, which leaves connections for live streams; a service that asks for patience gets it; what is
 * known is shown while the rest is asked for, and what could not be told is not shown as well.
 */
import { Code, ConnectError } from "@connectrpc/connect";

import { ingest, registry } from "../../api/clients";
import { retryAfter } from "../../api/errors";
import type { DeviceReport, RejectedMessage } from "../../gen/pulseward/v1/ingest_pb";
import type { Binding, Device as Enrolled } from "../../gen/pulseward/v1/registry_pb";
import type { Device, Report } from "../../model/devices";
import type { Refused } from "../../model/refused";
import { exactNow } from "../../state/moment";
import { millis, spanMillis } from "../../words/times";

/**
 * Without TLS a browser has six connections to a service, and two are for live streams; with it all
 * calls share one, and the service writes the record of many at once.
 */
const CALLS_AT_ONCE = globalThis.location?.protocol === "https:" ? 12 : 4;
/** More devices than this are found by site or by the beginning of their id. */
export const DEVICES_MAX = 500;
/** How often a call waits for its turn before it is given up. */
const TURNS_MAX = 8;
const TURN_PAUSE_MS = 500;

/** Which devices. */
export interface Which {
  readonly siteId: string;
  readonly idPrefix: string;
}

/** Devices as far as they are known. */
export interface Devices {
  readonly devices: readonly Device[];
  /** How many have been asked about. */
  readonly asked: number;
  /** There are more than are shown. */
  readonly isCut: boolean;
  /** Devices of which the report could not be had, and why of one of them. */
  readonly failed: number;
  readonly failure: unknown;
}

/** Loads devices; `show` is called with what is known, at first by id and without reports. */
export async function loadDevices(
  which: Which,
  signal: AbortSignal,
  show: (devices: Devices) => void,
): Promise<Devices> {
  const { devices, isCut } = await listed(which, signal);
  const known = new Map(devices.map((device) => [device.deviceId, device]));
  const left = [...devices];
  let state = { asked: 0, failed: 0, failure: undefined as unknown };
  const now = (): Devices => ({ devices: [...known.values()], isCut, ...state });
  show(now());
  const work = async () => {
    for (let device = left.shift(); device && !signal.aborted; device = left.shift()) {
      try {
        known.set(device.deviceId, await told(device, signal));
      } catch (failure) {
        state = { ...state, failed: state.failed + 1, failure };
      }
      state = { ...state, asked: state.asked + 1 };
      show(now());
    }
  };
  await Promise.all(Array.from({ length: CALLS_AT_ONCE }, work));
  signal.throwIfAborted();
  return now();
}

/** Devices, of which those that are on nobody are known from the start. */
async function listed({ siteId, idPrefix }: Which, signal: AbortSignal) {
  const request = { siteId, idPrefix };
  const nobody = { case: "nobody", value: true } as const;
  const [all, free] = await Promise.all([
    pages(request, signal),
    pages({ ...request, wornBy: nobody }, signal),
  ]);
  const isFree = new Set(free.devices.map((it) => it.deviceId));
  const devices = all.devices.map(({ deviceId, siteId }): Device => {
    const patientId = isFree.has(deviceId) ? "" : undefined;
    return { deviceId, siteId, report: undefined, patientId, sendsEvery: undefined };
  });
  return { devices, isCut: all.isCut };
}

type DevicesRequest = Parameters<ReturnType<typeof registry>["listDevices"]>[0];

async function pages(request: DevicesRequest, signal: AbortSignal) {
  const devices: Enrolled[] = [];
  for (let pageToken = ""; ; ) {
    const asked = { ...request, pageSize: DEVICES_MAX, pageToken };
    const page = await registry().listDevices(asked, { signal });
    devices.push(...page.devices);
    pageToken = page.nextPageToken;
    if (pageToken === "" || devices.length >= DEVICES_MAX) {
      return { devices: devices.slice(0, DEVICES_MAX), isCut: pageToken !== "" };
    }
  }
}

async function told(device: Device, signal: AbortSignal): Promise<Device> {
  const { deviceId, patientId } = device;
  const report = await inTurn(() => ingest().getDeviceReport({ deviceId }, { signal }), signal);
  const isFree = patientId === "";
  const binding = isFree ? undefined : await inTurn(() => latestBinding(deviceId, signal), signal);
  return deviceOf(report, binding);
}

/** A device as it is shown, of its report and its latest binding. */
export function deviceOf(report: DeviceReport, binding: Binding | undefined): Device {
  const { deviceId, siteId } = report;
  const worn = binding && isWorn(binding) ? binding : undefined;
  return {
    deviceId,
    siteId,
    report: reportOf(report),
    patientId: worn?.patientId ?? "",
    sendsEvery: worn && sendsEvery(worn),
  };
}

/** Whether the binding lasts; one that is to begin counts: the device is put on already. */
export function isWorn(binding: Binding): boolean {
  const until = millis(binding.until);
  return until === undefined || until > exactNow();
}

/** The longest regular time between two messages: of the upload and of the vital measured most often. */
function sendsEvery({ schedule }: Binding): number | undefined {
  if (!schedule) return undefined;
  const intervals = schedule.expectedIntervals.map((it) => spanMillis(it.interval) ?? 0);
  const measures = intervals.length > 0 ? Math.min(...intervals) : 0;
  return Math.max(measures, spanMillis(schedule.uploadInterval) ?? 0) || undefined;
}

async function latestBinding(deviceId: string, signal: AbortSignal): Promise<Binding | undefined> {
  const of = { case: "deviceId", value: deviceId } as const;
  const page = await registry().listBindings({ of, pageSize: 1 }, { signal });
  return page.bindings[0];
}

/** Repeats a call that came too soon after others. */
async function inTurn<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let turn = 1; ; turn += 1) {
    try {
      return await call();
    } catch (failure) {
      const isTooSoon = ConnectError.from(failure).code === Code.ResourceExhausted;
      if (!isTooSoon || turn >= TURNS_MAX || signal.aborted) throw failure;
      const pause = retryAfter(failure) ?? TURN_PAUSE_MS;
      await new Promise((done) => setTimeout(done, pause));
    }
  }
}

/** A report as the model has it. */
function reportOf(wire: DeviceReport): Report {
  const { status } = wire;
  return {
    lastSeenAt: millis(wire.lastSeenAt),
    isOnline: status?.online,
    batteryPercent: status?.batteryPercent,
    isSensorAttached: status?.sensorAttached,
    firmware: status?.firmware ?? "",
    gateway: status?.gateway ?? "",
    statusAt: millis(status?.at),
    clockSkew: spanMillis(wire.clockSkew),
    bootId: wire.bootId,
    highestSeq: wire.highestSeq,
    gaps: wire.gaps,
    missing: Number(wire.missingCount),
    duplicates: Number(wire.duplicateCount),
    reordered: Number(wire.reorderedCount),
    accepted: Number(wire.acceptedCount),
    rejected: Number(wire.rejectedCount),
    restarts: Number(wire.restartCount),
    amended: Number(wire.amendedCount),
    unknownFields: Number(wire.unknownFieldCount),
    gapsEver: Number(wire.gapCount),
    gapOverflows: Number(wire.gapOverflowCount),
  };
}

/** A refused message as the model has it. */
export function refused(wire: RejectedMessage): Refused {
  return {
    messageId: wire.messageId,
    topic: wire.topic,
    receivedAt: millis(wire.receivedAt) ?? 0,
    reason: wire.reason,
    detail: wire.detail,
    readings: wire.rejected,
    readingsTotal: wire.rejectedTotal,
    redrivenAt: millis(wire.redrivenAt),
    redrivenFrom: wire.redrivenFrom,
    erasedAt: millis(wire.erasedAt),
  };
}
