/**
 * From login to an acknowledged alert without a mouse: the focus is where one expects it, seen all
 * the time, and comes back from dialogs.
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";

import { ask, live, measure, sendByEnter, story, tile } from "./story";

await story(async (desk) => {
  const page = await desk.page();
  // Whoever comes to the login may type.
  await page.getByLabel("Token", { exact: true }).waitFor();
  await focusIs(page, "input[name=token]");
  await page.keyboard.type(String(desk.given.token));
  await page.keyboard.press("Enter");
  await live(page);
  await measure("cia", "spo2", 80);
  await page.locator('[data-key="p:cia"].tile-high').waitFor();

  // The keys stay with the tile that they were at; the first is that of the worst alert.
  await pressUntil(page, "Tab", ".tile .tile-link");
  await page.keyboard.press("Home");
  await focusIs(page, '[data-key="p:cia"] .tile-link');
  await focusIsSeen(page);
  await page.keyboard.press("ArrowRight");
  await focusIs(page, '[data-key="p:ada"] .tile-link');
  await page.keyboard.press("ArrowLeft");
  await focusIs(page, '[data-key="p:cia"] .tile-link');

  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys and signs" }).waitFor();
  await page.keyboard.press("Escape");
  await focusIs(page, '[data-key="p:cia"] .tile-link');

  // The story, and back.
  await page.keyboard.press("o");
  await page.getByRole("heading", { name: "spo2-low of cia" }).waitFor();
  await focusIs(page, "main h1");
  await page.keyboard.press("a");
  const dialog = page.getByRole("dialog", { name: "Acknowledge" });
  await dialog.waitFor();
  await focusIs(page, "dialog textarea");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await page.keyboard.press("w");
  await tile(page, "cia").waitFor();

  // By buttons, not by keys alone.
  await pressUntil(page, "Tab", '[data-key="p:cia"] .tile-answer');
  await focusIsSeen(page);
  await page.keyboard.press("Enter");
  await focusIs(page, "dialog textarea");
  await page.keyboard.type("with the patient");
  await sendByEnter(page);
  await dialog.waitFor({ state: "detached" });
  await page.locator('[data-key="p:cia"].tile-high.is-quiet').waitFor();
  const stored = await ask<{ phase: string; actor: string }[]>("stored events", { least: 2 });
  assert.deepEqual(
    stored.map((it) => [it.phase, it.actor]),
    [
      ["start", ""],
      ["acknowledge", "nora"],
    ],
  );
  // The button has gone with what it did; the keyboard goes on from the same patient. From which of
  // their links depends on what came first, the answer or the stream.
  await focusIs(page, '[data-key="p:cia"] a');
});

async function focusIs(page: Page, selector: string): Promise<void> {
  await page.locator(`${selector}:focus`).waitFor();
}

async function pressUntil(page: Page, key: string, selector: string): Promise<void> {
  const wanted = page.locator(`${selector}:focus`);
  for (let presses = 0; presses < 40; presses += 1) {
    if ((await wanted.count()) > 0) return;
    await page.keyboard.press(key);
  }
  const focused = await page.evaluate(() => document.activeElement?.outerHTML);
  assert.fail(`${key} does not come to ${selector}, but to ${focused}`);
}

/** Whether where the focus is can be seen: by an outline, or a shadow. */
async function focusIsSeen(page: Page): Promise<void> {
  const look = await page.evaluate(() => {
    const element = document.activeElement as HTMLElement;
    const places = [element, element.closest(".tile")].filter((it) => it !== null);
    return places.map((it) => {
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(it);
      return { outlineStyle, outlineWidth, boxShadow };
    });
  });
  const isSeen = look.some((it) => it.outlineStyle !== "none" || it.boxShadow !== "none");
  assert(isSeen, `the focus is not seen: ${JSON.stringify(look)}`);
}
