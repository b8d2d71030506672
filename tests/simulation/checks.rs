//! What must hold after every input, watched from outside.
//!
//! The checkers know the contract and not the engine: they keep a registry, clocks and alerts of
//! their own, fed by inputs and outputs alone, and call none of the engine's decisions. What the
//! contract leaves to a profile they know from [`crate::profiles`].
//!
//! - [`registry`]: whose readings are, which are admitted and which are late (V7)
//! - [`stories`]: every alert's events form a legal story, one open alert a rule (V4)
//! - [`evidence`]: what starts and ends a condition, and that nothing critical is missed (V8)
//! - [`outages`]: our own outages and those of gateways (V10), and what is silent
//! - [`watch`]: monitoring states, and the state's own view of what is open

mod evidence;
mod outages;
pub(crate) mod registry;
pub(crate) mod stories;
mod watch;

use pulseward::clock::Timestamp;
use pulseward::engine::State;
use pulseward::engine::alerts::AlertEvent;
use pulseward::engine::output::{Output, Reply};

use self::outages::Outages;
use self::registry::Registry;
use self::stories::Stories;
use self::watch::Watch;
use crate::ward::{Micros, Step};

/// What did not hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// Its name in the contract, or what it is about.
    pub(crate) invariant: &'static str,
    /// What was seen.
    pub(crate) detail: String,
}

impl Violation {
    pub(crate) const fn new(invariant: &'static str, detail: String) -> Self {
        Self { invariant, detail }
    }
}

/// Fails with what was seen unless it holds.
pub(crate) fn hold(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::new(invariant, detail())) }
}

/// All checkers, and how much they have seen.
#[derive(Default)]
pub(crate) struct Checks {
    pub(crate) registry: Registry,
    pub(crate) stories: Stories,
    outages: Outages,
    watch: Watch,
    /// When the last event was determined.
    determined_at: Option<Timestamp>,
    pub(crate) seen: Seen,
}

/// How much was seen: a run in which nothing happened proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) inputs: u64,
    pub(crate) readings: u64,
    pub(crate) events: u64,
    pub(crate) refused_commands: u64,
    pub(crate) own_outages: u64,
    pub(crate) gateway_outages: u64,
}

impl Checks {
    /// Looks at an input and what it led to.
    pub(crate) fn check(
        &mut self,
        step: &Step,
        outputs: &[Output],
        reply: Option<&Reply>,
        state: &State,
    ) -> Result<(), Violation> {
        let now = step.input.received_at;
        let expected = self.registry.expect(step);
        self.registry.compare(&expected, outputs)?;
        self.outages.before(step, &self.registry);
        self.stories.begin();
        for event in events(outputs) {
            self.check_event(event, now)?;
            self.outages.event(event, &self.registry)?;
            evidence::check(event, now, &expected)?;
            self.stories.event(event, &self.registry)?;
        }
        self.stories.compare_reply(step, reply)?;
        self.outages.readings(now, &expected, outputs);
        self.registry.change(step, outputs, reply)?;
        self.outages.after(step, &self.registry, &self.stories)?;
        self.stories.after(now)?;
        evidence::critical(&expected, &self.registry, &self.stories)?;
        self.watch.check(now, outputs, &self.registry)?;
        self.count(outputs, reply);
        if self.watch.is_time_to_sweep(now) {
            self.watch.sweep(state, &self.registry, &self.stories)?;
            self.outages.sweep(now, &self.registry, &self.stories)?;
        }
        Ok(())
    }

    /// Time never goes back, and nothing is determined before it could be.
    fn check_event(&mut self, event: &AlertEvent, now: Timestamp) -> Result<(), Violation> {
        let at = event.determined_at;
        let is_in_order = self.determined_at.is_none_or(|before| before <= at) && at <= now;
        self.determined_at = Some(at);
        hold(is_in_order, "determined_at never goes back", || format!("{event:?} at {now}"))
    }

    fn count(&mut self, outputs: &[Output], reply: Option<&Reply>) {
        self.seen.inputs += 1;
        for output in outputs {
            match output {
                Output::Reading(_) => self.seen.readings += 1,
                Output::Alert(_) => self.seen.events += 1,
                _ => {}
            }
        }
        self.seen.refused_commands += u64::from(reply.is_some_and(Result::is_err));
        (self.seen.own_outages, self.seen.gateway_outages) = self.outages.count();
    }
}

/// The alert events among outputs.
pub(crate) fn events(outputs: &[Output]) -> impl Iterator<Item = &AlertEvent> {
    outputs.iter().filter_map(|output| match output {
        Output::Alert(event) => Some(&**event),
        _ => None,
    })
}

/// A span as the ward counts it.
pub(crate) fn micros(span: std::time::Duration) -> Micros {
    Micros::try_from(span.as_micros()).expect("a short span")
}
