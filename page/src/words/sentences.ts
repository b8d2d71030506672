/** Alerts and rules in whole sentences. */
import { type Alert, AlertKind, type DecidingReading } from "../gen/pulseward/v1/alert_pb";
import {
  Priority,
  type Rule,
  Score,
  Side,
  TechnicalCondition,
} from "../gen/pulseward/v1/profile_pb";
import { Acvpu, Vital } from "../gen/pulseward/v1/reading_pb";
import type { Counts } from "../model/ward";
import { priorityMark, priorityName, whose } from "./alerts";
import { exactSpanWords, spanMillis } from "./times";
import { consciousnessWords, quantityWords, unitWords, vitalWords } from "./vitals";

/** `90 %` */
export function quantityWithUnit(vital: Vital, quantity: number, ucum: string): string {
  return [quantityWords(vital, quantity), unitWords(ucum) || vitalWords(vital).unit]
    .filter((it) => it !== "")
    .join(" ");
}

/** `limit 90 %`; undefined where there is none. */
export function limitWords(alert: Alert): string | undefined {
  if (alert.limit === undefined) return undefined;
  return `limit ${quantityWithUnit(alert.vital, alert.limit, alert.unit)}`;
}

/** What an alert is about, short: `Oxygen saturation`, `score 7`, `technical`. */
export function alertTopic(alert: Alert): string {
  if (alert.score !== undefined) return `Score ${alert.score.total}`;
  if (alert.vital !== Vital.UNSPECIFIED) return vitalWords(alert.vital).name;
  return alert.kind === AlertKind.TECHNICAL ? "Equipment" : "Patient";
}

/** For reading aloud: `High priority: spo2-low, oxygen saturation, of p-1042, limit 90 %.` */
export function alertSentence(alert: Alert): string {
  const parts = [alert.ruleId, `${alertTopic(alert).toLowerCase()} of ${whose(alert)}`];
  const limit = limitWords(alert);
  if (limit !== undefined) parts.push(limit);
  return `${capital(priorityName(alert.priority))} priority: ${parts.join(", ")}.`;
}

/** The title of the browser's tab: `NOT LIVE Ward`, `!!! 2 Devices`; by the worst that calls. */
export function tabTitle(view: string, isLive: boolean, calling: Counts): string {
  const { high, medium } = calling;
  let first = "";
  if (!isLive) first = "NOT LIVE";
  else if (high > 0) first = `${priorityMark(Priority.HIGH)} ${high}`;
  else if (medium > 0) first = `${priorityMark(Priority.MEDIUM)} ${medium}`;
  const words = [first, view].filter((it) => it !== "").join(" ");
  return [words, "Pulseward"].filter((it) => it !== "").join(" – ");
}

/** What a rule watches for, in a sentence. */
export function ruleSentence(rule: Rule): string {
  const { kind } = rule;
  switch (kind.case) {
    case "limit":
      return `${vitalWords(kind.value.vital).name} ${sideWords(kind.value.side)} a limit.`;
    case "trend":
      return `${vitalWords(kind.value.vital).name} ${kind.value.direction === Side.BELOW ? "falls" : "rises"} by more than a step within ${span(kind.value.window)}.`;
    case "baseline":
      return `${vitalWords(kind.value.vital).name} far ${sideWords(kind.value.side)} the patient's own usual range over ${span(kind.value.history)}.`;
    case "score":
      return `${kind.value.score === Score.NEWS2 ? "NEWS2" : "A score"} at or above a total.`;
    case "silence":
      return `No ${vitalWords(kind.value.vital).name.toLowerCase()} for ${kind.value.intervals} expected intervals.`;
    case "technical":
      return `${conditionName(kind.value.condition)} for ${span(kind.value.delay)}.`;
    case "asserted":
      return "A device asserts it.";
    default:
      return "Switched off.";
  }
}

/** Each level of a rule, by rising priority. */
export function levelWords(rule: Rule): { priority: number; text: string }[] {
  const { kind } = rule;
  switch (kind.case) {
    case "limit": {
      const { vital, side, levels } = kind.value;
      return levels.map((it) => ({
        priority: it.priority,
        text: `${sideWords(side)} ${quantityWithUnit(vital, it.limit, "")}${persistence(it)}`,
      }));
    }
    case "trend":
      return kind.value.levels.map((it) => ({
        priority: it.priority,
        text: `by more than ${quantityWithUnit(kind.value.vital, it.delta, "")}`,
      }));
    case "baseline":
      return kind.value.levels.map((it) => ({
        priority: it.priority,
        text: `more than ${it.z} robust standard deviations`,
      }));
    case "score":
      return [
        ...(kind.value.singleParameterPriority === 0
          ? []
          : [
              {
                priority: kind.value.singleParameterPriority,
                text: "one parameter alone scores 3",
              },
            ]),
        ...kind.value.levels.map((it) => ({
          priority: it.priority,
          text: `total ${it.total} or more`,
        })),
      ];
    case "silence":
    case "technical":
    case "asserted":
      return [{ priority: kind.value.priority, text: "while it lasts" }];
    default:
      return [];
  }
}

function persistence(level: {
  sustained?: { delay?: Parameters<typeof spanMillis>[0] };
  spot?: { n: number; of: number };
}): string {
  const delay = spanMillis(level.sustained?.delay) ?? 0;
  if (level.sustained !== undefined) return delay > 0 ? ` for ${exactSpanWords(delay)}` : "";
  return level.spot === undefined ? "" : `, ${level.spot.n} of ${level.spot.of} readings`;
}

function sideWords(side: Side): string {
  return side === Side.BELOW ? "below" : "above";
}

function span(of: Parameters<typeof spanMillis>[0]): string {
  return exactSpanWords(spanMillis(of) ?? 0);
}

function conditionName(condition: TechnicalCondition): string {
  const known: Partial<Record<TechnicalCondition, string>> = {
    [TechnicalCondition.SENSOR_OFF]: "The sensor is off the patient",
    [TechnicalCondition.BATTERY_LOW]: "The battery is low",
    [TechnicalCondition.CLOCK_FAULT]: "The device's clock is more than 30 s off",
    [TechnicalCondition.DEVICE_OFFLINE]: "The device is offline",
    [TechnicalCondition.GATEWAY_OFFLINE]: "The gateway is offline",
    [TechnicalCondition.DEVICE_FAULT]: "The device reports a fault",
  };
  return known[condition] ?? "A technical condition";
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A reading that decided an event: `Heart rate 134 /min`. */
export function decidingWords(reading: DecidingReading): string {
  const name = vitalWords(reading.vital).name;
  if (reading.quantity !== undefined) {
    return `${name} ${quantityWithUnit(reading.vital, reading.quantity, "")}`;
  }
  return reading.consciousness === Acvpu.UNSPECIFIED
    ? name
    : `${name}: ${consciousnessWords(reading.consciousness)}`;
}
