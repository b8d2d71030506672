/** Everybody who is watched, in the order in which they want to be seen. */
import { computed, signal } from "@preact/signals";
import { useCallback, useLayoutEffect, useRef, useState } from "preact/hooks";

import { ask } from "../../actions/asking";
import type { Task } from "../../actions/perform";
import type { Alert } from "../../gen/pulseward/v1/alert_pb";
import { Settled } from "../../model/haste";
import { loudest, matches, type Row, rowName, tally } from "../../model/ward";
import { go, href } from "../../router";
import { filter } from "../../state/filter";
import { isKnown, rows } from "../../state/ward";
import { announce } from "../../ui/announcer";
import { type Shortcut, useShortcuts } from "../../ui/shortcuts";
import { View } from "../../ui/view";
import { Tally } from "./tally";
import { Tile } from "./tile";
import { Tools } from "./tools";
import "../../styles/ward.css";

/** The row that keys act on, while one looks elsewhere too. */
const current = signal("");

const shown = computed(() => rows.value.filter((it) => matches(it, filter.value)));
const hidden = computed(() => rows.value.filter((it) => !matches(it, filter.value)));

export function WardView() {
  const list = useRef<HTMLUListElement>(null);
  const onCurrent = useCallback((key: string) => {
    current.value = key;
  }, []);
  const [settled] = useState(() => new Settled());
  useShortcuts("Ward", keys(list, settled));
  const all = shown.value;
  const at = all.some((it) => it.key === current.value) ? current.value : (all[0]?.key ?? "");
  useLayoutEffect(() => {
    // Whoever comes to the top later does not take its place.
    if (at !== "") current.value = at;
    settled.take(all, performance.now());
  }, [at, all, settled]);
  useKeptFocus(list, all);
  return (
    <View name="ward" title="Ward" tabTitle="Ward" titleUnseen>
      <div class="ward-line">
        <Tally all={tally(rows.value)} hidden={hidden.value} />
        <Tools />
      </div>
      {all.length === 0 && <Nobody />}
      <ul ref={list} class="tiles is-live-content" aria-label="Patients, the worst alert first">
        {all.map((row) => (
          <Tile key={row.key} row={row} isCurrent={row.key === at} onCurrent={onCurrent} />
        ))}
      </ul>
    </View>
  );
}

function Nobody() {
  if (!isKnown.value) {
    return (
      <p class="waiting" role="status">
        Waiting for the ward…
      </p>
    );
  }
  const isFiltered = rows.value.length > 0;
  return (
    <p class="waiting">
      {isFiltered
        ? "Nobody is what you look for. Clear the find box or the site."
        : "Nobody is enrolled at your sites."}
    </p>
  );
}

function keys(list: { current: HTMLUListElement | null }, settled: Settled): Shortcut[] {
  const move = (by: (at: number, count: number) => number) => () => moveFocus(list.current, by);
  const answer = (key: string, task: Task, does: string) => ({
    key,
    does,
    run: () => askSettled(task, settled),
  });
  const columns = () => columnCount(list.current);
  return [
    { key: "ArrowRight", does: "the next one", run: move((at) => at + 1) },
    { key: "ArrowLeft", does: "the one before", run: move((at) => at - 1) },
    { key: "ArrowDown", does: "one row down", run: move((at) => at + columns()) },
    { key: "ArrowUp", does: "one row up", run: move((at) => at - columns()) },
    { key: "j", does: "the next one", run: move((at) => at + 1) },
    { key: "k", does: "the one before", run: move((at) => at - 1) },
    { key: "Home", does: "the first: the worst alert", run: move(() => 0) },
    { key: "End", does: "the last", run: move((_, count) => count - 1) },
    {
      key: "a",
      does: "acknowledge their worst alert that calls",
      run: answer("a", "acknowledge", "").run,
    },
    answer("p", "pause", "pause its signal"),
    answer("r", "reset", "reset it, once its condition has ended"),
    answer("s", "assign", "assign it"),
    answer("n", "note", "add a note"),
    { key: "o", does: "the alert's story", run: openStory },
    { key: "h", does: "the patient's history", run: openHistory },
    { key: "/", does: "find", run: () => document.getElementById("find")?.focus() },
  ];
}

/** Asks about what has been seen; not about what came in its place as the key was pressed. */
function askSettled(task: Task, settled: Settled): void {
  const row = currentRow();
  if (row === undefined) return;
  if (settled.is(row.key, performance.now())) ask(task, currentAlert());
  else announce(`${rowName(row)}: it has just changed, look.`, "assertive");
}

function currentRow(): Row | undefined {
  const all = shown.peek();
  return all.find((it) => it.key === current.peek()) ?? all[0];
}

/** The one that the tile's button is about. */
function currentAlert(): Alert | undefined {
  return loudest(currentRow()?.alerts ?? []);
}

function openStory(): void {
  const alertId = currentAlert()?.alertId;
  if (alertId !== undefined) go(href.alert(alertId));
}

function openHistory(): void {
  const patientId = currentRow()?.patientId ?? "";
  if (patientId !== "") go(href.history(patientId));
}

function moveFocus(list: HTMLElement | null, by: (at: number, count: number) => number): void {
  const all = shown.peek();
  const isInList = list?.contains(document.activeElement) ?? false;
  const before = all.findIndex((it) => it.key === current.peek());
  const to = isInList ? by(Math.max(0, before), all.length) : Math.max(0, before);
  const row = all[Math.min(Math.max(0, to), all.length - 1)];
  if (row !== undefined) focusTile(list, row.key);
}

function focusTile(list: HTMLElement | null, key: string): void {
  current.value = key;
  const tile = list?.querySelector(`[data-key="${CSS.escape(key)}"]`);
  tile?.querySelector<HTMLElement>(".tile-link")?.focus();
}

function columnCount(list: HTMLElement | null): number {
  if (list === null) return 1;
  return getComputedStyle(list).gridTemplateColumns.split(" ").length;
}

/** A tile that changes its place loses the focus in browsers: it is given back. */
function useKeptFocus(list: { current: HTMLUListElement | null }, all: readonly Row[]): void {
  const focused = useRef<{ key: string; element: HTMLElement } | undefined>(undefined);
  const active = document.activeElement;
  const tile = active instanceof HTMLElement ? active.closest<HTMLElement>(".tile") : null;
  const key = tile?.dataset.key;
  focused.current =
    key !== undefined && active instanceof HTMLElement ? { key, element: active } : undefined;
  useLayoutEffect(() => {
    const before = focused.current;
    if (before === undefined || document.activeElement === before.element) return;
    if (before.element.isConnected) before.element.focus({ preventScroll: true });
    else if (all.some((it) => it.key === before.key)) focusTile(list.current, before.key);
  });
}
