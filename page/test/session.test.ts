import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { isGone } from "../src/api/errors";
import { callerOf, otherCallers, signIn } from "../src/api/session";

function token(claims: object): string {
  return `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.signature`;
}

const nora = { sub: "nora", role: "clinician", sites: ["north"], exp: 1, iat: 0 };

describe("who calls", () => {
  test("is the same with another token of theirs, and another with other sites", () => {
    const again = { exp: 9, iat: 8, sites: ["north"], role: "clinician", sub: "nora" };
    expect(callerOf(token(again))).toBe(callerOf(token(nora)));
    for (const other of [{ sub: "milo" }, { role: "viewer" }, { sites: ["north", "south"] }]) {
      expect(callerOf(token({ ...nora, ...other }))).not.toBe(callerOf(token(nora)));
    }
    expect(callerOf("one")).not.toBe(callerOf("another"));
  });

  test("another one is noticed as they sign in", () => {
    signIn(token(nora), false);
    signIn(token({ ...nora, exp: 9 }), false);
    expect(otherCallers.value).toBe(0);
    signIn(token({ ...nora, sub: "milo" }), false);
    expect(otherCallers.value).toBe(1);
  });
});

describe("what was told before", () => {
  test("goes where it is gone or refused, and stays where the service is not reached", () => {
    const gone = (code: Code) => isGone(new ConnectError("no", code));
    expect([gone(Code.NotFound), gone(Code.PermissionDenied), isGone(undefined)]).toEqual([
      true,
      true,
      false,
    ]);
    expect([gone(Code.Unavailable), gone(Code.Unauthenticated)]).toEqual([false, false]);
  });
});
