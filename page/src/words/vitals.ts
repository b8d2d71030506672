/** Vitals, their units and values in words. */
import { AbsentReason, Acvpu, Vital } from "../gen/pulseward/v1/reading_pb";
import { ReadingFlag, type StoredReading } from "../gen/pulseward/v1/vitals_pb";

interface VitalWords {
  /** As it heads a row: `HR`. */
  short: string;
  /** In plain words: `Heart rate`. */
  name: string;
  /** As people write it; empty for none. */
  unit: string;
  /** Fractional digits to show. */
  digits: number;
}

const VITALS: Record<Vital, VitalWords> = {
  [Vital.UNSPECIFIED]: { short: "?", name: "Unknown vital", unit: "", digits: 1 },
  [Vital.HEART_RATE]: { short: "HR", name: "Heart rate", unit: "/min", digits: 0 },
  [Vital.PULSE_RATE]: { short: "PR", name: "Pulse rate", unit: "/min", digits: 0 },
  [Vital.SPO2]: { short: "SpO₂", name: "Oxygen saturation", unit: "%", digits: 0 },
  [Vital.RESPIRATORY_RATE]: { short: "RR", name: "Respiratory rate", unit: "/min", digits: 0 },
  [Vital.SYSTOLIC_PRESSURE]: { short: "SBP", name: "Systolic pressure", unit: "mmHg", digits: 0 },
  [Vital.DIASTOLIC_PRESSURE]: { short: "DBP", name: "Diastolic pressure", unit: "mmHg", digits: 0 },
  [Vital.MEAN_PRESSURE]: { short: "MAP", name: "Mean pressure", unit: "mmHg", digits: 0 },
  [Vital.BODY_TEMPERATURE]: { short: "Temp", name: "Body temperature", unit: "°C", digits: 1 },
  [Vital.SKIN_TEMPERATURE]: { short: "Tskin", name: "Skin temperature", unit: "°C", digits: 1 },
  [Vital.BLOOD_GLUCOSE]: { short: "Gluc", name: "Blood glucose", unit: "mg/dL", digits: 0 },
  [Vital.WEIGHT]: { short: "Wt", name: "Weight", unit: "kg", digits: 1 },
  [Vital.PERFUSION_INDEX]: { short: "PI", name: "Perfusion index", unit: "%", digits: 1 },
  [Vital.OXYGEN_FLOW]: { short: "O₂", name: "Oxygen flow", unit: "L/min", digits: 1 },
  [Vital.CONSCIOUSNESS]: { short: "ACVPU", name: "Consciousness", unit: "", digits: 0 },
  [Vital.STEPS]: { short: "Steps", name: "Steps", unit: "", digits: 0 },
};

/** All vitals that have a quantity over time, in the order of the contract. */
export const QUANTITY_VITALS: readonly Vital[] = Object.keys(VITALS)
  .map(Number)
  .filter((it) => it !== Vital.UNSPECIFIED && it !== Vital.CONSCIOUSNESS);

/** How a vital is called; one that this version does not know is `?`, never left out. */
export function vitalWords(vital: Vital): VitalWords {
  return VITALS[vital] ?? VITALS[Vital.UNSPECIFIED];
}

/** A vital's name in an address: `heart_rate`. */
export function vitalKey(vital: Vital): string {
  return (Vital[vital] ?? "unspecified").toLowerCase();
}

/** The vital of such a name. */
export function vitalOfKey(key: string): Vital | undefined {
  const found: unknown = Vital[key.toUpperCase() as keyof typeof Vital];
  return typeof found === "number" && found !== Vital.UNSPECIFIED ? found : undefined;
}

/** A unit as people write it; its UCUM code where that is the same. */
export function unitWords(ucum: string): string {
  const written: Record<string, string> = { "mm[Hg]": "mmHg", Cel: "°C", "1": "" };
  return written[ucum] ?? ucum;
}

/** A quantity of this vital: as it is, with as many digits as it is usually read with at least. */
export function quantityWords(vital: Vital, quantity: number): string {
  const exact = String(Number(quantity.toFixed(4)));
  const { digits } = vital === Vital.UNSPECIFIED ? { digits: 0 } : vitalWords(vital);
  const said = exact.split(".")[1]?.length ?? 0;
  return said >= digits ? exact : quantity.toFixed(digits);
}

/** What a reading says, without its unit; `--` where the sensor gave no value. */
export function valueWords(reading: StoredReading): string {
  switch (reading.value.case) {
    case "quantity":
      return quantityWords(reading.vital, reading.value.value);
    case "consciousness":
      return consciousnessWords(reading.value.value);
    default:
      return "--";
  }
}

/** Why a reading has no value; undefined if it has one. */
export function absentWords(reading: StoredReading): string | undefined {
  return reading.value.case === "absent" ? absentReasonWords(reading.value.value) : undefined;
}

/** A level of consciousness. */
export function consciousnessWords(level: Acvpu): string {
  const known: Record<Acvpu, string> = {
    [Acvpu.UNSPECIFIED]: "?",
    [Acvpu.ALERT]: "alert",
    [Acvpu.CONFUSION]: "confusion",
    [Acvpu.VOICE]: "voice",
    [Acvpu.PAIN]: "pain",
    [Acvpu.UNRESPONSIVE]: "unresponsive",
  };
  return known[level] ?? "?";
}

function absentReasonWords(reason: AbsentReason): string {
  const known: Partial<Record<AbsentReason, string>> = {
    [AbsentReason.SENSOR_OFF]: "sensor off",
    [AbsentReason.NOT_A_NUMBER]: "not computed",
    [AbsentReason.ERROR]: "device fault",
    [AbsentReason.ARTEFACT]: "artefact",
  };
  return known[reason] ?? "no value";
}

/** What is to be known about a reading's worth, in words. */
export function flagWords(flag: ReadingFlag): string {
  const known: Record<ReadingFlag, string> = {
    [ReadingFlag.UNSPECIFIED]: "?",
    [ReadingFlag.QUESTIONABLE]: "the device doubts it",
    [ReadingFlag.IMPLAUSIBLE]: "implausible",
    [ReadingFlag.NO_SENSOR]: "a value without a sensor",
    [ReadingFlag.LATE]: "came late",
    [ReadingFlag.CLOCK_AHEAD]: "clock ahead",
    [ReadingFlag.TEST]: "test",
    [ReadingFlag.DEMO]: "demonstration",
    [ReadingFlag.AMENDED]: "amended",
    [ReadingFlag.CLOCK_UNSET]: "clock never set",
  };
  return known[flag] ?? "?";
}

const DOUBTS = [
  ReadingFlag.QUESTIONABLE,
  ReadingFlag.IMPLAUSIBLE,
  ReadingFlag.NO_SENSOR,
  ReadingFlag.CLOCK_UNSET,
];

/** Whether nobody should lean on this value. */
export function isDoubted(reading: StoredReading): boolean {
  return reading.flags.some((it) => DOUBTS.includes(it));
}
