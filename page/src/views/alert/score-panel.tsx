/** What a score was made of. */
import type { Alert, ScoreParameter } from "../../gen/pulseward/v1/alert_pb";
import { type Column, Table } from "../../ui/table";
import { caveatWords, riskWords } from "../../words/alerts";
import { clockTime, millis } from "../../words/times";
import { vitalWords } from "../../words/vitals";

const COLUMNS: Column<ScoreParameter>[] = [
  { head: "Parameter", cell: (it) => vitalWords(it.vital).name, rowHead: true },
  { head: "Points", cell: (it) => it.points, numeric: true },
  {
    head: "Measured",
    cell: (it) => {
      const at = millis(it.measuredAt);
      return at === undefined ? "?" : clockTime(at);
    },
  },
];

export function ScorePanel({ alert: { score } }: { alert: Alert }) {
  if (score === undefined) return null;
  const missing = score.missing.map((it) => vitalWords(it).name.toLowerCase());
  return (
    <div class="score">
      <p>
        Total <b class="score-total">{score.total}</b>
        {missing.length > 0 && " or more"}: {riskWords(score.risk)}.
      </p>
      {missing.length > 0 && (
        <p>
          <b>Missing or too old:</b> {missing.join(", ")}. Never taken as normal.
        </p>
      )}
      {score.caveats.map((it) => (
        <p key={it}>
          <b>Mind:</b> {caveatWords(it)}.
        </p>
      ))}
      <Table
        caption="What the score is made of"
        columns={COLUMNS}
        rows={score.parameters}
        rowKey={(it) => it.vital}
      />
    </div>
  );
}
