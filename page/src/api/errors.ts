/**
 * What went wrong, in words for people at a ward.
 *
 * The service names a reason in `google.rpc.ErrorInfo`; known reasons have words here, and what is
 * unknown is shown as the service said it.
 */
import { Code, ConnectError } from "@connectrpc/connect";

import {
  BadRequestSchema,
  type ErrorInfo,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb";

/** The service's reason, such as ALERT_ESCALATED, and what it said besides. */
export function reasonOf(failure: unknown): ErrorInfo | undefined {
  return ConnectError.from(failure).findDetails(ErrorInfoSchema)[0];
}

/** In how many milliseconds the service wants to be asked again, if it says so. */
export function retryAfter(failure: unknown): number | undefined {
  const delay = ConnectError.from(failure).findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay === undefined ? undefined : Number(delay.seconds) * 1000 + delay.nanos / 1e6;
}

/** Whether asking for the same again, under the same request id, may help. */
export function isWorthRepeating(failure: unknown): boolean {
  const { code } = ConnectError.from(failure);
  return [Code.Unavailable, Code.DeadlineExceeded, Code.Unknown, Code.ResourceExhausted].includes(
    code,
  );
}

/** Whether the service has certainly not done what it was asked for. */
export function isDefinite(failure: unknown): boolean {
  return reasonOf(failure) !== undefined || REFUSING.has(ConnectError.from(failure).code);
}

/** Whether it says nothing of an attempt before: it was refused before the service looked at it. */
export function isAtTheDoor(failure: unknown): boolean {
  return AT_THE_DOOR.has(ConnectError.from(failure).code);
}

const AT_THE_DOOR = new Set([
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.ResourceExhausted,
  Code.Unavailable,
]);

/** Codes that refuse also without a reason; others may have been made on the way back. */
const REFUSING = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.FailedPrecondition,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.Unauthenticated,
]);

/** Whether what was told before is not to be shown any longer: it is gone, or not for this caller. */
export function isGone(failure: unknown): boolean {
  if (failure === undefined) return false;
  const { code } = ConnectError.from(failure);
  return code === Code.NotFound || code === Code.PermissionDenied;
}

/** One or two sentences. */
export function words(failure: unknown): string {
  const error = ConnectError.from(failure);
  const reason = reasonOf(error)?.reason ?? "";
  // What browsers say where there is no connection differs from one to the other.
  if (error.cause instanceof TypeError) return CODES[Code.Unavailable] ?? "";
  return REASONS[reason] ?? violations(error) ?? CODES[error.code] ?? sentence(error.rawMessage);
}

const REASONS: Record<string, string> = {
  TOKEN_MISSING: "The service asks for a token.",
  TOKEN_EXPIRED: "Your token has expired. Get a new one and sign in again.",
  TOKEN_NOT_YET_VALID: "This token is not valid yet. Its maker's clock may be wrong.",
  TOKEN_ISSUER: "This token is from an issuer that the service does not know.",
  TOKEN_AUDIENCE: "This token is for another service.",
  TOKEN_CLAIMS: "This token does not say all that the service must know.",
  TOKEN_INVALID: "This is not a token that the service accepts. Sign in again.",
  CERTIFICATE_MISSING: "The service knows callers by certificates only; this page shows none.",
  KEYS_UNAVAILABLE: "The service cannot check tokens at the moment. Try again shortly.",
  ROLE_NOT_ALLOWED: "Your role may not do this.",
  ORIGIN_NOT_ALLOWED: "The service does not accept calls from this page's address.",
  HISTORY_UNAVAILABLE: "The history cannot be read at the moment. What is live goes on.",
  HISTORY_BEHIND: "The history does not hold everything yet. Try again shortly.",
  ALERT_ESCALATED: "Its priority has risen since you saw it.",
  ALERT_ACKNOWLEDGED: "Somebody else has acknowledged it before.",
  ALERT_ENDED: "It is over.",
  ALERT_ACTIVE: "Its condition still holds: there is nothing to reset yet.",
  ALERT_REASSIGNED: "It was given to somebody else since you saw it.",
  ETAG_UNKNOWN: "The service does not know the state that you saw. Look again.",
  REQUEST_ID_REUSED: "This was asked for before in another form. Look again.",
  TOO_MANY_STREAMS: "The service serves as many screens as it can. Try again later.",
  TOO_MANY_STREAMS_OF_CALLER: "Too many screens are open under your name. Close one.",
  TOO_MANY_CALLS: "Too much was asked at once. Try again in a moment.",
  WATCHER_TOO_SLOW: "This screen took too long to read what came.",
  WATCH_TOO_WIDE: "That is more than the service shows at once. Choose fewer sites.",
  SERVICE_STOPPING: "The service is being restarted.",
};

const CODES: Partial<Record<Code, string>> = {
  [Code.Canceled]: "This page has ended the call.",
  [Code.Unavailable]: "The service cannot be reached.",
  [Code.DeadlineExceeded]: "The service has not answered in time.",
  [Code.NotFound]: "There is no such thing, or it is not at one of your sites.",
  [Code.PermissionDenied]: "You may not do this.",
  [Code.Unimplemented]: "This version of the service does not offer this.",
  [Code.Unauthenticated]: "The service does not know you. Sign in.",
};

function violations(error: ConnectError): string | undefined {
  const wrong = error.findDetails(BadRequestSchema)[0]?.fieldViolations ?? [];
  return wrong.length === 0 ? undefined : wrong.map((it) => sentence(it.description)).join(" ");
}

function sentence(text: string): string {
  if (text === "") return "Something went wrong.";
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
