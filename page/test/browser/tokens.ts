/**
 * A wrong token, one that has expired, and one that expires while the page is looked at: each is said
 * in words, what was shown stays, and with a new token nothing is missed.
 */
import assert from "node:assert/strict";

import { alertOf, ask, live, measure, signIn, story, tile } from "./story";
import { eventsTold, keepAnswers } from "./told";

const token = async (seconds: number) => (await ask<{ token: string }>("token", { seconds })).token;

await story(async (desk) => {
  const page = await desk.page({ prepare: keepAnswers });
  const refusal = page.locator(".login .problem");
  await signIn(page, "not a token");
  await refusal.getByText("This is not a token that the service accepts.").waitFor();
  await signIn(page, await token(-60));
  await refusal.getByText("Your token has expired.").waitFor();
  assert.equal(await page.locator(".tile").count(), 0, "somebody without a token sees patients");

  await signIn(page, await token(8));
  await live(page);
  await measure("ada", "heart_rate", 130);
  await alertOf(page, "ada", "hr-high").waitFor();
  await refusal.getByText("Your token has expired.").waitFor();
  await page.locator("html[data-live=false]").waitFor();
  await alertOf(page, "ada", "hr-high").waitFor();
  await measure("ada", "heart_rate", 72);
  await measure("bea", "spo2", 80);
  await measure("cia", "heart_rate", 130);
  await measure("cia", "heart_rate", 72);

  await signIn(page, await token(3600));
  await live(page);
  await page.locator('[data-key="p:bea"].tile-high').waitFor();
  await tile(page, "ada").getByText("no open alert").waitFor();
  const told = await eventsTold(page);
  const stored = await ask<{ phase: string; alert: string }[]>("stored events", { least: 5 });
  const happened = stored.map((it) => `${it.phase} ${it.alert}`);
  assert.equal(happened.length, 5, `${happened}`);
  assert.deepEqual(told.toSorted(), happened.toSorted(), "missed, or told twice");
  const address = page.url();
  assert(!address.includes("eyJ"), address);
});
