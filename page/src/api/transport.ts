/** The way to the service: gRPC-Web at the page's own origin, with the bearer's token. */
import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { reasonOf, words } from "./errors";
import { access, roleRefused, token, tokenRefused } from "./session";

/** The transport that all clients share. */
export function createTransport(baseUrl: string): Transport {
  return createGrpcWebTransport({
    baseUrl,
    useBinaryFormat: true,
    interceptors: [bearer],
    // A page in the browser's cache is no answer of the service's.
    fetch: (input, init) => fetch(input, { ...init, cache: "no-store", credentials: "omit" }),
  });
}

/** Says who calls, and notices when the service believes it no longer. */
const bearer: Interceptor = (next) => async (request) => {
  const call = { sent: token(), method: request.method.name };
  if (call.sent !== undefined) request.header.set("authorization", `Bearer ${call.sent}`);
  try {
    const response = await next(request);
    return response.stream ? { ...response, message: noticed(response.message, call) } : response;
  } catch (failure) {
    notice(failure, call);
    throw failure;
  }
};

/** What was called, and with which token. */
interface Call {
  sent: string | undefined;
  method: string;
}

/** Calls that answer an alert: who may not make one may not make any of them. */
const ANSWERS = new Set([
  "AcknowledgeAlert",
  "PauseAlert",
  "ResetAlert",
  "AssignAlert",
  "AddAlertNote",
]);

/** A stream may be refused late: when its token expires. */
async function* noticed<M>(messages: AsyncIterable<M>, call: Call) {
  try {
    yield* messages;
  } catch (failure) {
    notice(failure, call);
    throw failure;
  }
}

function notice(failure: unknown, call: Call): void {
  const error = ConnectError.from(failure);
  // An answer to an older token says nothing of the one in use; one to none, after a token was
  // refused, says less than what is known.
  const isOfNow = call.sent === token() && access.peek().kind !== "login";
  if (error.code === Code.Unauthenticated && isOfNow) tokenRefused(words(error));
  const isRole = reasonOf(error)?.reason === "ROLE_NOT_ALLOWED";
  if (isRole && ANSWERS.has(call.method)) roleRefused(words(error));
}
