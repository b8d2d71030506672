/**
 * Where the reader is: a hash route. Nothing behind `#` reaches a server, its log, or another page.
 */
import { signal } from "@preact/signals";

/** A place of the page. */
export type Route =
  | { view: "ward" }
  | { view: "patient"; patientId: string }
  | { view: "alert"; alertId: string }
  | { view: "history"; patientId: string; query: URLSearchParams }
  | { view: "devices" }
  | { view: "device"; deviceId: string }
  | { view: "burden"; query: URLSearchParams };

/** Where the reader is now. */
export const route = signal<Route>(parse(globalThis.location?.hash ?? ""));

/** Reads an address; what it does not know is the ward. */
export function parse(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const query = new URLSearchParams(search);
  const parts = path.split("/").map(decoded);
  const [view, first, second] = parts;
  if (view === "ward" && first === "patient" && second)
    return { view: "patient", patientId: second };
  if (view === "alert" && first) return { view: "alert", alertId: first };
  if (view === "history" && first) return { view: "history", patientId: first, query };
  if (view === "devices" && first) return { view: "device", deviceId: first };
  if (view === "devices") return { view: "devices" };
  if (view === "burden") return { view: "burden", query };
  return { view: "ward" };
}

/** Addresses for links. */
export const href = {
  ward: () => "#/ward",
  patient: (patientId: string) => `#/ward/patient/${encodeURIComponent(patientId)}`,
  alert: (alertId: string) => `#/alert/${encodeURIComponent(alertId)}`,
  history: (patientId: string, query: Record<string, string> = {}) =>
    `#/history/${encodeURIComponent(patientId)}${searchOf(query)}`,
  devices: () => "#/devices",
  device: (deviceId: string) => `#/devices/${encodeURIComponent(deviceId)}`,
  burden: (query: Record<string, string> = {}) => `#/burden${searchOf(query)}`,
};

/** Goes there; the way back leads here. */
export function go(address: string): void {
  globalThis.location.hash = address;
}

/** Changes the address in place, such as a filter that was set: the way back skips it. */
export function replace(address: string): void {
  globalThis.history.replaceState(null, "", address);
  route.value = parse(address);
}

/** Follows the address bar. */
export function followAddress(): void {
  globalThis.addEventListener("hashchange", () => {
    route.value = parse(globalThis.location.hash);
  });
}

function searchOf(query: Record<string, string>): string {
  const text = new URLSearchParams(query).toString();
  return text === "" ? "" : `?${text}`;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
