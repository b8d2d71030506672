/** Begins: colours, address, keys, clock, access; then the page. */
import { render } from "preact";

import { findAccess } from "./api/probe";
import { App } from "./app";
import { followAddress } from "./router";
import { startClock } from "./state/clock";
import { judge, startFeed } from "./state/feed";
import { limitsGoOn } from "./state/lookups";
import { takeNews } from "./state/news";
import { agesGoOn } from "./state/ward";
import { startShortcuts } from "./ui/shortcuts";
import { startTabTitle } from "./ui/tab-title";
import { startTheme } from "./ui/theme";

import "./styles/theme.css";
import "./styles/base.css";
import "./styles/ui.css";
import "./styles/head.css";
import "./styles/login.css";
import "./styles/actions.css";

startTheme();
followAddress();
startShortcuts();
startTabTitle();
startFeed(takeNews);
startClock(() => {
  judge();
  agesGoOn();
  limitsGoOn();
});
void findAccess();

const page = document.getElementById("page");
if (page !== null) render(<App />, page);
