/** The line that says whether what is shown is live; across the whole page where it is not. */
import { useEffect } from "preact/hooks";

import { now } from "../state/clock";
import { shown } from "../state/live";
import { clockTime, spanWords, whenWords, zone } from "../words/times";
import { announce } from "./announcer";

export function Banner() {
  const state = shown.value;
  useEffect(() => {
    document.documentElement.dataset.live = String(state.live);
  }, [state.live]);
  return state.live ? null : <NotLive since={state.since} why={state.why} />;
}

function NotLive({ since, why }: { since: number; why: string }) {
  useEffect(() => {
    announce(`Not live: ${why}. What you see may be so no longer.`, "assertive");
  }, [why]);
  return (
    <section class="banner" aria-label="Not live">
      <strong class="banner-title">NOT LIVE</strong>
      <span class="banner-why">
        since {whenWords(since, now.value)} ({spanWords(now.value - since)}): {why}.
      </span>
      <span class="banner-what">
        What you see was so, and may be so no longer. Look at the patient.
      </span>
    </section>
  );
}

/** The small mark in the head of the page: LIVE with the time, or NOT LIVE. */
export function LiveMark() {
  const isLive = shown.value.live;
  return (
    <span class={isLive ? "live-mark is-live" : "live-mark"}>
      <span class="live-word">{isLive ? "LIVE" : "NOT LIVE"}</span>
      <time class="live-time">
        {clockTime(now.value)} <span class="live-zone">{zone(now.value)}</span>
      </time>
    </span>
  );
}
