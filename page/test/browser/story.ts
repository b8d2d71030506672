/**
 * What every story in a browser begins with: a browser, the test behind it, and an eye on what a page
 * must never do: ask an address that is not its own, or try what its policy forbids.
 *
 * The test answers questions over the standard streams, a line of JSON each; what is printed besides
 * stands in its output. A story that throws has failed.
 */
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";

import { DIALOG_READ_MS } from "../../src/model/haste";

/** A condition that has not come about by then will not. */
const PATIENCE_MS = 30_000;

export interface Given {
  /** Where the page is. */
  url: string;
  [more: string]: unknown;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function told<T>(): Promise<T> {
  const { value, done } = await lines.next();
  if (done) throw new Error("the test is gone");
  return JSON.parse(value) as T;
}

/** Asks the test for something; one question at a time. */
export function ask<T>(what: string, about: object = {}): Promise<T> {
  process.stdout.write(`@${JSON.stringify({ ask: what, ...about })}\n`);
  return told<T>();
}

/** Has a patient's wearable measure this; tells when it was published, milliseconds since 1970. */
export async function measure(patient: string, vital: string, value: number): Promise<number> {
  return (await ask<{ at: number }>("measure", { patient, vital, value })).at;
}

/** What a page did that it must not do. */
const wrongs: string[] = [];
/** Texts of the browser's console about requests that fail because the test has cut them off. */
const EXPECTED = /Failed to load resource|net::ERR_/;

export interface PageOptions extends BrowserContextOptions {
  /** Another way to it. */
  url?: string;
  /** What is done before it is opened. */
  prepare?: (page: Page) => Promise<void>;
}

/** One browser, for the whole story. */
export class Desk {
  private constructor(
    readonly given: Given,
    private readonly browser: Browser,
  ) {}

  static async open(): Promise<Desk> {
    const given = await told<Given>();
    const executablePath = process.env.PULSEWARD_TEST_CHROMIUM ?? "/usr/bin/chromium";
    const args = ["--no-sandbox", "--disable-dev-shm-usage", "--lang=en-GB"];
    return new Desk(given, await chromium.launch({ executablePath, args }));
  }

  /** A page of somebody's own: nothing of it is shared with another. */
  async page(options: PageOptions = {}): Promise<Page> {
    const { url = this.given.url, prepare, ...rest } = options;
    const context = await this.browser.newContext({
      viewport: { width: 1280, height: 800 },
      locale: "en-GB",
      ...rest,
    });
    context.setDefaultTimeout(PATIENCE_MS);
    await watch(context, new URL(url).origin);
    const page = await context.newPage();
    await prepare?.(page);
    await page.goto(url);
    return page;
  }

  /** A page of somebody who has signed in with this token. */
  async signedIn(token: string, options: PageOptions = {}): Promise<Page> {
    const page = await this.page(options);
    await signIn(page, token);
    await live(page);
    return page;
  }

  async close(): Promise<void> {
    await this.browser.close();
    assert.deepEqual(wrongs, [], "a page did what it must not do");
  }
}

/** Notes whatever a page asks of others, and what its policy refuses it. */
async function watch(context: BrowserContext, origin: string): Promise<void> {
  context.on("request", (request) => {
    const url = new URL(request.url());
    const isOwn = url.origin === origin || ["data:", "blob:"].includes(url.protocol);
    if (!isOwn) wrongs.push(`asked ${url}`);
  });
  context.on("weberror", (error) => wrongs.push(`threw ${error.error().stack}`));
  context.on("console", (message) => {
    const isWrong = message.type() === "error" && !EXPECTED.test(message.text());
    if (isWrong) wrongs.push(`complained: ${message.text()}`);
  });
  // The compiler of these scripts names functions by it, also of those that run in a page.
  await context.addInitScript({ content: "globalThis.__name ??= (it) => it" });
  await context.exposeFunction("policyViolated", (what: string) => wrongs.push(what));
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      const tell = (globalThis as unknown as { policyViolated: (what: string) => void })
        .policyViolated;
      tell(`violated ${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`);
    });
  });
}

/** Signs in where a token is asked for. */
export async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel("Token", { exact: true }).fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Waits until the page says that it is live. */
export async function live(page: Page): Promise<void> {
  await page.locator("html[data-live=true]").waitFor();
}

/** Sends a dialog by Enter, once it may have been read. */
export async function sendByEnter(page: Page): Promise<void> {
  await page.waitForTimeout(DIALOG_READ_MS);
  await page.keyboard.press("Enter");
}

/** A patient's tile. */
export function tile(page: Page, patient: string) {
  return page.locator(`.tile[data-key="p:${patient}"]`);
}

/** The rule of a patient's worst alert, as their tile has it. */
export function alertOf(page: Page, patient: string, rule: string) {
  return tile(page, patient).locator(".tile-alert").getByRole("link", { name: rule });
}

/** Waits until a condition in the page holds, and tells when: milliseconds since 1970. */
export function seen(page: Page, selector: string, text: string): Promise<number> {
  return page.evaluate(
    ([selector, text]) =>
      new Promise<number>((resolve) => {
        const look = () => {
          const found = [...document.querySelectorAll(selector as string)].some((it) =>
            it.textContent?.includes(text as string),
          );
          if (!found) return;
          observer.disconnect();
          // When the frame is painted in which it is there.
          requestAnimationFrame(() => resolve(Date.now()));
        };
        const observer = new MutationObserver(look);
        observer.observe(document.body, {
          subtree: true,
          childList: true,
          characterData: true,
          attributes: true,
        });
        look();
      }),
    [selector, text],
  );
}

/** Says something in the test's output. */
export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Goes through a story. */
export async function story(tell: (desk: Desk) => Promise<void>): Promise<void> {
  const desk = await Desk.open();
  let failure: unknown;
  try {
    await tell(desk);
  } catch (cause) {
    failure = cause;
  }
  try {
    await desk.close();
  } catch (cause) {
    failure ??= cause;
  }
  if (failure instanceof Error) say(failure.stack ?? failure.message);
  process.exit(failure === undefined ? 0 : 1);
}
