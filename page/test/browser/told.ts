/**
 * What a page was told by the service, byte for byte: kept while the page reads it, and read here as
 * the contract has it. So a test sees what came twice or not at all, whatever the page makes of it.
 */
import { fromBinary } from "@bufbuild/protobuf";
import type { Page } from "playwright-core";

import { AlertPhase, WatchAlertsResponseSchema } from "../../src/gen/pulseward/v1/alert_pb";

interface Answer {
  method: string;
  /** Bytes as characters. */
  bytes: string;
}

type Keeping = { answers: Answer[] };

/** Begins to keep; before the page is opened. */
export async function keepAnswers(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const answers: Answer[] = [];
    (globalThis as unknown as Keeping).answers = answers;
    const ask = globalThis.fetch;
    globalThis.fetch = async (input, init) => {
      const response = await ask(input, init);
      const url = typeof input === "string" ? input : input instanceof URL ? input.href : input.url;
      const answer = { method: url.split("/").at(-1) ?? "", bytes: "" };
      answers.push(answer);
      const watched = response.body?.pipeThrough(
        new TransformStream<Uint8Array, Uint8Array>({
          transform(chunk, out) {
            for (const byte of chunk) answer.bytes += String.fromCharCode(byte);
            out.enqueue(chunk);
          },
        }),
      );
      const { status, statusText, headers } = response;
      return new Response(watched ?? null, { status, statusText, headers });
    };
  });
}

/** Everything that was told so far, as text in which names can be looked for. */
export async function everythingTold(page: Page): Promise<string> {
  const answers = await answersOf(page);
  return answers.map(({ method, bytes }) => `${method}: ${bytes}`).join("\n");
}

/** What happened to alerts by the stream, in order: `start ALERT`. */
export async function eventsTold(page: Page): Promise<string[]> {
  const streams = (await answersOf(page)).filter((it) => it.method === "WatchAlerts");
  return streams.flatMap(({ bytes }) => messages(bytes).flatMap(eventOf));
}

function eventOf(message: Uint8Array): string[] {
  const told = fromBinary(WatchAlertsResponseSchema, message).message;
  if (told.case !== "event" || told.value.change.case !== "alert") return [];
  const { phase, alert } = told.value.change.value;
  return [`${AlertPhase[phase]?.toLowerCase()} ${alert?.alertId}`];
}

function answersOf(page: Page): Promise<Answer[]> {
  return page.evaluate(() => (globalThis as unknown as Keeping).answers);
}

/** The whole messages of a gRPC-Web answer; what is cut off at its end is none. */
function messages(text: string): Uint8Array[] {
  const bytes = Buffer.from(text, "latin1");
  const all: Uint8Array[] = [];
  for (let at = 0; at + 5 <= bytes.length; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    const isMessage = ((bytes[at] ?? 0) & 0x80) === 0;
    if (isMessage && end <= bytes.length) all.push(bytes.subarray(at + 5, end));
    at = end;
  }
  return all;
}
