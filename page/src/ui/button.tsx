/**
 * A button. One that may not be pressed says why, can still be found by keyboard, and does nothing.
 */
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface Props {
  children: ComponentChildren;
  onPress: () => void;
  /** Why it may not be pressed now; undefined if it may. */
  disabledWhy?: string;
  kind?: "plain" | "primary" | "danger" | "quiet";
  /** The key that does the same, shown beside it. */
  shortcut?: string;
  pressed?: boolean;
  label?: string;
  type?: "button" | "submit";
}

export function Button(props: Props) {
  const { children, onPress, disabledWhy, kind = "plain", shortcut, pressed, label } = props;
  const whyId = useId();
  const isDisabled = disabledWhy !== undefined;
  const press = (event: Event) => {
    if (isDisabled) event.preventDefault();
    else onPress();
  };
  return (
    <>
      <button
        type={props.type ?? "button"}
        class={`button button-${kind}`}
        onClick={press}
        aria-disabled={isDisabled}
        aria-describedby={isDisabled ? whyId : undefined}
        aria-keyshortcuts={shortcut}
        aria-pressed={pressed}
        aria-label={label}
        title={disabledWhy}
      >
        {children}
        {shortcut !== undefined && (
          <span class="button-key" aria-hidden="true">
            {shortcut}
          </span>
        )}
      </button>
      {isDisabled && (
        <span id={whyId} class="unseen">
          {disabledWhy}
        </span>
      )}
    </>
  );
}
