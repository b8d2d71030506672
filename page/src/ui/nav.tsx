/** The head of the page: where one can go, whether it is live, what calls, who is signed in. */
import { access, signOut } from "../api/session";
import { Priority } from "../gen/pulseward/v1/profile_pb";
import { href, type Route, route } from "../router";
import { calling, isKnown } from "../state/ward";
import { LiveMark } from "./banner";
import { Button } from "./button";
import { PriorityMark } from "./priority-mark";
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
      {isKnown.value && <Calling />}
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

/** What calls anywhere, in every view: whoever looks at devices sees a new alert, too. */
function Calling() {
  const { high, medium, low } = calling.value;
  const all = [
    [Priority.HIGH, high],
    [Priority.MEDIUM, medium],
    [Priority.LOW, low],
  ] as const;
  return (
    <a class="calling is-live-content" href={href.ward()}>
      <span class="calling-word">{high + medium + low === 0 ? "no signal" : "signals"}</span>
      {all
        .filter(([, count]) => count > 0)
        .map(([priority, count]) => (
          <span key={priority} class="calling-count">
            <b>{count}</b> <PriorityMark priority={priority} />
          </span>
        ))}
    </a>
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
