/** Buttons that belong together, with a name that is read aloud. */
import type { ComponentChildren } from "preact";

export function Group({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <fieldset class="group buttons">
      <legend class="unseen">{name}</legend>
      {children}
    </fieldset>
  );
}
