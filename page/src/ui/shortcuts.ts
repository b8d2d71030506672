/**
 * Keys: each view names its own while it is there. Single keys can be switched off, for those who
 * speak to their computer; they never act while something is typed, or behind a dialog.
 */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

export interface Shortcut {
  /** As `KeyboardEvent.key` has it: "a", "?", "Enter". */
  key: string;
  /** What it does, for the help. */
  does: string;
  run: (event: KeyboardEvent) => void;
}

const STORED = "pulseward.shortcuts";

/** Whether single keys do something. */
export const areShortcutsOn = signal(storedChoice());
/** What the help lists: groups of keys, the newest view's last. */
export const groups = signal<{ name: string; keys: readonly Shortcut[] }[]>([]);

/** Switches single keys on or off. */
export function chooseShortcuts(on: boolean): void {
  areShortcutsOn.value = on;
  try {
    localStorage.setItem(STORED, on ? "on" : "off");
  } catch {
    // Not kept, then.
  }
}

/** Offers keys while the caller is in the page. */
export function useShortcuts(name: string, keys: readonly Shortcut[]): void {
  const latest = useRef(keys);
  latest.current = keys;
  const names = keys.map((it) => it.key).join(" ");
  useEffect(() => {
    const group = {
      name,
      keys: latest.current.map(({ key, does }, index) => ({
        key,
        does,
        run: (event: KeyboardEvent) => latest.current[index]?.run(event),
      })),
    };
    groups.value = [...groups.peek(), group];
    return () => {
      groups.value = groups.peek().filter((it) => it !== group);
    };
  }, [name, names]);
}

/** Begins to listen. */
export function startShortcuts(): void {
  document.addEventListener("keydown", (event) => {
    if (!areShortcutsOn.peek() || isForSomethingElse(event)) return;
    const found = groups
      .peek()
      .toReversed()
      .flatMap((it) => it.keys)
      .find((it) => it.key === event.key);
    if (found === undefined) return;
    event.preventDefault();
    found.run(event);
  });
}

function isForSomethingElse(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return true;
  if (document.querySelector("dialog[open]") !== null) return true;
  const target = event.target;
  return target instanceof HTMLElement && target.matches("input, select, textarea");
}

function storedChoice(): boolean {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true;
  }
}
