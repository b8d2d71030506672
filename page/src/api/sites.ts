/** The sites that the caller may see. */
import type { Site } from "../gen/pulseward/v1/registry_pb";
import { registry } from "./clients";

/** More sites than this are not offered to choose from. */
const SITES_MAX = 1_000;

/** By id. */
export async function listSites(signal: AbortSignal): Promise<Site[]> {
  const found: Site[] = [];
  for (let pageToken = ""; ; ) {
    const page = await registry().listSites({ pageSize: SITES_MAX, pageToken }, { signal });
    found.push(...page.sites);
    pageToken = page.nextPageToken;
    if (pageToken === "" || found.length >= SITES_MAX) return found;
  }
}
