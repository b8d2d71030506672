import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";

import { isOwnFault } from "../src/model/fault";

const ORIGIN = "https://ward.example";

function thrown(stack: string, name = "TypeError"): Error {
  return Object.assign(new Error("no"), { name, stack });
}

test("a fault is what the page's own code throws", () => {
  const own = "TypeError: no\n    at draw (https://ward.example/ward/assets/index.js:1:2)";
  expect(isOwnFault(thrown(own), ORIGIN)).toBe(true);
  expect(isOwnFault(thrown(own, "AbortError"), ORIGIN)).toBe(false);
  const extension = `${own}\n    at chrome-extension://abc/content.js:1:2`;
  expect(isOwnFault(thrown(extension), ORIGIN)).toBe(false);
  expect(isOwnFault(thrown("at https://ward.example.org/x.js"), ORIGIN)).toBe(false);
  // As of an observer that could not tell everything in one frame.
  expect(isOwnFault(undefined, ORIGIN)).toBe(false);
  const call = Object.assign(new ConnectError("no", Code.Unavailable), { stack: own });
  expect(isOwnFault(call, ORIGIN)).toBe(false);
});
