/**
 * A modal dialog: the browser's own, which keeps the focus inside, closes on Escape, and gives the
 * focus back to where it was.
 */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

interface Props {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  /** Wider, for tables. */
  wide?: boolean;
}

/** Where the focus begins: with what is asked, else with what goes on. */
const FIRST = "form :is(textarea, select, input), form .button-primary";

export function Dialog({ title, onClose, children, wide = false }: Props) {
  const box = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const before = withAncestors(document.activeElement);
    const shown = box.current;
    shown?.showModal();
    shown?.querySelector<HTMLElement>(FIRST)?.focus();
    return () => {
      shown?.close();
      giveBack(before);
    };
  }, []);
  return (
    <dialog
      ref={box}
      class={wide ? "dialog dialog-wide" : "dialog"}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <div class="dialog-head">
        <h2 id={titleId}>{title}</h2>
        <button type="button" class="button button-quiet" aria-label="Close" onClick={onClose}>
          <span aria-hidden="true">✕</span>
        </button>
      </div>
      {children}
    </dialog>
  );
}

function withAncestors(element: Element | null): Element[] {
  return element === null ? [] : [element, ...withAncestors(element.parentElement)];
}

/**
 * The focus goes to where it was. A button that has done its work may be gone: then to the first thing
 * in what was around it.
 */
function giveBack(before: readonly Element[]): void {
  for (const it of before.filter((it) => it.isConnected)) {
    const target = it === before[0] ? it : it.querySelector("a[href], button, [tabindex]");
    if (!(target instanceof HTMLElement)) continue;
    target.focus();
    return;
  }
}
