/** The page: its head, the line that says whether it is live, and the view that was asked for. */
import { Fragment } from "preact";
import { useState } from "preact/hooks";

import { Asking } from "./actions/action-dialog";
import { LateAnswers } from "./actions/late";
import { access, otherCallers } from "./api/session";
import { go, href, type Route, route } from "./router";
import { Announcer } from "./ui/announcer";
import { Banner } from "./ui/banner";
import { Guard } from "./ui/guard";
import { Help } from "./ui/help";
import { Head } from "./ui/nav";
import { useShortcuts } from "./ui/shortcuts";
import { nextTheme } from "./ui/theme";
import { AlertView } from "./views/alert/alert-view";
import { BurdenView } from "./views/burden/burden-view";
import { DeviceView } from "./views/devices/device-view";
import { DevicesView } from "./views/devices/devices-view";
import { HistoryView } from "./views/history/history-view";
import { LoginView } from "./views/login/login-view";
import { PatientView } from "./views/ward/patient-view";
import { WardView } from "./views/ward/ward-view";

export function App() {
  const [isHelpOpen, setHelpOpen] = useState(false);
  useShortcuts("Everywhere", [
    { key: "w", does: "the ward", run: () => go(href.ward()) },
    { key: "d", does: "devices", run: () => go(href.devices()) },
    { key: "b", does: "alarm burden", run: () => go(href.burden()) },
    { key: "t", does: "colours: as the system, dark, light", run: nextTheme },
    { key: "?", does: "this help", run: () => setHelpOpen(true) },
  ]);
  return (
    <>
      <div class="top">
        <Head onHelp={() => setHelpOpen(true)} />
        <Banner />
        <LateAnswers />
      </div>
      <main id="main">
        <Content />
      </main>
      <Announcer />
      <Asking />
      {isHelpOpen && <Help onClose={() => setHelpOpen(false)} />}
    </>
  );
}

/** Whether anything was ever shown: then it stays while one signs in again. */
let hadAccess = false;

function Content() {
  const now = access.value;
  if (now.kind === "open" || now.kind === "token") hadAccess = true;
  if (now.kind === "checking") {
    return (
      <p class="waiting" role="status">
        {now.why ?? "Asking the service…"}
      </p>
    );
  }
  if (now.kind === "login" && !hadAccess) return <LoginView />;
  return (
    <>
      {now.kind === "login" && <LoginView isOverContent />}
      {/* Nothing of what was shown is there for another caller. */}
      <Fragment key={otherCallers.value}>
        <Guard key={JSON.stringify(route.value)}>
          <CurrentView at={route.value} />
        </Guard>
      </Fragment>
    </>
  );
}

/** A key per subject: another patient is another view, and begins at its heading. */
function CurrentView({ at }: { at: Route }) {
  switch (at.view) {
    case "patient":
      return <PatientView key={at.patientId} patientId={at.patientId} />;
    case "alert":
      return <AlertView key={at.alertId} alertId={at.alertId} />;
    case "history":
      return <HistoryView key={at.patientId} patientId={at.patientId} query={at.query} />;
    case "devices":
      return <DevicesView />;
    case "device":
      return <DeviceView key={at.deviceId} deviceId={at.deviceId} />;
    case "burden":
      return <BurdenView query={at.query} />;
    case "ward":
      return <WardView />;
  }
}
