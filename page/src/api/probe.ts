/** Finds out at the start whether the service asks for a token, until it has answered once. */
import { Code, ConnectError } from "@connectrpc/connect";

import { registry } from "./clients";
import { reasonOf, words } from "./errors";
import { access, keptToken, signIn } from "./session";

const RETRY_MS = 3000;
const TIMEOUT_MS = 8000;

/** Decides how the service is reached: with the token kept in this tab, without one, or by login. */
export async function findAccess(): Promise<void> {
  const kept = keptToken();
  if (kept !== undefined) {
    signIn(kept, true);
    return;
  }
  while (access.peek().kind === "checking") {
    const why = await probe();
    if (why !== undefined) access.value = { kind: "checking", why };
    if (access.peek().kind === "checking") await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

/** Why it is not known yet. */
async function probe(): Promise<string | undefined> {
  try {
    await registry().listSites({ pageSize: 1 }, { timeoutMs: TIMEOUT_MS });
    access.value = { kind: "open" };
  } catch (failure) {
    const { code } = ConnectError.from(failure);
    const isMissing = reasonOf(failure)?.reason === "TOKEN_MISSING";
    if (code === Code.Unauthenticated)
      access.value = { kind: "login", why: isMissing ? undefined : words(failure) };
    // A role that may not list sites is a known caller all the same.
    else if (code === Code.PermissionDenied) access.value = { kind: "open" };
    else return `${words(failure)} Trying again.`;
  }
  return undefined;
}
