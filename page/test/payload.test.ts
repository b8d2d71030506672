import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";

import { ReadingBatchSchema, Vital } from "../src/gen/pulseward/v1/reading_pb";
import { readable } from "../src/views/devices/payload";

const TOPIC = "pulseward/v1/north/watch-1/readings";
const bytes = (text: string) => new TextEncoder().encode(text);

describe("a refused payload", () => {
  it("JSON is put in lines, and shown as it came where it is broken", () => {
    expect(readable(TOPIC, bytes('{"a":[1]}')).text).toBe('{\n  "a": [\n    1\n  ]\n}');
    expect(readable(TOPIC, bytes('{"readings": ['))).toEqual({
      kind: "JSON, 14 bytes",
      text: '{"readings": [',
    });
  });

  it("protobuf is told as the JSON it stands for", () => {
    const reading = { vital: Vital.SPO2, value: { case: "quantity", value: 95 } } as const;
    const batch = toBinary(ReadingBatchSchema, create(ReadingBatchSchema, { readings: [reading] }));
    const shown = readable(TOPIC, batch);
    expect(shown.kind).toMatch(/^Protobuf/);
    expect(JSON.parse(shown.text)).toMatchObject({
      readings: [{ vital: "VITAL_SPO2", quantity: 95 }],
    });
  });

  it("what is neither is shown as bytes", () => {
    expect(readable(TOPIC, bytes("no payload at all"))).toMatchObject({
      kind: "Not readable, 17 bytes",
      text: expect.stringMatching(/^0000 {2}6e 6f 20/),
    });
    expect(readable(TOPIC, new Uint8Array())).toEqual({ kind: "Empty", text: "" });
  });
});
