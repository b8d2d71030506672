//! One limit rule on one vital of one device: which of its levels hold, reading by reading.
//!
//! `docs/alarms.md`, section 3, in the order of the page. A track is fed in measured order and
//! knows neither clocks nor lateness: whoever feeds it says whether a reading may end anything. It
//! is written to be checked by eye, and remembers what it needs to and no more.

use std::collections::VecDeque;

use super::profile::{Level, LimitRule, Micros, Spot};
use super::vital::Quantity;

/// How many doubtful breaches raise a level that has no spot form of its own.
const DOUBTFUL: Spot = Spot { n: 3, of: 5, within: 5 * 60 * 1_000_000 };

/// What a reading says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A plausible value.
    Value(Quantity),
    /// One that is not.
    Implausible(Quantity),
    /// One that the device itself doubts.
    Doubted,
    /// That there is none.
    Nothing,
}

/// Where the rule stands.
#[derive(Clone, Debug, Default)]
pub struct Track {
    levels: Vec<LevelTrack>,
    /// The last value of which the vital is known to be watched.
    last_at: Option<Micros>,
    /// Whether that was none, of those that count.
    ends_without_value: bool,
    /// When what holds began, while something holds.
    onset: Option<Micros>,
    /// Whether what holds rests on implausible values alone.
    is_unconfirmed: bool,
}

#[derive(Clone, Debug, Default)]
struct LevelTrack {
    /// The first value of the breach that goes on.
    breach_since: Option<Micros>,
    /// The first value of the time clear of the limit that goes on.
    clear_since: Option<Micros>,
    is_active: bool,
    /// The last values, for the spot form: when, and whether beyond the limit.
    spot: VecDeque<(Micros, bool)>,
    /// The last values: when, and whether implausible and beyond the limit.
    doubtful: VecDeque<(Micros, bool)>,
}

impl Track {
    /// The place of the highest level that holds.
    #[must_use]
    pub fn level(&self) -> Option<usize> {
        self.levels.iter().rposition(|level| level.is_active)
    }

    /// When what holds began.
    #[must_use]
    pub const fn onset(&self) -> Option<Micros> {
        self.onset
    }

    /// Whether what holds rests on implausible values alone.
    #[must_use]
    pub const fn is_unconfirmed(&self) -> bool {
        self.is_unconfirmed
    }

    /// The last value that was heeded.
    #[must_use]
    pub const fn last_at(&self) -> Option<Micros> {
        self.last_at
    }

    /// Forgets what was pending; what holds goes on holding.
    pub fn begin_again(&mut self) {
        self.last_at = None;
        for level in &mut self.levels {
            *level = LevelTrack { is_active: level.is_active, ..LevelTrack::default() };
        }
    }

    /// Takes the next reading of a device that measures every `interval`. One that arrived too late
    /// raises and escalates, and ends nothing.
    pub fn feed(
        &mut self,
        rule: &LimitRule,
        interval: Option<Micros>,
        (at, said): (Micros, Said),
        may_end: bool,
    ) {
        self.levels.resize_with(rule.levels.len(), LevelTrack::default);
        match said {
            Said::Doubted => {}
            Said::Nothing => self.begin_again_at(at),
            Said::Implausible(value) => {
                self.break_at_gap(rule, interval, at);
                self.take_implausible(rule, at, value);
                self.last_at = Some(at);
            }
            Said::Value(value) => {
                self.break_at_gap(rule, interval, at);
                self.take(rule, interval, (at, value), may_end);
                self.ends_without_value = false;
                self.last_at = Some(at);
            }
        }
        if self.level().is_none() {
            (self.onset, self.is_unconfirmed) = (None, false);
        }
    }

    /// A reading without a value breaks every delay.
    fn begin_again_at(&mut self, at: Micros) {
        (self.last_at, self.ends_without_value) = (Some(at), true);
        for level in &mut self.levels {
            (level.breach_since, level.clear_since) = (None, None);
        }
    }

    /// A gap longer than a level's own breaks its delays.
    fn break_at_gap(&mut self, rule: &LimitRule, interval: Option<Micros>, at: Micros) {
        let Some(last_at) = self.last_at else { return };
        for (track, level) in self.levels.iter_mut().zip(&rule.levels) {
            if level.longest_gap(interval).is_some_and(|longest| at - last_at > longest) {
                (track.breach_since, track.clear_since) = (None, None);
            }
        }
    }

    fn take(
        &mut self,
        rule: &LimitRule,
        interval: Option<Micros>,
        (at, value): (Micros, Quantity),
        may_end: bool,
    ) {
        let mut raised = None;
        for (place, (track, level)) in self.levels.iter_mut().zip(&rule.levels).enumerate() {
            track.note_doubtful(doubtful(level), (at, false));
            let is_breach = rule.is_beyond(value, level.limit);
            let raises = if level.is_spot(interval) {
                track.take_spot(level.spot.unwrap_or(DOUBTFUL), (at, is_breach))
            } else {
                track.take_sustained(level, (at, is_breach))
            };
            if let Some(since) = raises {
                raised = Some((place, since));
            }
        }
        let holds = rule.levels.get(self.level().unwrap_or_default());
        if holds.is_some_and(|it| rule.is_beyond(value, it.limit)) {
            self.is_unconfirmed = false;
        }
        if let Some((place, since)) = raised {
            self.raise(place, since);
        }
        self.clear(rule, interval, (at, value), may_end);
    }

    /// A level takes those below it along. What holds already keeps its onset; else it is the first
    /// value beyond any limit in the breach that goes on.
    fn raise(&mut self, place: usize, since: Micros) {
        let first = self.levels.iter().filter_map(|level| level.breach_since).min();
        self.onset = self.onset.or(Some(first.map_or(since, |first| first.min(since))));
        for level in &mut self.levels[..=place] {
            (level.is_active, level.clear_since) = (true, None);
        }
    }

    fn take_implausible(&mut self, rule: &LimitRule, at: Micros, value: Quantity) {
        let holds = self.level();
        let mut raised = None;
        for (place, (track, level)) in self.levels.iter_mut().zip(&rule.levels).enumerate() {
            let needed = doubtful(level);
            track.note_doubtful(needed, (at, rule.is_beyond(value, level.limit)));
            if let Some(since) = repeated(&track.doubtful, needed, at) {
                raised = Some((place, since));
            }
        }
        if let Some((place, since)) = raised.filter(|(place, _)| holds.is_none_or(|it| it < *place))
        {
            self.is_unconfirmed |= holds.is_none();
            self.raise(place, since);
        }
    }

    fn clear(
        &mut self,
        rule: &LimitRule,
        interval: Option<Micros>,
        (at, value): (Micros, Quantity),
        may_end: bool,
    ) {
        let mut ends = false;
        for (track, level) in self.levels.iter_mut().zip(&rule.levels) {
            if rule.is_beyond(value, level.clear_limit) {
                track.clear_since = None;
            }
            if rule.is_beyond(value, level.clear_limit) || !may_end {
                continue;
            }
            let since = *track.clear_since.get_or_insert(at);
            if track.is_active && (level.is_spot(interval) || at - since >= rule.clear_delay) {
                *track = LevelTrack::default();
                ends = true;
            }
        }
        if ends {
            // What was measured before does not confirm what comes next.
            for track in &mut self.levels {
                track.spot.clear();
                track.doubtful.clear();
            }
        }
    }

    /// Late readings in breach lead up to this one, the first of them, `late_first`, being after the
    /// last in time: what they say of its beginning since then is handed on. A breach that was pending
    /// before them goes on if it does so without them, or if all of them go on with it.
    pub fn take_over(
        &mut self,
        rule: &LimitRule,
        interval: Option<Micros>,
        (late, late_first): (&Self, Micros),
        (at, said): (Micros, Said),
    ) {
        let (Said::Value(value), Some(late_at)) = (said, late.last_at) else { return };
        if late_at >= at || late.ends_without_value {
            return;
        }
        self.levels.resize_with(rule.levels.len(), LevelTrack::default);
        let (mut is_taken, last_at) = (false, self.last_at);
        for ((track, theirs), level) in self.levels.iter_mut().zip(&late.levels).zip(&rule.levels) {
            let Some(longest) = level.longest_gap(interval) else { continue };
            let is_near =
                |from: Option<Micros>, until| from.is_some_and(|from| until - from <= longest);
            let goes_on = is_near(last_at, at);
            if track.is_active {
                track.clear_since = track.clear_since.filter(|_| goes_on);
                continue;
            }
            let leads_here = is_near(Some(late_at), at) && rule.is_beyond(value, level.limit);
            let since = if theirs.is_active { late.onset } else { theirs.breach_since };
            let since =
                since.filter(|_| leads_here && theirs.ends_in_breach(level.is_spot(interval)));
            let since = since.map(|since| since.max(late_first));
            let joins = since.is_some_and(|it| it == late_first && is_near(last_at, it));
            track.breach_since = track.breach_since.filter(|_| goes_on || joins).or(since);
            is_taken |= since.is_some();
        }
        if is_taken {
            // The gap is that of the late readings now.
            self.last_at = self.last_at.max(Some(late_at));
        }
    }
}

impl LevelTrack {
    fn ends_in_breach(&self, is_spot: bool) -> bool {
        if is_spot {
            return self.spot.back().is_some_and(|(_, is_breach)| *is_breach);
        }
        self.breach_since.is_some()
    }

    /// The onset, if this value raises.
    fn take_sustained(&mut self, level: &Level, (at, is_breach): (Micros, bool)) -> Option<Micros> {
        if !is_breach {
            self.breach_since = None;
            return None;
        }
        let since = *self.breach_since.get_or_insert(at);
        let delay = level.sustained.map_or(0, |it| it.delay);
        (!self.is_active && at - since >= delay).then_some(since)
    }

    fn take_spot(&mut self, spot: Spot, value: (Micros, bool)) -> Option<Micros> {
        note(&mut self.spot, spot.of, value);
        // What late readings handed on lasts no longer than the breach.
        self.breach_since = self.breach_since.filter(|_| value.1);
        let since = value.1.then(|| repeated(&self.spot, spot, value.0)).flatten();
        since.filter(|_| !self.is_active)
    }

    fn note_doubtful(&mut self, spot: Spot, value: (Micros, bool)) {
        note(&mut self.doubtful, spot.of, value);
    }
}

fn doubtful(level: &Level) -> Spot {
    level.spot.unwrap_or(DOUBTFUL)
}

fn note(values: &mut VecDeque<(Micros, bool)>, of: usize, value: (Micros, bool)) {
    values.push_back(value);
    while values.len() > of {
        values.pop_front();
    }
}

/// The first of the breaches, if there are enough of them.
fn repeated(values: &VecDeque<(Micros, bool)>, spot: Spot, at: Micros) -> Option<Micros> {
    let within = |value: &&(Micros, bool)| value.1 && at - value.0 <= spot.within;
    let mut breaches = values.iter().filter(within);
    let first = breaches.next()?.0;
    (breaches.count() + 1 >= spot.n).then_some(first)
}
