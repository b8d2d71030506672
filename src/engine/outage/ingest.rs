//! Our own intake: the service itself, its link to the broker, and the room for what comes by it.
//!
//! From the moment when nothing can come any more, attentive time stands still, until the link is
//! up and messages are taken. An outage that
//! lasts is told by one alert, which ends when what piled up has been taken in. A session that the
//! broker has unexpectedly lost is an alert of its own, which waits for somebody to take note: what
//! was published meanwhile may be gone, and nothing will ever tell which.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Outage, close, end, is_of, own, raise, raise_latched};
use crate::clock::Timestamp;
use crate::engine::alerts::{Policy, Trigger};
use crate::engine::input::{Intake, Link};
use crate::engine::output::Output;
use crate::engine::state::{General, State};
use crate::vitals::RuleId;

/// The rule of the alert of our own outage.
pub(in crate::engine) const INGEST: &str = "pulseward.ingest";
/// The rule of the alert that messages may have been lost.
pub(in crate::engine) const INGEST_GAP: &str = "pulseward.ingest-gap";
/// An outage of our own is told after this long: a link that is back in a moment is no news.
const INGEST_DELAY: Duration = Duration::from_secs(10);

/// Our own intake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Ingest {
    /// Since when nothing can come, if so.
    down_since: Option<Timestamp>,
    /// Whether the link to the broker is up.
    is_linked: bool,
    /// Whether messages are left to the broker, because the journal is full.
    is_held: bool,
    /// Whether the broker has ever held a session of ours.
    had_session: bool,
    /// How many alerts of our own there were: part of the next one's id.
    occurrences: u32,
}

/// The data directory was lost, and the state rebuilt: what was acknowledged and not stored is gone,
/// which somebody must hear of. There were `occurrences` alerts of our own.
pub(in crate::engine) fn restored(
    state: &mut State,
    occurrences: u32,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let told = state.general.alerts.iter().find(|open| is_of(open, INGEST));
    let down_since = told.map(|open| open.alert.onset);
    // A broker that has lost our session as well has lost messages.
    state.general.ingest =
        Ingest { down_since, occurrences, had_session: true, ..Ingest::default() };
    raise_gap(state, now, outputs);
}

impl Ingest {
    /// Whether messages are left to the broker.
    pub(in crate::engine) const fn is_held(&self) -> bool {
        self.is_held
    }

    /// The number of the next alert of our own.
    pub(super) const fn next_occurrence(&mut self) -> u32 {
        self.occurrences += 1;
        self.occurrences
    }
}

/// When something of it is due.
pub(super) fn due_at(general: &General) -> Option<Timestamp> {
    let told = untold_since(general).map(|since| since.plus(INGEST_DELAY));
    [told, general.attention.resumes_at()].into_iter().flatten().min()
}

/// Does what of that is due.
pub(super) fn fire(state: &mut State, now: Timestamp, outputs: &mut Vec<Output>) {
    tell(state, now, outputs);
    if state.general.attention.resumes_at().is_some_and(|at| at <= now) {
        caught_up(state, now, outputs);
    }
}

/// The service has started, and was alive last at `last_alive`.
pub(in crate::engine) fn started(
    state: &mut State,
    last_alive: Option<Timestamp>,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let since = last_alive.unwrap_or(now);
    // Of an earlier run, both; whoever feeds the engine says so anew.
    (state.general.ingest.is_linked, state.general.ingest.is_held) = (false, false);
    stop(state, since);
    tell(state, now, outputs);
}

/// Nothing can come any more.
fn stop(state: &mut State, since: Timestamp) {
    state.general.attention.stop(since);
    state.general.ingest.down_since.get_or_insert(since);
}

/// Something can come again, if both are so.
fn resume(state: &mut State, now: Timestamp) {
    let Ingest { is_linked, is_held, .. } = state.general.ingest;
    if is_linked && !is_held {
        state.general.attention.link_up(now);
    }
}

/// Messages are taken, or no longer.
pub(in crate::engine) fn intake(state: &mut State, intake: Intake, now: Timestamp) {
    state.general.ingest.is_held = intake == Intake::Held;
    match intake {
        Intake::Held => stop(state, now),
        Intake::Resumed => resume(state, now),
    }
}

/// The link to the broker changed.
pub(in crate::engine) fn link(
    state: &mut State,
    link: Link,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    match link {
        Link::Down => {
            state.general.ingest.is_linked = false;
            stop(state, now);
        }
        Link::Up { session_present } => {
            let is_lost = state.general.ingest.had_session && !session_present;
            state.general.ingest.had_session = true;
            state.general.ingest.is_linked = true;
            resume(state, now);
            if is_lost {
                raise_gap(state, now, outputs);
            }
        }
        Link::CaughtUp => caught_up(state, now, outputs),
    }
}

/// What piled up has been taken in: clocks go on, and the outage is over.
fn caught_up(state: &mut State, now: Timestamp, outputs: &mut Vec<Output>) {
    if !state.general.attention.resume(now) {
        return;
    }
    state.general.ingest.down_since = None;
    end(state, INGEST, None, now, Trigger::Ingest, outputs);
}

/// Since when nothing can come, if nobody was told. While the backlog is coming there is no more
/// to tell than that it will soon be over.
fn untold_since(general: &General) -> Option<Timestamp> {
    let is_told = general.alerts.iter().any(|open| is_of(open, INGEST));
    let is_over = general.attention.resumes_at().is_some();
    general.ingest.down_since.filter(|_| !is_told && !is_over)
}

fn tell(state: &mut State, now: Timestamp, outputs: &mut Vec<Output>) {
    let Some(since) = untold_since(&state.general) else { return };
    if now.since(since) < INGEST_DELAY {
        return;
    }
    let rule = own(INGEST);
    let outage = outage(state, &rule, since);
    raise(state, outage, now, outputs);
}

/// Messages may have been lost: nothing will tell which, so the signal waits for a person.
fn raise_gap(state: &mut State, now: Timestamp, outputs: &mut Vec<Output>) {
    let since = state.general.ingest.down_since.unwrap_or(now);
    // A second loss before the first was reset is told by an alert in its place.
    close(state, INGEST_GAP, now, outputs);
    let rule = own(INGEST_GAP);
    let outage = outage(state, &rule, since);
    raise_latched(state, outage, now, outputs);
}

/// An outage of our own stands for everyone who wears a device.
fn outage<'a>(state: &State, rule: &'a RuleId, onset: Timestamp) -> Outage<'a> {
    Outage {
        policy: Policy::own(rule),
        place: None,
        priority: state.highest_technical_priority(),
        covered: state.worn,
        onset,
        trigger: Trigger::Ingest,
    }
}
