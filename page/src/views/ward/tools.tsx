/** What of the ward to look at: a site, and a find box. */
import { filter } from "../../state/filter";
import { sites } from "../../state/ward";

export function Tools() {
  const { siteId, text } = filter.value;
  const all =
    siteId === "" || sites.value.includes(siteId) ? sites.value : [siteId, ...sites.value];
  return (
    <search class="ward-tools">
      {all.length > 1 && (
        <label>
          <span class="unseen">Site</span>
          <select
            value={siteId}
            onChange={(event) => {
              filter.value = { ...filter.value, siteId: event.currentTarget.value };
            }}
          >
            <option value="">All sites</option>
            {all.map((it) => (
              <option key={it} value={it}>
                {it}
              </option>
            ))}
          </select>
        </label>
      )}
      <label class="ward-find">
        <span class="unseen">Find a patient, site, device or rule</span>
        <input
          id="find"
          type="search"
          placeholder="Find  /"
          autocomplete="off"
          spellcheck={false}
          value={text}
          onInput={(event) => {
            filter.value = { ...filter.value, text: event.currentTarget.value };
          }}
          onKeyDown={clearOnEscape}
        />
      </label>
    </search>
  );
}

/** Escape clears what was typed, and goes back to the ward. */
function clearOnEscape(event: KeyboardEvent): void {
  if (event.key !== "Escape" && event.key !== "Enter") return;
  if (event.key === "Escape") filter.value = { ...filter.value, text: "" };
  document.querySelector<HTMLElement>(".tile.is-current .tile-link")?.focus();
}
