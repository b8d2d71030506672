/** The title of the browser's tab: whether it is live, what calls, and the view. No patient's id. */
import { effect, signal } from "@preact/signals";

import { shown } from "../state/live";
import { calling } from "../state/ward";
import { tabTitle } from "../words/sentences";

/** The name of the view that is there; empty for none. */
export const viewName = signal("");

/** Begins to keep the title, whichever view is there. */
export function startTabTitle(): void {
  effect(() => {
    document.title = tabTitle(viewName.value, shown.value.live, calling.value);
  });
}
