/**
 * A refused message's payload as people can read it: JSON in lines, protobuf as the JSON it stands
 * for, anything else as bytes. It was made by a stranger: it is text, and nothing else.
 */
import { fromBinary, toJsonString } from "@bufbuild/protobuf";

import { DeviceStatusSchema } from "../../gen/pulseward/v1/device_pb";
import { ReadingBatchSchema } from "../../gen/pulseward/v1/reading_pb";
import { excerpt, hexDump } from "../../model/refused";

/** An excerpt, and what it is. */
export interface Shown {
  readonly kind: string;
  readonly text: string;
}

const BRACE = 0x7b;

/** As the service tells them apart: what begins with a brace is JSON. */
export function readable(topic: string, payload: Uint8Array): Shown {
  if (payload.length === 0) return { kind: "Empty", text: "" };
  const size = `${payload.length.toLocaleString("en-GB")} bytes`;
  if (payload[0] === BRACE) return { kind: `JSON, ${size}`, text: excerpt(json(payload)) };
  const decoded = protobuf(topic, payload);
  if (decoded !== undefined) return { kind: `Protobuf, ${size}`, text: excerpt(decoded) };
  return { kind: `Not readable, ${size}`, text: hexDump(payload) };
}

function json(payload: Uint8Array): string {
  const text = new TextDecoder().decode(payload);
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function protobuf(topic: string, payload: Uint8Array): string | undefined {
  const schema = topic.endsWith("/status") ? DeviceStatusSchema : ReadingBatchSchema;
  try {
    return toJsonString(schema, fromBinary(schema, payload), { prettySpaces: 2 });
  } catch {
    return undefined;
  }
}
