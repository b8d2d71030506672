/** The page of the demo, at the address that it prints: nobody signs in, and the ward is live. */
import assert from "node:assert/strict";

import { live, say, sendByEnter, story } from "./story";

await story(async (desk) => {
  const page = await desk.page();
  await live(page);
  const patients = page.locator(".tile");
  await patients.first().waitFor();
  assert.equal(await page.getByLabel("Token", { exact: true }).count(), 0);
  // Values move by themselves, and within half a minute somebody deteriorates.
  const value = page.locator('[data-key="p:patient-01"] .figure-value').first();
  const before = await value.innerText();
  await page.waitForFunction(
    (before) =>
      document.querySelector('[data-key="p:patient-01"] .figure-value')?.textContent !== before,
    before,
  );
  await page.locator(".tile:not(.tile-calm)").first().waitFor();
  say(`${await patients.count()} patients, live, the worst on top`);
  await page.locator(".tile").first().getByRole("button", { name: "Acknowledge" }).click();
  await sendByEnter(page);
  await page.locator("dialog").waitFor({ state: "detached" });
  await page.locator(".tile.is-quiet").first().waitFor();
});
