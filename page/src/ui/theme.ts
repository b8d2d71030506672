/**
 * Dark or light: as the system says, or as chosen here and kept in this browser.
 *
 * `data-theme` of the document always says which is in force: the style sheet goes by it alone.
 * Colours stand there as custom properties; what draws on a canvas reads them here, and reads
 * `themeTurn.value` so that it is drawn anew when they change.
 */
import { signal } from "@preact/signals";

export type Theme = "system" | "dark" | "light";

const STORED = "pulseward.theme";
const DARK = "(prefers-color-scheme: dark)";
const FORCED = "(forced-colors: active)";

/** What was chosen. */
export const theme = signal<Theme>(stored());
/** Counts changes of colours. */
export const themeTurn = signal(0);

/** Chooses. */
export function chooseTheme(chosen: Theme): void {
  theme.value = chosen;
  try {
    localStorage.setItem(STORED, chosen);
  } catch {
    // Not kept, then.
  }
  apply();
}

/** From one to the next. */
export function nextTheme(): void {
  const all: Theme[] = ["system", "dark", "light"];
  chooseTheme(all[(all.indexOf(theme.value) + 1) % all.length] ?? "system");
}

/** Begins: before anything is drawn. */
export function startTheme(): void {
  apply();
  for (const query of [DARK, FORCED]) matchMedia(query).addEventListener("change", apply);
}

/** A colour of the style sheet as it is now: `colour("trend")` is `--trend`. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** CSS pixels of one rem. */
export function remPixels(): number {
  return Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
}

function apply(): void {
  document.documentElement.dataset.theme = inForce();
  themeTurn.value += 1;
}

function inForce(): "dark" | "light" {
  if (theme.value !== "system") return theme.value;
  return matchMedia(DARK).matches ? "dark" : "light";
}

function stored(): Theme {
  try {
    const text = localStorage.getItem(STORED);
    return text === "dark" || text === "light" ? text : "system";
  } catch {
    return "system";
  }
}
