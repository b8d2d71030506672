/**
 * Who is calling: the token, where it is kept, and what it says about its bearer.
 *
 * A token is kept in memory, and in the tab's session storage only if that was asked for; it is never
 * part of an address. What the page reads from a token serves to label buttons: the service decides.
 */
import { computed, signal } from "@preact/signals";

const STORED = "pulseward.token";

/** How the service is reached. */
export type Access =
  /** Not known yet. */
  | { kind: "checking"; why?: string }
  /** The service asks nobody who they are. */
  | { kind: "open" }
  /** With a token. */
  | { kind: "token"; token: string; bearer: Bearer }
  /** A token is needed. `why` says what was wrong with the one before; `bearer` whose it was. */
  | { kind: "login"; why?: string; bearer?: Bearer };

/** What a token says of who bears it; as far as it can be read. */
export interface Bearer {
  subject?: string;
  role?: string;
  expires?: Date;
}

/** How the service is reached now. */
export const access = signal<Access>({ kind: "checking" });

/** Changes when somebody else signs in: what was shown before is not theirs to see. */
export const otherCallers = signal(0);
let lastCaller: string | undefined;

/** Why this caller may not change anything, once the service has said so. */
const refusedRole = signal<string | undefined>(undefined);

/** Roles that answer alerts, as the service's table of roles has them. */
const ACTING = new Set(["clinician", "admin"]);

/** Why buttons that change something are disabled; undefined if they are not. */
export const mayNotAct = computed<string | undefined>(() => {
  const now = access.value;
  if (now.kind === "login") return "Sign in first.";
  if (now.kind === "checking") return "The service has not answered yet.";
  if (refusedRole.value !== undefined) return refusedRole.value;
  if (now.kind === "open" || now.bearer.role === undefined) return undefined;
  if (ACTING.has(now.bearer.role)) return undefined;
  return `Your role (${now.bearer.role}) may look, and not change anything.`;
});

/** The token to call with; undefined for none. */
export function token(): string | undefined {
  const now = access.value;
  return now.kind === "token" ? now.token : undefined;
}

/** Takes a token. `keep` keeps it until the tab is closed, also over a reload. */
export function signIn(text: string, keep: boolean): void {
  const clean = text.trim();
  if (keep) storage()?.setItem(STORED, clean);
  else storage()?.removeItem(STORED);
  refusedRole.value = undefined;
  const caller = callerOf(clean);
  if (lastCaller !== undefined && lastCaller !== caller) otherCallers.value += 1;
  lastCaller = caller;
  access.value = { kind: "token", token: clean, bearer: readBearer(clean) };
}

/** Forgets the token and everything that is shown. */
export function signOut(): void {
  storage()?.removeItem(STORED);
  globalThis.location.reload();
}

/** The service does not believe the token any longer. What is shown stays, and is not live. */
export function tokenRefused(why: string): void {
  storage()?.removeItem(STORED);
  const before = access.value;
  const bearer = before.kind === "token" ? before.bearer : undefined;
  access.value = { kind: "login", why, bearer };
}

/** The service has refused this caller's role. */
export function roleRefused(why: string): void {
  refusedRole.value = why;
}

/** The token that was kept in this tab. */
export function keptToken(): string | undefined {
  return storage()?.getItem(STORED) ?? undefined;
}

/** Reads the claims of a JSON Web Token; believes nothing of it. */
export function readBearer(text: string): Bearer {
  return bearerOf(claimsOf(text) ?? {});
}

/** Tells callers apart: by all that a token claims but when it was made and how long it is good. */
export function callerOf(text: string): string {
  const claims = claimsOf(text);
  if (claims?.sub === undefined) return text;
  const lasting = Object.entries(claims).filter(([name]) => !OF_THE_TOKEN.has(name));
  return JSON.stringify(lasting.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const OF_THE_TOKEN = new Set(["exp", "iat", "nbf", "jti", "auth_time"]);

function claimsOf(text: string): Claims | undefined {
  const claims = text.split(".")[1];
  if (claims === undefined) return undefined;
  try {
    const json: unknown = JSON.parse(decodeBase64Url(claims));
    return typeof json === "object" && json !== null ? (json as Claims) : undefined;
  } catch {
    return undefined;
  }
}

interface Claims {
  sub?: unknown;
  role?: unknown;
  exp?: unknown;
}

function bearerOf(claims: Claims): Bearer {
  const text = (value: unknown) => (typeof value === "string" ? value : undefined);
  const expires = typeof claims.exp === "number" ? new Date(claims.exp * 1000) : undefined;
  return { subject: text(claims.sub), role: text(claims.role), expires };
}

function decodeBase64Url(text: string): string {
  const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder().decode(Uint8Array.from(bytes, (it) => it.charCodeAt(0)));
}

function storage(): Storage | undefined {
  try {
    return globalThis.sessionStorage;
  } catch {
    // Switched off in this browser: the token then lives in memory only.
    return undefined;
  }
}
