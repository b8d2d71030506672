/**
 * A patient of another site is not there: in no view, not by their address, and not in anything that
 * the service tells the page. What is shown at their address is what is shown of somebody who does
 * not exist.
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";

import { alertOf, ask, live, measure, signIn, story, tile } from "./story";
import { everythingTold, keepAnswers } from "./told";

/** Names of theirs that no other text contains. */
const THEIRS = /solveig|131/;
const NOBODY = "nobody-at-all";

await story(async (desk) => {
  const { north, south } = desk.given.tokens as Record<string, string>;
  const theirNurse = await desk.signedIn(south ?? "");
  await measure("solveig", "heart_rate", 131);
  await alertOf(theirNurse, "solveig", "hr-high").waitFor();
  const [event] = await ask<{ alert: string }[]>("stored events", { least: 1 });
  assert.equal(await tile(theirNurse, "ada").count(), 0);

  const page = await desk.page({ prepare: keepAnswers });
  await signIn(page, north ?? "");
  await live(page);
  await tile(page, "ada").getByText("72").first().waitFor();
  for (const view of ["#/ward", "#/devices", "#/burden"]) {
    const text = await shown(page, view);
    assert(!THEIRS.test(text), `${view} shows them: ${text}`);
  }
  const nobodysAlert = "00000000-0000-5000-8000-000000000000";
  for (const [view, theirs, nobodys] of [
    ["#/ward/patient/", "solveig", NOBODY],
    ["#/history/", "solveig", NOBODY],
    ["#/devices/", "wearable-solveig", NOBODY],
    ["#/alert/", event?.alert ?? "", nobodysAlert],
  ] as const) {
    const text = (await shown(page, view + theirs)).replaceAll(theirs, "ID");
    const expected = (await shown(page, view + nobodys)).replaceAll(nobodys, "ID");
    assert.equal(text, expected, `${view} tells them from nobody`);
  }
  const told = await everythingTold(page);
  const ours = told.match(/wearable-ada/)?.length ?? 0;
  assert(ours > 0, "what is told can be read");
  const at = told.search(/solveig/);
  assert.equal(at, -1, `the page was told of them: ${told.slice(at - 200, at + 40)}`);
});

/** What a view says, once it has asked for everything and before anything changes. */
async function shown(page: Page, view: string): Promise<string> {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, view);
  await page.locator("main h1").waitFor();
  await page.waitForFunction(() => {
    const main = document.querySelector("main")?.textContent ?? "";
    return !/waiting for the service|Waiting for the ward/.test(main);
  });
  const main = page.locator("main");
  return (await main.innerText()).replaceAll(/\d+:\d+(:\d+)?/g, "TIME");
}
