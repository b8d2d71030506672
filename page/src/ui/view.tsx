/**
 * What every view begins with: a heading that takes the focus when one comes to the view, so that
 * keyboard and screen reader begin there; and the title of the browser's tab.
 */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { viewName } from "./tab-title";

interface Props {
  /** The heading. */
  title: ComponentChildren;
  /** As the browser's tab has it: no patient's id belongs there. */
  tabTitle: string;
  /** Beside the heading: filters, buttons. */
  tools?: ComponentChildren;
  children: ComponentChildren;
  /** For the style sheet: `ward`, `alert`. */
  name: string;
  /** The heading is only read aloud. */
  titleUnseen?: boolean;
}

/** The first view of a visit leaves the focus where the browser puts it. */
let isFirst = true;

export function View({ title, tabTitle, tools, children, name, titleUnseen = false }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (!isFirst) heading.current?.focus();
    isFirst = false;
  }, []);
  useEffect(() => {
    viewName.value = tabTitle;
  }, [tabTitle]);
  return (
    <div class={`view view-${name}`}>
      <div class={titleUnseen ? "view-head has-unseen-title" : "view-head"}>
        <h1 ref={heading} tabIndex={-1} class={titleUnseen ? "unseen" : ""}>
          {title}
        </h1>
        {tools !== undefined && <div class="view-tools">{tools}</div>}
      </div>
      {children}
    </div>
  );
}
