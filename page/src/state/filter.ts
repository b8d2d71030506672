/** What of the ward is looked at: kept while one looks at a patient and comes back. */
import { signal } from "@preact/signals";

import type { Filter } from "../model/ward";

/** What is looked for. */
export const filter = signal<Filter>({ siteId: "", text: "" });
