/** The rules in force for a patient: what they watch, at which levels, whose they are. */
import { profiles } from "../../api/clients";
import type { EffectiveRule } from "../../gen/pulseward/v1/profile_pb";
import { AskedState, useAsked } from "../../ui/asked";
import { PriorityMark } from "../../ui/priority-mark";
import { type Column, Table } from "../../ui/table";
import { ownerWords } from "../../words/alerts";
import { levelWords, ruleSentence } from "../../words/sentences";

const COLUMNS: Column<EffectiveRule>[] = [
  { head: "Rule", cell: (it) => it.rule?.ruleId, rowHead: true },
  { head: "Watches for", cell: (it) => <Watched of={it} /> },
  { head: "Levels", cell: (it) => <Levels of={it} /> },
  { head: "Whose", cell: (it) => ownerWords(it.owner) },
  { head: "Version", cell: (it) => it.version, numeric: true },
];

export function LimitsInForce({ patientId }: { patientId: string }) {
  const asked = useAsked(patientId, (signal) =>
    profiles().getEffectiveProfile({ patientId }, { signal, timeoutMs: 10_000 }),
  );
  return (
    <>
      <AskedState of={asked} what="Limits" />
      {asked.answer !== undefined && (
        <Table
          caption="Rules in force for this patient"
          captionUnseen
          columns={COLUMNS}
          rows={asked.answer.rules}
          rowKey={(it, index) => it.rule?.ruleId ?? index}
          empty="No rule is in force: nothing alarms for this patient."
        />
      )}
    </>
  );
}

function Watched({ of }: { of: EffectiveRule }) {
  return (
    <>
      {of.rule === undefined ? "?" : ruleSentence(of.rule)}
      {of.notMonitoredBecause !== "" && (
        <p class="cannot-fire">
          <b>Cannot fire:</b> {of.notMonitoredBecause}
        </p>
      )}
    </>
  );
}

/** Each level of a rule with its priority. */
export function Levels({ of }: { of: EffectiveRule }) {
  if (of.rule === undefined) return null;
  return (
    <ul class="levels">
      {levelWords(of.rule).map((it) => (
        <li key={`${it.priority} ${it.text}`}>
          <PriorityMark priority={it.priority} word /> <span>{it.text}</span>
        </li>
      ))}
    </ul>
  );
}
