/** Asks for a token: pasted, or from a file. It never goes into an address. */
import { useEffect, useRef, useState } from "preact/hooks";

import { access, signIn } from "../../api/session";
import { Problem } from "../../ui/asked";
import { Button } from "../../ui/button";

interface Props {
  /** What is behind it stays on the screen, marked as not live. */
  isOverContent?: boolean;
}

/** A token is some kilobytes at most; a file beyond this is something else. */
const FILE_BYTES_MAX = 64 * 1024;

export function LoginView({ isOverContent = false }: Props) {
  const [text, setText] = useState("");
  const [keep, setKeep] = useState(false);
  const [complaint, setComplaint] = useState<string>();
  const field = useRef<HTMLInputElement>(null);
  const now = access.value;
  const why = now.kind === "login" ? now.why : undefined;
  useEffect(() => field.current?.focus(), []);
  const enter = (event: Event) => {
    event.preventDefault();
    if (text.trim() === "") setComplaint("Paste a token, or choose the file that holds it.");
    else signIn(text, keep);
  };
  const readFile = async (event: Event) => {
    const file = (event.currentTarget as HTMLInputElement).files?.[0];
    if (file === undefined) return;
    if (file.size > FILE_BYTES_MAX) setComplaint("This file is too large to be a token.");
    else setText((await file.text()).trim());
  };
  // Above a view, which has a heading of its own, it is not the page's.
  const Title = isOverContent ? "h2" : "h1";
  return (
    <section
      class={isOverContent ? "login is-over-content" : "login"}
      aria-labelledby="login-title"
    >
      <Title id="login-title">{isOverContent ? "Sign in again" : "Sign in"}</Title>
      {why !== undefined && <Problem>{why}</Problem>}
      {complaint !== undefined && <Problem>{complaint}</Problem>}
      <form onSubmit={enter} autocomplete="off">
        <label class="field">
          <span>Token</span>
          <input
            ref={field}
            type="password"
            name="token"
            autocomplete="off"
            spellcheck={false}
            value={text}
            onInput={(event) => {
              setComplaint(undefined);
              setText(event.currentTarget.value);
            }}
          />
        </label>
        <label class="field">
          <span>or a file that holds it</span>
          <input type="file" onChange={readFile} />
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={keep}
            onChange={(event) => setKeep(event.currentTarget.checked)}
          />
          Keep it until this tab is closed
        </label>
        <div class="buttons">
          <Button type="submit" kind="primary" onPress={() => undefined}>
            Sign in
          </Button>
        </div>
      </form>
    </section>
  );
}
