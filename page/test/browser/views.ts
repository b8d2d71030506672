/**
 * Every view of a ward in the middle of a shift, in dark and light, on a phone and on a desktop: axe
 * finds nothing to object to. With `screenshots`, it also makes the pictures of the documentation.
 */
import assert from "node:assert/strict";
import axe from "axe-core";
import type { Page } from "playwright-core";

import { ask, type Desk, live, measure, say, sendByEnter, signIn, story, tile } from "./story";

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };
const LOOKS = [
  { colorScheme: "dark", size: DESKTOP, name: "desktop-dark" },
  { colorScheme: "light", size: DESKTOP, name: "desktop-light" },
  { colorScheme: "dark", size: PHONE, name: "phone-dark" },
  { colorScheme: "light", size: PHONE, name: "phone-light" },
] as const;

/** Which pictures the documentation shows, by view and look. */
const SHOWN = new Set([
  "ward desktop-dark",
  "ward desktop-light",
  "ward phone-dark",
  "patient desktop-light",
  "alert desktop-light",
  "acknowledge desktop-light",
  "history desktop-light",
  "history desktop-dark",
  "devices desktop-light",
  "device desktop-light",
  "refused desktop-light",
  "burden desktop-light",
  "help desktop-light",
  "login desktop-light",
  "not-live desktop-dark",
]);

/** What axe objects to. */
const wrong: string[] = [];

/** A view, and how one comes to it. */
type View = [name: string, come: (page: Page) => Promise<void>];

await story(async (desk) => {
  const prepare = async (page: Page) => {
    await page.addInitScript({ content: axe.source });
  };
  const page = await desk.page({ viewport: DESKTOP, prepare });
  await page.getByLabel("Token", { exact: true }).waitFor();
  await inEveryLook(desk, page, "login");
  await signIn(page, String(desk.given.token));
  await live(page);
  const [alert] = await aBusyWard(page);
  const views: View[] = [
    ["ward", (page) => go(page, "#/ward")],
    ["patient", (page) => go(page, "#/ward/patient/p-1002")],
    ["alert", (page) => go(page, `#/alert/${alert}`)],
    ["history", (page) => go(page, "#/history/p-1002?channel=spo2")],
    ["burden", (page) => go(page, "#/burden")],
    ["help", openHelp],
    ["acknowledge", openAcknowledge],
  ];
  for (const view of views) await lookAt(desk, page, view);
  // What was refused is for those who look after devices.
  const other = await desk.signedIn(String(desk.given.administrator), {
    viewport: DESKTOP,
    prepare,
  });
  const ofDevices: View[] = [
    ["devices", (page) => go(page, "#/devices")],
    ["refused", (page) => page.getByRole("button", { name: "Refused messages" }).click()],
    ["device", (page) => go(page, "#/devices/wearable-p-1007")],
  ];
  for (const view of ofDevices) await lookAt(desk, other, view);
  await page.keyboard.press("Escape");
  await go(page, "#/ward");
  await ask("cut");
  await page.locator("html[data-live=false]").waitFor();
  await inEveryLook(desk, page, "not-live");
  assert.deepEqual(wrong, []);
});

async function lookAt(desk: Desk, page: Page, [name, come]: View): Promise<void> {
  await come(page);
  await settled(page);
  await inEveryLook(desk, page, name);
}

/** Alerts of every priority, answered and not; a patient of whom nothing comes. Gives their ids. */
async function aBusyWard(page: Page): Promise<string[]> {
  await measure("p-1042", "spo2", 90);
  await measure("p-1011", "respiratory_rate", 27);
  await measure("p-1007", "heart_rate", 131);
  await measure("p-1018", "spo2", 90);
  for (const spo2 of [88, 82]) await measure("p-1042", "spo2", spo2);
  for (const spo2 of [91, 89, 86, 83]) await measure("p-1002", "spo2", spo2);
  await answer(page, "p-1042", "with the patient, oxygen given");
  await page.locator('[data-key="p:p-1002"].tile-high').waitFor();
  const stored = await ask<{ patient: string; alert: string }[]>("stored events", { least: 20 });
  const ids = stored.filter((it) => it.patient === "p-1042").map((it) => it.alert);
  return [ids.at(-1) ?? ""];
}

async function answer(page: Page, patient: string, note: string): Promise<void> {
  await tile(page, patient).getByRole("button", { name: "Acknowledge" }).click();
  await page.getByLabel("Note, if any").fill(note);
  await sendByEnter(page);
  await page.locator("dialog").waitFor({ state: "detached" });
}

async function openHelp(page: Page): Promise<void> {
  await go(page, "#/ward");
  await page.getByRole("button", { name: "Keys and signs" }).click();
  await page.getByRole("dialog").waitFor();
}

async function openAcknowledge(page: Page): Promise<void> {
  await page.keyboard.press("Escape");
  await tile(page, "p-1002").getByRole("button", { name: "Acknowledge" }).click();
  await page.getByRole("dialog", { name: "Acknowledge" }).waitFor();
}

async function go(page: Page, address: string): Promise<void> {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, address);
  await page.locator("main h1").waitFor();
}

/** Nothing is waited for any more. */
async function settled(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const main = document.querySelector("main")?.textContent ?? "";
    return !/waiting for|Waiting for/.test(main);
  });
}

async function inEveryLook(desk: Desk, page: Page, view: string): Promise<void> {
  for (const { colorScheme, size, name } of LOOKS) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(size);
    await frames(page);
    for (const it of await objections(page)) wrong.push(`${view}, ${name}: ${it}`);
    const dir = desk.given.screenshots;
    if (typeof dir !== "string" || !SHOWN.has(`${view} ${name}`)) continue;
    await page.screenshot({ path: `${dir}/${fileOf(view, name)}` });
    say(`made ${dir}/${fileOf(view, name)}`);
  }
}

/** Light on a desktop is what is shown if nothing is said. */
function fileOf(view: string, look: string): string {
  const rest = look === "desktop-light" ? "" : `-${look.replace("desktop-", "")}`;
  return `ward-page-${view}${rest}.png`;
}

/** Until what changed with the window is drawn. */
function frames(page: Page): Promise<void> {
  return page.evaluate(
    () =>
      new Promise<void>((resolve) => {
        let left = 3;
        const next = () => {
          left -= 1;
          if (left === 0) resolve();
          else requestAnimationFrame(next);
        };
        requestAnimationFrame(next);
      }),
  );
}

/** What axe objects to: the rule, and where. */
function objections(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.flatMap((it) =>
      it.nodes.map((node) => `${it.id}: ${node.target.join(" ")}: ${node.failureSummary}`),
    );
  });
}
