/** Keeps a fault in one view from taking the page along, and says that there is one. */
import { Component, type ComponentChildren } from "preact";

import { showFault } from "../state/live";
import { Problem } from "./asked";
import { Button } from "./button";

interface Props {
  children: ComponentChildren;
}

export class Guard extends Component<Props, { isBroken: boolean }> {
  override state = { isBroken: false };

  static override getDerivedStateFromError() {
    return { isBroken: true };
  }

  override componentDidCatch(thrown: unknown): void {
    globalThis.reportError(thrown);
    showFault();
  }

  override render() {
    if (!this.state.isBroken) return this.props.children;
    return (
      <Problem>
        <p>This view has a fault and cannot be shown.</p>
        <Button onPress={() => globalThis.location.reload()}>Reload the page</Button>
      </Problem>
    );
  }
}
