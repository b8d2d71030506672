/** The head of the page: where one can go, whether it is live, who is signed in. */
import { access, signOut } from "../api/session";
import { href, type Route, route } from "../router";
import { LiveMark } from "./banner";
import { Button } from "./button";
import { nextTheme, theme } from "./theme";

const PLACES: { name: string; address: string; views: Route["view"][] }[] = [
  { name: "Ward", address: href.ward(), views: ["ward", "patient", "alert", "history"] },
  { name: "Devices", address: href.devices(), views: ["devices", "device"] },
  { name: "Alarm burden", address: href.burden(), views: ["burden"] },
];

export function Head({ onHelp }: { onHelp: () => void }) {
  return (
    <header class="head">
      <button type="button" class="skip" onClick={skip}>
        Skip to the content
      </button>
      <nav class="head-nav" aria-label="Pages">
        {PLACES.map((place) => (
          <a key={place.name} href={place.address} aria-current={current(place.views)}>
            {place.name}
          </a>
        ))}
      </nav>
      <LiveMark />
      <div class="head-tools">
        <Caller />
        <Button kind="quiet" onPress={nextTheme} label={`Colours: ${theme.value}. Change`}>
          <span aria-hidden="true">{{ system: "◐", dark: "☾", light: "☀" }[theme.value]}</span>
        </Button>
        <Button kind="quiet" onPress={onHelp} label="Keys and signs">
          <span aria-hidden="true">?</span>
        </Button>
      </div>
    </header>
  );
}

function Caller() {
  const now = access.value;
  if (now.kind !== "token") return null;
  const { subject, role } = now.bearer;
  return (
    <span class="caller">
      <span class="caller-name" title={role}>
        {subject ?? "signed in"}
        {role !== undefined && <span class="caller-role"> {role}</span>}
      </span>
      <Button kind="quiet" onPress={signOut}>
        Sign out
      </Button>
    </span>
  );
}

function current(views: Route["view"][]): "page" | undefined {
  return views.includes(route.value.view) ? "page" : undefined;
}

/** No link: the address is the route's. */
function skip(): void {
  document.querySelector<HTMLElement>("main h1")?.focus();
}
