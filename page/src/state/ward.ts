/**
 * The ward that the page shows: the models, and signals that say when to look at them again.
 *
 * Each row has a cell of its own, so that a reading touches one tile and nothing else. The order of
 * rows is made anew when alerts or monitoring change, at most once per frame.
 */
import { computed, type Signal, signal } from "@preact/signals";

import type { Alert, WatchAlertsResponse } from "../gen/pulseward/v1/alert_pb";
import type { WatchVitalsResponse } from "../gen/pulseward/v1/vitals_pb";
import { type Change, Ward } from "../model/alerts";
import { Vitals } from "../model/vitals";
import { keyOf, patientKey, type Row, rowsOf, tallyCalling } from "../model/ward";
import { drawSoon, inNextFrame } from "./frames";

/** One row's cell. */
export class Cell {
  /** Changes when its vitals are to be drawn anew. */
  readonly turn = signal(0);
  /** Whether it is in sight, and so drawn at all. */
  isInSight = false;

  /** What it shows has changed. */
  changed(): void {
    if (this.isInSight) drawSoon(this);
  }

  /** It came in sight, or went out of it. */
  sighted(isInSight: boolean): void {
    this.isInSight = isInSight;
    this.changed();
  }

  draw(): void {
    this.turn.value += 1;
  }
}

/** What is known of alerts and monitoring. */
export const ward = new Ward();
/** What is known of vitals. */
export const vitals = new Vitals();
/** Everybody, in the order to be read. */
export const rows = signal<readonly Row[]>([]);
/** How many alerts call, by priority, at all sites. */
export const calling = computed(() => tallyCalling(rows.value));
/** Sites of those who are watched, by id. */
export const sites = signal<readonly string[]>([]);
/** Whether a snapshot was ever complete: an empty ward before that says nothing. */
export const isKnown = signal(false);
/** Changes with everything that happens to alerts or monitoring. */
export const alertTurn = signal(0);

const cells = new Map<string, Cell>();
const alertTurns = new Map<string, Signal<number>>();

/** The cell of a row. */
export function cellOf(key: string): Cell {
  const cell = cells.get(key) ?? new Cell();
  cells.set(key, cell);
  return cell;
}

/** Changes with each event of this alert. */
export function turnOf(alertId: string): Signal<number> {
  const turn = alertTurns.get(alertId) ?? signal(0);
  alertTurns.set(alertId, turn);
  return turn;
}

/** The alert as it stands, while it is open. Read `turnOf` or `alertTurn` to be told of changes. */
export function openAlert(alertId: string): Alert | undefined {
  return ward.open.get(alertId);
}

/** Takes a message of the alert stream. */
export function takeAlerts(message: WatchAlertsResponse): Change {
  const change = ward.take(message);
  switch (change.kind) {
    case "alert":
      bump(alertTurns.get(change.alert.alertId));
      cellOf(keyOf(change.alert)).changed();
      reorder();
      break;
    case "left":
      vitals.leave(change.patientId);
      cells.delete(patientKey(change.patientId));
      // Also of what is over: a story that is looked at may be theirs.
      for (const turn of alertTurns.values()) bump(turn);
      reorder();
      break;
    case "monitoring":
      reorder();
      break;
    case "live":
      isKnown.value = true;
      for (const turn of alertTurns.values()) bump(turn);
      vitals.keep(ward.patients);
      reorder();
      break;
  }
  return change;
}

/** Somebody else looks: nothing of what was shown is theirs. */
export function forgetWard(): void {
  ward.forget();
  vitals.keep(ward.patients);
  isKnown.value = false;
  rows.value = [];
  sites.value = [];
  cells.clear();
  alertTurns.clear();
}

/** Takes a message of the vitals stream. */
export function takeVitals({ message }: WatchVitalsResponse): void {
  if (message.case === "leftScope") {
    vitals.leave(message.value.patientId);
    cellOf(patientKey(message.value.patientId)).changed();
  }
  if (message.case !== "reading" || message.value.reading === undefined) return;
  const { patientId, reading } = message.value;
  if (vitals.push(patientId, reading)) cellOf(patientKey(patientId)).changed();
}

/** Has everything in sight drawn anew: ages go on by themselves. */
export function agesGoOn(): void {
  for (const cell of cells.values()) if (cell.isInSight) cell.changed();
}

function bump(turn: Signal<number> | undefined): void {
  if (turn !== undefined) turn.value += 1;
}

function reorder(): void {
  inNextFrame(order);
}

function order(): void {
  const before = new Map(rows.peek().map((it) => [it.key, it]));
  const next = rowsOf(ward).map((it) => sameAs(before.get(it.key), it));
  rows.value = next;
  alertTurn.value += 1;
  const ids = new Set(next.filter((it) => it.patientId !== "").map((it) => it.siteId));
  const sorted = [...ids].sort();
  if (sorted.join("\n") !== sites.peek().join("\n")) sites.value = sorted;
}

/** The row before where nothing of it changed, so that its tile is not drawn anew. */
function sameAs(before: Row | undefined, row: Row): Row {
  const isSame =
    before !== undefined &&
    before.monitoring === row.monitoring &&
    before.alerts.length === row.alerts.length &&
    before.alerts.every((it, index) => it === row.alerts[index]);
  return isSame ? before : row;
}
