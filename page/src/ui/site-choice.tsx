/** Which site is shown: one, or all that the caller may see. */
import type { Site } from "../gen/pulseward/v1/registry_pb";

interface Props {
  sites: readonly Site[];
  /** Empty for all. */
  siteId: string;
  onChoose: (siteId: string) => void;
}

export function SiteChoice({ sites, siteId, onChoose }: Props) {
  // Where there is one site, there is nothing to choose.
  if (sites.length < 2 && siteId === "") return null;
  return (
    <label class="field-inline">
      Site
      <select value={siteId} onChange={(event) => onChoose(event.currentTarget.value)}>
        <option value="">all of yours</option>
        {sites.map((site) => (
          <option key={site.siteId} value={site.siteId}>
            {site.displayName === "" ? site.siteId : `${site.displayName} (${site.siteId})`}
          </option>
        ))}
      </select>
    </label>
  );
}
