/** What of the ward is looked at: kept while one looks at a patient and comes back. */
import { computed, signal } from "@preact/signals";

import { type Filter, vitalSites } from "../model/ward";
import { sites } from "./ward";

/** What is looked for. */
export const filter = signal<Filter>({ siteId: "", text: "" });

const chosenSite = computed(() => filter.value.siteId);
/** Sites whose vitals are watched, and those that are left out. */
export const sitesOfVitals = computed(() => vitalSites(sites.value, chosenSite.value));
