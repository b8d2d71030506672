//! Faults: which there are, how often they happen, and whom they befall when.
//!
//! A fault has a rate over the whole run, or its time by schedule. What a rate counts is the kind's
//! own ([`Kind::per`]): messages, devices, or seconds of the run. Everything is drawn from streams
//! of the seed of their own, so that a fault that is switched on changes neither the patients'
//! values nor another fault. It does not touch a message; [`super::stream`] does.

use std::fmt;

use clap::ValueEnum;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::episode::millis;
use super::limits;
use super::scenario::Scenario;
use crate::random::Random;

/// Kinds of faults.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A message comes again as another message, byte for byte.
    Duplicates,
    /// Readings come again under their numbers, in messages cut otherwise.
    Recuts,
    /// A message comes after the one that follows it.
    Reordering,
    /// A device is offline for a time and then sends what it measured, or what it kept from hours
    /// before.
    Backfill,
    /// A device's clock is ahead or behind, by less than 30 s or by hours.
    Skew,
    /// A device's clock steps.
    Jumps,
    /// A device starts anew, with a new boot id and numbers from 1.
    Restarts,
    /// Payloads that are no message, and readings that are none within good messages.
    Garbage,
    /// All connections drop and come back at once.
    Storms,
    /// A device falls silent, for longer than the silence rule bears.
    Silence,
    /// A patient's device is replaced by a spare one.
    Swaps,
    /// A device sends that is not enrolled.
    Strangers,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// The share of messages to which it happens.
    Message,
    /// The share of devices to which it happens, once each.
    Device,
    /// The chance in each second of the run.
    Second,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Duplicates,
        Self::Recuts,
        Self::Reordering,
        Self::Backfill,
        Self::Skew,
        Self::Jumps,
        Self::Restarts,
        Self::Garbage,
        Self::Storms,
        Self::Silence,
        Self::Swaps,
        Self::Strangers,
    ];

    /// Its name in scenario files and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Duplicates => "duplicates",
            Self::Recuts => "recuts",
            Self::Reordering => "reordering",
            Self::Backfill => "backfill",
            Self::Skew => "skew",
            Self::Jumps => "jumps",
            Self::Restarts => "restarts",
            Self::Garbage => "garbage",
            Self::Storms => "storms",
            Self::Silence => "silence",
            Self::Swaps => "swaps",
            Self::Strangers => "strangers",
        }
    }

    /// What its rate counts.
    #[must_use]
    pub const fn per(self) -> Per {
        match self {
            Self::Duplicates
            | Self::Recuts
            | Self::Reordering
            | Self::Jumps
            | Self::Restarts
            | Self::Garbage => Per::Message,
            Self::Backfill | Self::Skew | Self::Silence | Self::Swaps | Self::Strangers => {
                Per::Device
            }
            Self::Storms => Per::Second,
        }
    }

    /// Its rate where it is switched on without one.
    #[must_use]
    pub const fn usual_rate(self) -> f64 {
        match self {
            Self::Duplicates | Self::Recuts | Self::Storms => 0.02,
            Self::Reordering | Self::Garbage | Self::Strangers => 0.01,
            Self::Jumps | Self::Restarts => 0.002,
            Self::Backfill | Self::Skew => 0.05,
            Self::Silence | Self::Swaps => 0.03,
        }
    }

    const fn stream(self) -> u64 {
        0xf000 + self as u64
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A stretch of time, in milliseconds since the fleet began to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Window {
    pub(super) fn contains(&self, at_ms: i64) -> bool {
        (self.from..self.until).contains(&at_ms)
    }
}

/// How often the messages of one device meet with one kind of fault.
#[derive(Clone, Debug)]
pub(super) struct Chance {
    random: Random,
    rate: f64,
    scheduled: Vec<(Window, f64)>,
}

impl Chance {
    /// Of a kind that counts messages, for the device of this number.
    pub(super) fn new(scenario: &Scenario, kind: Kind, device: u32) -> Self {
        let scheduled = scheduled(scenario, kind, SignedDuration::from_secs(10));
        Self {
            random: Random::stream(scenario.seed, &[kind.stream(), u64::from(device)]),
            rate: scenario.rates.get(&kind).copied().unwrap_or(0.0),
            scheduled: scheduled.map(|(_, window, rate)| (window, rate)).collect(),
        }
    }

    /// Whether it happens to the next message, which is due at this time; and if it does, what its
    /// details are drawn from.
    pub(super) fn hits(&mut self, at_ms: i64) -> Option<&mut Random> {
        let now = self.scheduled.iter().filter(|(window, _)| window.contains(at_ms));
        let rate = now.map(|(_, rate)| *rate).fold(self.rate, f64::max);
        // A number is drawn also where nothing is scheduled, so that what happens later does not
        // depend on it.
        self.random.chance(rate).then_some(&mut self.random)
    }
}

/// When a kind that counts devices befalls the device of this number, with what its details are
/// drawn from.
pub(super) fn windows(scenario: &Scenario, kind: Kind, device: u32) -> Vec<(Window, Random)> {
    let usual = usual_length(scenario, kind);
    let stream =
        |place: u64| Random::stream(scenario.seed, &[kind.stream(), u64::from(device), place]);
    let duration = millis(scenario.duration);
    let mut windows = Vec::new();
    let mut random = stream(0);
    if random.chance(scenario.rates.get(&kind).copied().unwrap_or(0.0)) {
        let from = match kind {
            Kind::Skew | Kind::Strangers => 0,
            _ => random.within(duration / 10, duration * 7 / 10),
        };
        windows.push((Window { from, until: from.saturating_add(millis(usual)) }, random));
    }
    for (place, window, rate) in scheduled(scenario, kind, usual) {
        let mut random = stream(1 + place);
        if random.chance(rate) {
            windows.push((window, random));
        }
    }
    windows.sort_by_key(|(window, _)| window.from);
    windows
}

/// The moments of a kind that counts seconds of the run.
pub(super) fn moments(scenario: &Scenario, kind: Kind) -> Vec<i64> {
    let rate = scenario.rates.get(&kind).copied().unwrap_or(0.0);
    let mut random = Random::stream(scenario.seed, &[kind.stream()]);
    let seconds = 1..=scenario.duration.as_secs();
    let drawn = seconds.filter(|_| random.chance(rate)).map(|second| second * 1000);
    let scheduled = scheduled(scenario, kind, SignedDuration::ZERO).map(|(_, at, _)| at.from);
    let mut moments: Vec<i64> = drawn.chain(scheduled).collect();
    moments.sort_unstable();
    moments
}

fn scheduled(
    scenario: &Scenario,
    kind: Kind,
    usual: SignedDuration,
) -> impl Iterator<Item = (u64, Window, f64)> {
    let faults = scenario.scheduled.iter().filter(move |fault| fault.kind == kind);
    (0..).zip(faults).map(move |(place, fault)| {
        let (from, length) = (millis(fault.at), millis(fault.length.unwrap_or(usual)));
        (place, Window { from, until: from.saturating_add(length) }, fault.rate)
    })
}

fn usual_length(scenario: &Scenario, kind: Kind) -> SignedDuration {
    match kind {
        Kind::Silence => limits::silent_after(scenario) + SignedDuration::from_secs(10),
        Kind::Backfill => (scenario.duration / 5).min(scenario.live_max()),
        _ => scenario.duration,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::scenario::Scheduled;
    use super::*;

    fn scenario(kind: Kind, rate: f64) -> Scenario {
        let duration = SignedDuration::from_secs(1000);
        Scenario { rates: BTreeMap::from([(kind, rate)]), duration, ..Scenario::default() }
    }

    fn scheduled(kind: Kind, at: i64, length: Option<i64>, rate: f64) -> Scenario {
        let (at, length) = (SignedDuration::from_secs(at), length.map(SignedDuration::from_secs));
        let duration = SignedDuration::from_secs(1000);
        let scheduled = vec![Scheduled { kind, at, length, rate }];
        Scenario { scheduled, duration, ..Scenario::default() }
    }

    #[test]
    fn a_rate_of_messages_is_how_many_it_happens_to() {
        let mut chance = Chance::new(&scenario(Kind::Duplicates, 0.2), Kind::Duplicates, 3);
        let hits = (0..10_000).filter(|at_ms| chance.hits(*at_ms).is_some()).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        let mut other = Chance::new(&scenario(Kind::Duplicates, 0.2), Kind::Recuts, 3);
        assert!((0..1000).all(|at_ms| other.hits(at_ms).is_none()), "another is off");
    }

    #[test]
    fn a_rate_of_devices_is_how_many_it_befalls_once() {
        let scenario = scenario(Kind::Silence, 0.2);
        let windows: Vec<_> = (0..1000).map(|it| windows(&scenario, Kind::Silence, it)).collect();
        let befallen = windows.iter().filter(|windows| !windows.is_empty()).count();
        assert!((150..250).contains(&befallen), "{befallen}");
        for (window, _) in windows.iter().flatten() {
            let length = SignedDuration::from_millis(window.until - window.from);
            assert!(length > limits::silent_after(&scenario), "longer than the rule bears");
            assert!((100_000..=700_000).contains(&window.from), "{window:?}");
        }
    }

    #[test]
    fn a_rate_of_seconds_is_in_how_many_it_happens() {
        for seed in 0..5 {
            let scenario = Scenario { seed, ..scenario(Kind::Storms, 0.1) };
            let moments = moments(&scenario, Kind::Storms);
            assert!((60..140).contains(&moments.len()), "{}", moments.len());
            assert!(moments.is_sorted() && moments.iter().all(|at_ms| at_ms % 1000 == 0));
        }
    }

    #[test]
    fn what_is_scheduled_happens_then_and_only_then() {
        let storms = scheduled(Kind::Storms, 30, None, 1.0);
        assert_eq!(moments(&storms, Kind::Storms), [30_000]);
        let burst = scheduled(Kind::Garbage, 30, Some(10), 1.0);
        let mut chance = Chance::new(&burst, Kind::Garbage, 0);
        let mut hits = |at_ms| chance.hits(at_ms).is_some();
        assert_eq!([29_999, 30_000, 39_999, 40_000].map(&mut hits), [false, true, true, false]);
        let half = scheduled(Kind::Backfill, 60, Some(90), 0.5);
        let all: Vec<_> = (0..100).flat_map(|it| windows(&half, Kind::Backfill, it)).collect();
        assert!((30..70).contains(&all.len()), "{}", all.len());
        let expected = Window { from: 60_000, until: 150_000 };
        assert!(all.iter().all(|(window, _)| *window == expected));
    }
}
