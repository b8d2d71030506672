/** Who may look at refused messages and send them through again, as the service's table of roles has it. */
import { access } from "../../api/session";

const ROLES = new Set(["device_admin", "admin"]);

/** Why this caller may not; undefined if they may, or if only the service knows. */
export function mayNotSeeRefused(): string | undefined {
  const now = access.value;
  if (now.kind !== "token" || now.bearer.role === undefined || ROLES.has(now.bearer.role)) {
    return undefined;
  }
  return `Refused messages hold vitals, and are for device administrators and administrators. Your role (${now.bearer.role}) may not list them or send them through again.`;
}
