/** Typed clients of the service's parts. */
import { type Client, createClient } from "@connectrpc/connect";

import { AlertService } from "../gen/pulseward/v1/alert_pb";
import { IngestService } from "../gen/pulseward/v1/ingest_pb";
import { ProfileService } from "../gen/pulseward/v1/profile_pb";
import { RegistryService } from "../gen/pulseward/v1/registry_pb";
import { VitalsService } from "../gen/pulseward/v1/vitals_pb";
import { createTransport } from "./transport";

const transport = createTransport(globalThis.location?.origin ?? "http://127.0.0.1");

const all = {
  alerts: createClient(AlertService, transport),
  vitals: createClient(VitalsService, transport),
  ingest: createClient(IngestService, transport),
  registry: createClient(RegistryService, transport),
  profiles: createClient(ProfileService, transport),
};

/** Alerts, and the work on them. */
export const alerts = (): Client<typeof AlertService> => all.alerts;
/** Vitals, live and past. */
export const vitals = (): Client<typeof VitalsService> => all.vitals;
/** Devices' connections, and what was refused. */
export const ingest = (): Client<typeof IngestService> => all.ingest;
/** Sites, patients, devices. */
export const registry = (): Client<typeof RegistryService> => all.registry;
/** Limits in force. */
export const profiles = (): Client<typeof ProfileService> => all.profiles;
