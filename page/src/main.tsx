/** Begins: colours, address, keys, clock, access; then the page. */
import { effect } from "@preact/signals";
import { render } from "preact";

import { forgetActions } from "./actions/late";
import { findAccess } from "./api/probe";
import { otherCallers } from "./api/session";
import { App } from "./app";
import { followAddress } from "./router";
import { startClock } from "./state/clock";
import { judge, startFeed } from "./state/feed";
import { watchFaults } from "./state/live";
import { forgetLimits, limitsGoOn } from "./state/lookups";
import { takeNews } from "./state/news";
import { agesGoOn, forgetWard } from "./state/ward";
import { startShortcuts } from "./ui/shortcuts";
import { startTabTitle } from "./ui/tab-title";
import { startTheme } from "./ui/theme";

import "./styles/theme.css";
import "./styles/base.css";
import "./styles/ui.css";
import "./styles/head.css";
import "./styles/login.css";
import "./styles/actions.css";

watchFaults();
startTheme();
followAddress();
startShortcuts();
startTabTitle();
startFeed(takeNews);
const tick = startClock(() => {
  judge();
  agesGoOn();
  limitsGoOn();
});
// A tab that nobody saw may have been held up: what it says is looked at before it is read.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) tick();
});
void findAccess();
effect(() => {
  if (otherCallers.value > 0) forgetAll();
});

/** Somebody else has signed in: nothing of what was shown is theirs. */
function forgetAll(): void {
  forgetWard();
  forgetLimits();
  forgetActions();
}

const page = document.getElementById("page");
if (page !== null) render(<App />, page);
