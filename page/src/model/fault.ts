/**
 * Whether something that was thrown and that nobody caught is a fault of this page.
 *
 * What extensions of the browser throw is not, nor is a call that failed: streams say that themselves.
 */
import { ConnectError } from "@connectrpc/connect";

/** Shown as the reason of NOT LIVE: a page that is broken may show anything. */
export const FAULT = "this page has a fault: reload it";

/** `origin` is the page's. */
export function isOwnFault(thrown: unknown, origin: string): boolean {
  if (!(thrown instanceof Error) || thrown instanceof ConnectError) return false;
  if (thrown.name === "AbortError") return false;
  const stack = thrown.stack ?? "";
  return stack.includes(`${origin}/`) && !stack.includes("-extension://");
}
