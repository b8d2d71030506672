/**
 * Two nurses answer one alert at the same moment: one does, the other learns that it was done, and by
 * whom. And what has become worse since it was seen is not acknowledged before it is seen.
 */
import assert from "node:assert/strict";
import type { Page, Route } from "playwright-core";

import { ask, type Desk, measure, sendByEnter, story, tile } from "./story";

interface Stored {
  patient: string;
  rule: string;
  phase: string;
  actor: string;
}

const stored = (least: number) => ask<Stored[]>("stored events", { least });

await story(async (desk) => {
  await oneOfTwoAcknowledges(desk);
  await noEscalationIsAcknowledgedUnseen(desk);
});

async function oneOfTwoAcknowledges(desk: Desk): Promise<void> {
  const tokens = desk.given.tokens as Record<string, string>;
  const names = ["nora", "milo"];
  const pages = await Promise.all(names.map((it) => desk.signedIn(tokens[it] ?? "")));
  await measure("ada", "spo2", 90);
  for (const page of pages) {
    await tile(page, "ada").getByRole("button", { name: "Acknowledge" }).click();
    await page.getByLabel("Note, if any").fill("on my way");
  }
  const release = await Promise.all(pages.map(holdAcknowledgements));
  await Promise.all(pages.map(sendByEnter));
  for (const it of release) (await it.held)();

  // One dialog closes; the other says who was first.
  const refused = await Promise.race(
    pages.map(async (page) => {
      await page.getByText("NOT ACKNOWLEDGED").waitFor();
      return page;
    }),
  );
  const [done] = pages.filter((it) => it !== refused) as [Page];
  const doneBy = names[pages.indexOf(done)] ?? "";
  await refused.getByText(`It was acknowledged by ${doneBy}`, { exact: false }).waitFor();
  await done.locator("dialog").waitFor({ state: "detached" });
  for (const page of pages) await tile(page, "ada").locator(".is-quiet").first().waitFor();
  const acknowledged = (await stored(2)).filter((it) => it.phase === "acknowledge");
  assert.deepEqual(
    acknowledged.map((it) => [it.patient, it.actor]),
    [["ada", doneBy]],
  );
  for (const page of pages) await page.context().close();
}

async function noEscalationIsAcknowledgedUnseen(desk: Desk): Promise<void> {
  const tokens = desk.given.tokens as Record<string, string>;
  const page = await desk.signedIn(tokens.nora ?? "");
  await measure("bea", "spo2", 90);
  await tile(page, "bea").getByRole("button", { name: "Acknowledge" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("MEDIUM").waitFor();
  const hold = await holdAcknowledgements(page);
  await sendByEnter(page);
  const release = await hold.held;
  await measure("bea", "spo2", 80);
  await page.locator('[data-key="p:bea"].tile-high').waitFor();
  release();

  await dialog.getByText("Its priority has risen since you saw it.").waitFor();
  assert.deepEqual(await acknowledgedOf("bea", 4), []);
  const look = dialog.getByRole("button", { name: "I have seen that it is HIGH" });
  await look.click();
  await dialog.getByRole("button", { name: "Acknowledge", exact: true }).click();
  await dialog.waitFor({ state: "detached" });
  await page.locator('[data-key="p:bea"].tile-high.is-quiet').waitFor();
  assert.deepEqual(await acknowledgedOf("bea", 5), ["nora"]);

  // Where the stream was faster than the nurse, there is no button to press it with.
  await measure("cia", "spo2", 90);
  await tile(page, "cia").getByRole("button", { name: "Acknowledge" }).click();
  await dialog.getByRole("button", { name: "Acknowledge", exact: true }).waitFor();
  await measure("cia", "spo2", 80);
  await dialog.getByRole("button", { name: "I have seen that it is HIGH" }).waitFor();
  assert.equal(await dialog.getByRole("button", { name: "Acknowledge", exact: true }).count(), 0);
  assert.deepEqual(await acknowledgedOf("cia", 7), []);
}

/** Who has acknowledged something of a patient, once at least so much has happened at all. */
async function acknowledgedOf(patient: string, least: number): Promise<string[]> {
  const events = (await stored(least)).filter((it) => it.patient === patient);
  return events.filter((it) => it.phase === "acknowledge").map((it) => it.actor);
}

/** Holds what a page asks on its way; `held` is fulfilled once it is, with what lets it go on. */
async function holdAcknowledgements(page: Page): Promise<{ held: Promise<() => void> }> {
  let tell: (release: () => void) => void = () => undefined;
  const held = new Promise<() => void>((resolve) => {
    tell = resolve;
  });
  const hold = (route: Route) => {
    tell(() => void route.continue());
  };
  await page.route("**/AcknowledgeAlert", hold, { times: 1 });
  return { held };
}
