/** Keys and signs, on request. */
import { Priority } from "../gen/pulseward/v1/profile_pb";
import { priorityMeaning } from "../words/alerts";
import { Dialog } from "./dialog";
import { PriorityMark } from "./priority-mark";
import { areShortcutsOn, chooseShortcuts, groups } from "./shortcuts";

const NAMES: Record<string, string> = {
  ArrowDown: "↓",
  ArrowUp: "↑",
  ArrowLeft: "←",
  ArrowRight: "→",
};

export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys and signs" onClose={onClose} wide>
      <div class="help">
        {groups.value.map((group) => (
          <section key={group.name}>
            <h3>{group.name}</h3>
            <dl class="help-keys">
              {group.keys.map((it) => (
                <div key={it.key}>
                  <dt>
                    <kbd>{NAMES[it.key] ?? it.key}</kbd>
                  </dt>
                  <dd>{it.does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <label class="check">
          <input
            type="checkbox"
            checked={areShortcutsOn.value}
            onChange={(event) => chooseShortcuts(event.currentTarget.checked)}
          />
          Single keys do something
        </label>
        <Signs />
      </div>
    </Dialog>
  );
}

function Signs() {
  return (
    <section>
      <h3>Signs</h3>
      <ul class="help-signs">
        {[Priority.HIGH, Priority.MEDIUM, Priority.LOW].map((it) => (
          <li key={it}>
            <PriorityMark priority={it} word /> {priorityMeaning(it)}
          </li>
        ))}
        <li>
          <PriorityMark priority={Priority.HIGH} quiet /> in outline: its signal is acknowledged,
          paused or off; the patient is as ill as before
        </li>
        <li>
          <b>latched</b>: over, waits to be reset
        </li>
        <li>
          <b>--</b> the sensor gives no value; <b>(76)</b> older than a minute; <b>76?</b> doubted
          by the device or the service
        </li>
        <li>
          <b>NOT LIVE</b>: what you see was so, and may be so no longer. Look at the patient.
        </li>
      </ul>
      <p class="fine">
        This page shows alerts; nobody is known to have seen them. It is not a risk control: the
        alarm at the bedside stays.
      </p>
    </section>
  );
}
