/**
 * The network falls silent, then breaks, while alerts begin and end; then it is back. The page says
 * within 25 s that it is not live, and afterwards has been told everything once.
 */
import assert from "node:assert/strict";

import { alertOf, ask, live, measure, say, signIn, story, tile } from "./story";
import { eventsTold, keepAnswers } from "./told";

const SILENCE_MAX_MS = 25_000;
/** For the page to be drawn. */
const SPARE_MS = 1000;

await story(async (desk) => {
  const page = await desk.page({ prepare: keepAnswers });
  await signIn(page, String(desk.given.token));
  await live(page);
  await measure("ada", "heart_rate", 130);
  await alertOf(page, "ada", "hr-high").waitFor();

  await ask("stall");
  const begun = Date.now();
  await measure("cia", "heart_rate", 135);
  await measure("ada", "heart_rate", 72);
  await page.locator("html[data-live=false]").waitFor();
  const silence = Date.now() - begun;
  say(`NOT LIVE ${silence} ms after the last that could arrive`);
  assert(silence < SILENCE_MAX_MS + SPARE_MS, `${silence} ms`);
  await page.getByText("NOT LIVE").first().waitFor();
  await page.getByText("Look at the patient.").waitFor();
  // What was shown stays, and is old.
  await alertOf(page, "ada", "hr-high").waitFor();

  await ask("cut");
  await measure("bea", "spo2", 80);
  await measure("cia", "heart_rate", 72);
  await ask("heal");
  await live(page);
  await tile(page, "ada").getByText("no open alert").waitFor();
  await page.locator('[data-key="p:bea"].tile-high').waitFor();
  await tile(page, "cia").getByText("no open alert").waitFor();
  await page.locator(".tile-alert:not(.is-none)").first().waitFor();
  assert.equal(await page.locator(".tile-alert:not(.is-none)").count(), 1);

  const told = await eventsTold(page);
  const stored = await ask<{ phase: string; alert: string }[]>("stored events", { least: 5 });
  const happened = stored.map((it) => `${it.phase} ${it.alert}`);
  assert.equal(happened.length, 5, `${happened}`);
  assert.deepEqual(told.toSorted(), happened.toSorted(), "missed, or told twice");
});
