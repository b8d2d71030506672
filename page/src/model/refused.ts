/**
 * Refused messages by what can be done about them, worked out without a browser.
 *
 * Promises: every reason has words, and says what helps; what would be sent through again is the same
 * list that is sent; of a call without an answer nothing is claimed. Asks nobody for anything. Times
 * are milliseconds since 1970 (UTC).
 */

const MINUTE = 60_000;

/** Why a message or reading was refused: number as on the wire, short words, what is wrong, and what helps. */
export interface Reason {
  readonly number: number;
  readonly words: string;
  readonly meaning: string;
  readonly remedy: string;
  /** Whether it may go through once somebody has put something right. */
  readonly passes: boolean;
}

const FOR_THE_MAKER = "Tell the gateway's maker. Sent through again it is refused again.";

/** Every reason the contract has. */
export const REASONS: readonly Reason[] = [
  {
    number: 1,
    words: "malformed payload",
    meaning: "The message could not be read, or came on a topic that is none of the contract's.",
    remedy: FOR_THE_MAKER,
    passes: false,
  },
  {
    number: 2,
    words: "unknown vital",
    meaning: "It measures something that the service does not know.",
    remedy: FOR_THE_MAKER,
    passes: false,
  },
  {
    number: 3,
    words: "unknown unit",
    meaning: "The unit is unknown, missing where it must be said, or does not measure this vital.",
    remedy: FOR_THE_MAKER,
    passes: false,
  },
  {
    number: 4,
    words: "not a number",
    meaning: "The quantity is no finite number.",
    remedy: FOR_THE_MAKER,
    passes: false,
  },
  {
    number: 5,
    words: "no value",
    meaning: "Neither a value nor a reason why there is none.",
    remedy: FOR_THE_MAKER,
    passes: false,
  },
  {
    number: 6,
    words: "impossible value",
    meaning: "A value that no patient can have.",
    remedy: "Look at the device and its sensor. Sent through again it is refused again.",
    passes: false,
  },
  {
    number: 7,
    words: "unknown device",
    meaning: "No device of this id is enrolled.",
    remedy: "Enroll the device, bound since before it measured; then send it through again.",
    passes: true,
  },
  {
    number: 8,
    words: "wrong site",
    meaning: "The device is enrolled at another site than its topic says.",
    remedy: "Put the device's site right, there or in the registry; then send it through again.",
    passes: true,
  },
  {
    number: 9,
    words: "unbound device",
    meaning: "The device was bound to nobody when it measured.",
    remedy: "Bind the device from before it measured; then send it through again.",
    passes: true,
  },
  {
    number: 10,
    words: "clock ahead",
    meaning: "It was measured more than 30 s ahead of the service's clock.",
    remedy: "Set the device's clock. What it measured goes through once that time has come.",
    passes: true,
  },
  {
    number: 11,
    words: "too old",
    meaning: "It was measured longer ago than readings are kept.",
    remedy: "Nothing: it would be deleted at once.",
    passes: false,
  },
  {
    number: 12,
    words: "too large",
    meaning: "The message is larger than the service takes.",
    remedy: FOR_THE_MAKER,
    passes: false,
  },
  {
    number: 13,
    words: "too many readings",
    meaning: "The batch holds more readings than the service takes at once.",
    remedy: FOR_THE_MAKER,
    passes: false,
  },
  {
    number: 14,
    words: "poisoned",
    meaning:
      "The service broke down on this message before, which is the service's fault, and has not read it again.",
    remedy: "Tell the service's makers. Another version of the service may take it.",
    passes: false,
  },
];

const UNKNOWN_REASON: Omit<Reason, "number"> = {
  words: "another reason",
  meaning: "A reason that this page does not know.",
  remedy: "See what the service says.",
  passes: false,
};

/** What a reason's number means. */
export function reason(number: number): Reason {
  return REASONS.find((reason) => reason.number === number) ?? { number, ...UNKNOWN_REASON };
}

/** A refused message as it is listed. */
export interface Refused {
  readonly messageId: string;
  readonly topic: string;
  readonly receivedAt: number;
  /** Why it was refused as a whole; 0 if only readings of it were. */
  readonly reason: number;
  readonly detail: string;
  readonly readings: readonly {
    readonly index: number;
    readonly reason: number;
    readonly detail: string;
  }[];
  /** Readings refused, those not listed included; 0 if the whole message was. */
  readonly readingsTotal: number;
  readonly redrivenAt: number | undefined;
  readonly redrivenFrom: string;
  readonly erasedAt: number | undefined;
}

/** Site and device as the topic names them; `undefined` if it is no topic of readings. */
export function readingsTopic(topic: string): { siteId: string; deviceId: string } | undefined {
  const [, siteId, deviceId] = /^pulseward\/v1\/([^/]+)\/([^/]+)\/readings$/.exec(topic) ?? [];
  return siteId && deviceId ? { siteId, deviceId } : undefined;
}

/** The reasons of a message, each once: its own, or those of its readings. */
export function reasonsOf(message: Refused): Reason[] {
  const numbers =
    message.reason !== 0 ? [message.reason] : message.readings.map((reading) => reading.reason);
  return [...new Set(numbers)].map(reason);
}

/** Why a message can't be sent through again, or `undefined` if it can be tried. */
export function cannotRedrive(message: Refused): string | undefined {
  if (message.redrivenAt !== undefined) return "was sent through again already";
  if (message.erasedAt !== undefined) return "its payload was erased with a patient";
  if (!readingsTopic(message.topic)) return "no message of readings";
  return undefined;
}

/** What the registry says now of a device that a message names. */
export interface Registered {
  /** The site it is enrolled at; `undefined` if it is not enrolled, or not for this caller. */
  readonly siteId: string | undefined;
  /** When it was or is on somebody; `undefined` if that could not be told. */
  readonly worn:
    | readonly { readonly from: number; readonly until: number | undefined }[]
    | undefined;
}

/** What is likely to become of a message. */
export type Outlook = "goes through" | "goes through in part" | "refused again" | "not known";

/** A message of a plan, with what is likely to become of it and why. */
export interface Planned {
  readonly message: Refused;
  readonly outlook: Outlook;
  readonly why: string;
}

/** What sending messages through again would do. Nothing was sent. */
export interface Plan {
  readonly sent: readonly Planned[];
  readonly left: readonly { readonly message: Refused; readonly why: string }[];
}

/**
 * What would be sent, earliest received first, as the devices had sent it, and what would be left
 * out. `registered` has what the registry says now, by device id; a device that is not in it was not
 * looked up. The outlook is no promise: only the service judges readings.
 */
export function plan(
  messages: readonly Refused[],
  registered: ReadonlyMap<string, Registered>,
  now: number,
): Plan {
  const sent: Planned[] = [];
  const left: { message: Refused; why: string }[] = [];
  for (const message of messages) {
    const why = cannotRedrive(message);
    const topic = readingsTopic(message.topic);
    if (why !== undefined || !topic) left.push({ message, why: why ?? "no message of readings" });
    else sent.push({ message, ...outlook(message, topic, registered.get(topic.deviceId), now) });
  }
  sent.sort((a, b) => a.message.receivedAt - b.message.receivedAt);
  return { sent, left };
}

function outlook(
  message: Refused,
  topic: { siteId: string; deviceId: string },
  device: Registered | undefined,
  now: number,
): Omit<Planned, "message"> {
  const reasons = reasonsOf(message);
  const [lasting] = reasons.filter((reason) => !reason.passes);
  if (lasting && !reasons.some((reason) => reason.passes)) {
    return { outlook: "refused again", why: `${lasting.words} does not pass` };
  }
  if (!device) return { outlook: "not known", why: "the device was not looked up" };
  if (device.siteId === undefined)
    return { outlook: "refused again", why: `${topic.deviceId} is not enrolled` };
  if (device.siteId !== topic.siteId) {
    return { outlook: "refused again", why: `${topic.deviceId} is enrolled at ${device.siteId}` };
  }
  if (!device.worn) return { outlook: "not known", why: "its bindings could not be told" };
  // The measured times stand in the payload, which is not asked for; a message is received after them.
  const mayCount = device.worn.some((worn) => worn.from < message.receivedAt);
  if (!mayCount)
    return { outlook: "refused again", why: `${topic.deviceId} was on nobody by then` };
  if (reasons.some((reason) => reason.number === 10) && message.receivedAt > now - MINUTE) {
    return { outlook: "not known", why: "its measured time may not have come yet" };
  }
  if (lasting)
    return { outlook: "goes through in part", why: `but for readings with: ${lasting.words}` };
  return { outlook: "goes through", why: "device and binding are known now" };
}

/** Messages asked for by one call: few enough to be done long before it times out. */
export const REDRIVEN_AT_ONCE = 50;

/** The answer of one call, or of several taken together. */
export interface Answer {
  readonly accepted: number;
  readonly duplicate: number;
  /** By the id they were asked for with. */
  readonly rejected: readonly Refused[];
  readonly skipped: readonly {
    readonly messageId: string;
    readonly reason: string;
    readonly detail: string;
  }[];
}

/** In part: of some readings it is known that they were refused again, of others nothing. */
export type Became =
  | "went through"
  | "refused again in part"
  | "refused again"
  | "left out"
  | "not known";

/** What became of one message. */
export interface Result {
  readonly message: Refused;
  readonly became: Became;
  readonly why: string;
}

/** What became of each message that was asked for; `undefined` answers those whose call failed. */
export function results(
  asked: readonly Refused[],
  answer: Answer | undefined,
  failure = "",
): Result[] {
  if (!answer) return asked.map((message) => ({ message, became: "not known", why: failure }));
  return asked.map((message) => resultOf(message, answer));
}

function resultOf(message: Refused, answer: Answer): Result {
  const skipped = answer.skipped.find((skipped) => skipped.messageId === message.messageId);
  if (skipped) return { message, became: "left out", why: skipped.detail || skipped.reason };
  const again = answer.rejected.find((rejected) => rejected.messageId === message.messageId);
  if (again) {
    const isWhole = again.reason !== 0 || isAllOf(again, message);
    const became = isWhole ? "refused again" : "refused again in part";
    return { message, became, why: whyWords(again) };
  }
  return { message, became: "went through", why: "" };
}

/** Of a message of which only readings were refused, those alone go through again. */
function isAllOf(again: Refused, message: Refused): boolean {
  return message.readingsTotal > 0 && again.readingsTotal >= message.readingsTotal;
}

/** Why a message was refused, on one line: as a whole, or its readings, of which the first is told. */
export function whyWords(message: Refused): string {
  if (message.reason !== 0) return said(reason(message.reason).words, message.detail);
  const [first] = message.readings;
  if (!first) return message.detail || "no reason was kept";
  const count = Math.max(message.readingsTotal, message.readings.length);
  const words = said(reason(first.reason).words, first.detail);
  return count === 1 ? `1 reading: ${words}` : `${count} readings, the first: ${words}`;
}

const said = (words: string, detail: string) => (detail ? `${words}: ${detail}` : words);

/** Cuts a list into parts of at most `size`. */
export function chunks<T>(all: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let at = 0; at < all.length; at += size) parts.push(all.slice(at, at + size));
  return parts;
}

/** Bytes of a payload that are shown as they are, where it can't be read as text. */
export const HEX_BYTES_MAX = 256;
/** Characters of a payload that are shown. */
export const EXCERPT_CHARS_MAX = 4_000;

/** Bytes as an editor for bytes shows them: sixteen a line, and what can be printed beside them. */
export function hexDump(bytes: Uint8Array): string {
  const shown = bytes.subarray(0, HEX_BYTES_MAX);
  const lines = chunks([...shown], 16).map((row, at) => {
    const hex = row
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join(" ")
      .padEnd(47);
    const text = row
      .map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."))
      .join("");
    return `${(at * 16).toString(16).padStart(4, "0")}  ${hex}  ${text}`;
  });
  if (bytes.length > shown.length) lines.push(`… ${bytes.length - shown.length} more bytes`);
  return lines.join("\n");
}

/** At most so much of a text, and how much more there is. Control characters are shown as �. */
export function excerpt(text: string): string {
  const printable = text.replace(/[^\P{Cc}\t\n]/gu, "\ufffd");
  if (printable.length <= EXCERPT_CHARS_MAX) return printable;
  return `${printable.slice(0, EXCERPT_CHARS_MAX)}\n… ${printable.length - EXCERPT_CHARS_MAX} more characters`;
}
