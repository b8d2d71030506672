/** Messages for tests, as the streams send them. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";

import {
  type Alert,
  AlertPhase,
  AlertSchema,
  ConditionState,
  MonitoringState,
  type PatientMonitoring,
  PatientMonitoringSchema,
  SignalState,
  type WatchAlertsResponse,
  WatchAlertsResponseSchema,
} from "../src/gen/pulseward/v1/alert_pb";
import { Priority } from "../src/gen/pulseward/v1/profile_pb";
import { Vital } from "../src/gen/pulseward/v1/reading_pb";
import { type StoredReading, StoredReadingSchema } from "../src/gen/pulseward/v1/vitals_pb";
import { timestamp } from "../src/words/times";

/** An alert that signals; `also` overwrites. */
export function alert(
  alertId: string,
  patientId: string,
  priority: Priority,
  also: Partial<Alert> = {},
): Alert {
  const plain = {
    alertId,
    patientId,
    siteId: "north",
    ruleId: "spo2-low",
    priority,
    condition: ConditionState.ACTIVE,
    signal: SignalState.ON,
    etag: "1",
  };
  return Object.assign(create(AlertSchema, plain), also);
}

/** A patient at `north`. */
export function patient(
  patientId: string,
  state = MonitoringState.MONITORED,
  siteId = "north",
): PatientMonitoring {
  return create(PatientMonitoringSchema, { patientId, siteId, state });
}

type Message = MessageInitShape<typeof WatchAlertsResponseSchema>["message"];

function response(message: Message): WatchAlertsResponse {
  return create(WatchAlertsResponseSchema, { message });
}

export function snapshot(
  part: number,
  alerts: Alert[],
  patients: PatientMonitoring[],
): WatchAlertsResponse {
  return response({ case: "snapshot", value: { part, alerts, patients } });
}

export function live(cursor: string): WatchAlertsResponse {
  return response({ case: "live", value: { cursor } });
}

export function heartbeat(cursor: string): WatchAlertsResponse {
  return response({ case: "heartbeat", value: { cursor, ingestConnected: true } });
}

export function event(cursor: string, of: Alert, phase = AlertPhase.START): WatchAlertsResponse {
  const change = { case: "alert" as const, value: { phase, alert: of } };
  return response({ case: "event", value: { cursor, change } });
}

export function monitoring(cursor: string, of: PatientMonitoring): WatchAlertsResponse {
  return response({ case: "event", value: { cursor, change: { case: "monitoring", value: of } } });
}

export function left(cursor: string, patientId: string): WatchAlertsResponse {
  return response({ case: "leftScope", value: { cursor, patientId } });
}

/** A reading of a second since 1970; no quantity is a sensor that is off. */
export function reading(second: number, quantity: number | undefined): StoredReading {
  return create(StoredReadingSchema, {
    measuredAt: timestamp(second * 1000),
    vital: Vital.SPO2,
    unit: "%",
    value:
      quantity === undefined ? { case: "absent", value: 2 } : { case: "quantity", value: quantity },
  });
}

export type { Alert };
export { AlertPhase, ConditionState, MonitoringState, Priority, SignalState, Vital };
