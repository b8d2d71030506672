//! Persistence: from single readings that breach or don't to a condition that holds or doesn't.
//!
//! A [`Track`] follows one rule on one source (a vital of a device, a device, or the patient). Its
//! levels stand in rising priority and are ever harder to reach, so that the active ones are
//! always the lowest few: a level that becomes active takes those below it along, and levels end
//! from the top. All time here is measured time. For each level a [`Sample`] is a breach, clear,
//! or neither; between limit and clear limit nothing changes, so that hovering does not flap.
//!
//! - *Sustained*: an inactive level is pending from its first breach, and becomes active at the
//!   first breach measured `delay` or more later, with nothing between that does not breach, no
//!   absent value, and no gap longer than `max_gap`.
//! - *Spot*: it becomes active when `n` of the last `of` samples, measured within `within`,
//!   breach. Samples from before the level ended last don't count.
//! - An active level ends at the first clear sample measured the clear delay or more after the
//!   first of an unbroken run of clear ones; a level in its spot form ends at the first clear one.
//! - *Doubtful* samples (implausible values) neither satisfy nor break any of this; but enough of
//!   them raise the level too, marked unconfirmed until a breach that is not doubtful.
//! - The absence of samples starts and ends nothing.
//!
//! A track at rest says nothing, and is dropped by who keeps it: most patients have none.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::engine::profile::{LEVELS_MAX, Persistence, SPOT_READINGS_MAX, Spot};

/// How many doubtful breaches raise a level that has no spot form of its own.
const DOUBTFUL: Spot = Spot { n: 3, of: 5, within: Duration::from_secs(5 * 60) };

/// Where one rule stands on one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Track {
    /// How many levels, from the lowest, are active.
    active: u8,
    /// Whether the highest active level rests on doubtful samples only.
    unconfirmed: bool,
    /// For an active level: since when samples have been clear. For an inactive one: since when
    /// they have breached.
    since: [Option<Timestamp>; LEVELS_MAX],
    /// The last samples, for levels that are confirmed by repeat.
    recent: Option<Box<Recent>>,
    /// The last samples, once one of them was doubtful.
    doubtful: Option<Box<Recent>>,
}

/// A reading, score or change as a track sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Sample {
    /// When it was measured: later than every sample of the track before it.
    pub(in crate::engine) measured_at: Timestamp,
    /// When the one before it was measured, if nothing has broken the chain since.
    pub(in crate::engine) previous: Option<Timestamp>,
    /// What it may do.
    pub(in crate::engine) weight: Weight,
}

impl Sample {
    /// Whether a breach of the level would go on from the sample before.
    pub(in crate::engine) fn is_contiguous(self, level: &Reach) -> bool {
        let longest = level.persistence.longest_gap();
        self.previous.is_some_and(|previous| self.measured_at.since(previous) <= longest)
    }
}

/// What a sample may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Weight {
    /// Raise and end.
    Full,
    /// Raise, and end nothing: it arrived late.
    Delayed,
    /// Raise only together with others like it: it is implausible.
    Doubtful,
}

/// What a sample says of one level, and how the level persists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Reach {
    /// Whether it breaches the level.
    pub(in crate::engine) breaches: bool,
    /// Whether it is clear of it. Never both.
    pub(in crate::engine) clear: bool,
    /// How a breach persists.
    pub(in crate::engine) persistence: Persistence,
}

/// What a sample says of each of a rule's levels, from the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Reaches {
    levels: [Reach; LEVELS_MAX],
    count: usize,
}

impl FromIterator<Reach> for Reaches {
    /// The first [`LEVELS_MAX`] of them.
    fn from_iter<I: IntoIterator<Item = Reach>>(reaches: I) -> Self {
        let persistence = Persistence::Spot(DOUBTFUL);
        let nothing = Reach { breaches: false, clear: false, persistence };
        let mut collected = Self { levels: [nothing; LEVELS_MAX], count: 0 };
        for (slot, reach) in collected.levels.iter_mut().zip(reaches) {
            *slot = reach;
            collected.count += 1;
        }
        collected
    }
}

impl std::ops::Deref for Reaches {
    type Target = [Reach];

    fn deref(&self) -> &[Reach] {
        &self.levels[..self.count]
    }
}

/// Samples that arrived too late to act on, as they stand.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct LateRun<'a> {
    /// What they have led to.
    pub(in crate::engine) track: &'a Track,
    /// The onset of its active levels.
    pub(in crate::engine) onset: Option<Timestamp>,
    /// The levels that the last of them is beyond.
    pub(in crate::engine) breached: [bool; LEVELS_MAX],
    /// When the first of them was measured that came after the live samples.
    pub(in crate::engine) first: Timestamp,
    /// When the last of them was measured.
    pub(in crate::engine) last: Timestamp,
}

impl LateRun<'_> {
    /// Since when they breach a level, if they end so. A live sample that they went around says what
    /// was before it.
    fn since(&self, level: usize) -> Option<Timestamp> {
        let since = if level < self.track.active() { self.onset } else { self.track.since[level] };
        since.filter(|_| self.breached[level]).map(|since| since.max(self.first))
    }
}

/// The last samples: when they were measured, and which levels each breached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Recent {
    /// Oldest first; at most [`SPOT_READINGS_MAX`].
    samples: Vec<(Timestamp, [bool; LEVELS_MAX])>,
}

impl Recent {
    fn push(&mut self, measured_at: Timestamp, breaches: [bool; LEVELS_MAX]) {
        if self.samples.len() == usize::from(SPOT_READINGS_MAX) {
            self.samples.remove(0);
        }
        self.samples.push((measured_at, breaches));
    }

    /// The earliest of the breaches that confirm the level, if enough do.
    fn confirms(&self, level: usize, spot: Spot) -> Option<Timestamp> {
        let (last, _) = self.samples.last()?;
        let mut looked_at = self
            .samples
            .iter()
            .rev()
            .take(usize::from(spot.of))
            .take_while(|(at, _)| last.since(*at) <= spot.within)
            .filter(|(_, breaches)| breaches[level]);
        looked_at.nth(usize::from(spot.n).checked_sub(1)?).map(|(at, _)| *at)
    }
}

impl Track {
    /// So many levels that are active, of a state that was rebuilt: what led there is not known.
    pub(in crate::engine) fn restored(active: usize, unconfirmed: bool) -> Self {
        let active = u8::try_from(active.min(LEVELS_MAX)).expect("at most LEVELS_MAX levels");
        Self { active, unconfirmed, ..Self::default() }
    }

    /// How many levels are active; 0 means that the condition does not hold.
    pub(in crate::engine) const fn active(&self) -> usize {
        self.active as usize
    }

    /// Whether the condition rests on doubtful samples only.
    pub(in crate::engine) const fn is_unconfirmed(&self) -> bool {
        self.unconfirmed
    }

    /// Whether it says nothing.
    pub(in crate::engine) fn is_at_rest(&self) -> bool {
        *self == Self::default()
    }

    /// Since when the lowest pending level has been breached, if one is.
    pub(in crate::engine) fn pending_since(&self) -> Option<Timestamp> {
        self.since[self.active()..].iter().flatten().min().copied()
    }

    /// Judges a sample. Gives the onset of the breach if a level became active.
    pub(in crate::engine) fn judge(
        &mut self,
        levels: &[Reach],
        clear_delay: Duration,
        sample: Sample,
    ) -> Option<Timestamp> {
        let onset = match sample.weight {
            Weight::Doubtful => {
                self.break_at_gap(levels, sample);
                return self.judge_doubtful(levels, sample);
            }
            Weight::Full | Weight::Delayed => self.judge_breaches(levels, sample),
        };
        if onset.is_none() {
            match sample.weight {
                Weight::Full => self.judge_clear(levels, clear_delay, sample),
                Weight::Delayed | Weight::Doubtful => self.break_clearing(levels, sample),
            }
        }
        if self.unconfirmed && self.active > 0 && levels[self.active() - 1].breaches {
            self.unconfirmed = false;
        }
        onset
    }

    /// Makes the lowest level active at once, for conditions that are not made of samples.
    pub(in crate::engine) fn hold(&mut self) {
        self.active = 1;
        self.since = [None; LEVELS_MAX];
    }

    /// Notes since when a condition that is not made of samples has been pending.
    pub(in crate::engine) fn pend(&mut self, since: Timestamp) {
        if self.active == 0 {
            self.since[0] = Some(self.since[0].map_or(since, |earlier| earlier.min(since)));
        }
    }

    /// Goes on from late samples that lead up to `next`, which is about to be judged as the sample
    /// after them. What was pending goes on if it does so without them, or if they go on with it from
    /// the first of them; else what is pending is theirs. What was clearing goes on without them only:
    /// they end nothing.
    pub(in crate::engine) fn go_on_from(
        &mut self,
        late: LateRun<'_>,
        levels: &[Reach],
        next: Sample,
    ) {
        for (index, level) in levels.iter().enumerate() {
            let longest = level.persistence.longest_gap();
            let within = |from: Option<Timestamp>, until: Timestamp| {
                from.is_some_and(|from| until.since(from) <= longest)
            };
            let goes_on = within(next.previous, next.measured_at);
            if index < self.active() {
                self.since[index] = self.since[index].filter(|_| goes_on);
                continue;
            }
            let leads_here = within(Some(late.last), next.measured_at);
            let theirs = late.since(index).filter(|_| leads_here);
            let joins =
                theirs.is_some_and(|since| since == late.first && within(next.previous, since));
            let own = self.since[index].filter(|_| goes_on || joins);
            self.since[index] = own.or(theirs);
        }
    }

    /// An absent value: delays begin again. It is none of the values that a level counts.
    pub(in crate::engine) const fn miss(&mut self) {
        self.since = [None; LEVELS_MAX];
    }

    /// What comes now has nothing to do with what came before: whatever was pending or clearing
    /// begins again.
    pub(in crate::engine) fn break_off(&mut self) {
        self.since = [None; LEVELS_MAX];
        self.recent = None;
        self.doubtful = None;
    }

    /// The rule has changed: what is active stays so, as far as the rule still has the level,
    /// until samples end it by the new limits.
    pub(in crate::engine) fn adapt(&mut self, levels: usize) {
        self.break_off();
        self.active = self.active.min(u8::try_from(levels).unwrap_or(u8::MAX));
    }

    fn judge_breaches(&mut self, levels: &[Reach], sample: Sample) -> Option<Timestamp> {
        self.look_back(levels, sample);
        let mut reached: Option<(usize, Timestamp)> = None;
        for (index, level) in levels.iter().enumerate().skip(self.active()) {
            if let Some(onset) = self.onset_at(index, level, sample) {
                let earliest = reached.map_or(onset, |(_, earliest)| earliest.min(onset));
                reached = Some((index, earliest));
            }
        }
        let (level, onset) = reached?;
        Some(self.activate(level, onset))
    }

    /// The onset of a breach that makes an inactive level active, if this sample completes it.
    fn onset_at(&mut self, index: usize, level: &Reach, sample: Sample) -> Option<Timestamp> {
        match level.persistence {
            Persistence::Sustained(sustained) => {
                let contiguous = sample.is_contiguous(level);
                let since = self.run(index, level.breaches, contiguous, sample.measured_at)?;
                (sample.measured_at.since(since) >= sustained.delay).then_some(since)
            }
            Persistence::Spot(spot) => {
                // An onset handed on by late samples lasts no longer than the breach.
                if !level.breaches || !sample.is_contiguous(level) {
                    self.since[index] = None;
                }
                if !level.breaches {
                    return None;
                }
                self.recent.as_ref()?.confirms(index, spot)
            }
        }
    }

    /// Keeps the last samples, if a level is confirmed by repeat.
    fn look_back(&mut self, levels: &[Reach], sample: Sample) {
        let breaches = breaches_of(levels);
        let is_spot = |level: &Reach| matches!(level.persistence, Persistence::Spot(_));
        let waits = levels[self.active()..].iter().any(is_spot);
        if waits && (self.recent.is_some() || breaches.contains(&true)) {
            self.recent.get_or_insert_default().push(sample.measured_at, breaches);
            if !self.recent.as_ref().is_some_and(|recent| recent.samples.iter().any(any_breach)) {
                self.recent = None;
            }
        }
        if let Some(doubtful) = &mut self.doubtful {
            doubtful.push(sample.measured_at, [false; LEVELS_MAX]);
            if !doubtful.samples.iter().any(any_breach) {
                self.doubtful = None;
            }
        }
    }

    /// A doubtful sample neither satisfies nor breaks anything, but the gap before it may have.
    fn break_at_gap(&mut self, levels: &[Reach], sample: Sample) {
        for (since, level) in self.since.iter_mut().zip(levels) {
            *since = since.filter(|_| sample.is_contiguous(level));
        }
    }

    fn judge_doubtful(&mut self, levels: &[Reach], sample: Sample) -> Option<Timestamp> {
        let breaches = breaches_of(levels);
        if self.doubtful.is_none() && !breaches.contains(&true) {
            return None;
        }
        let doubtful = self.doubtful.get_or_insert_default();
        doubtful.push(sample.measured_at, breaches);
        let confirmed = |(index, level): (usize, &Reach)| {
            let spot = match level.persistence {
                Persistence::Spot(spot) => spot,
                Persistence::Sustained(_) => DOUBTFUL,
            };
            doubtful.confirms(index, spot).map(|onset| (index, onset))
        };
        let active = usize::from(self.active);
        let (level, onset) =
            levels.iter().enumerate().skip(active).filter_map(confirmed).next_back()?;
        let onset = self.activate(level, onset);
        self.unconfirmed = true;
        Some(onset)
    }

    /// A level became active by a breach since `onset`: gives the onset, which is that of what was
    /// pending if that began before.
    fn activate(&mut self, level: usize, onset: Timestamp) -> Timestamp {
        let pending = self.since[self.active()..=level].iter().flatten().min();
        let onset = pending.map_or(onset, |pending| onset.min(*pending));
        self.since[..=level].fill(None);
        self.active = u8::try_from(level + 1).expect("at most LEVELS_MAX levels");
        self.unconfirmed = false;
        onset
    }

    /// Moves the clearing of active levels on, and ends those whose time is up, from the top.
    fn judge_clear(&mut self, levels: &[Reach], clear_delay: Duration, sample: Sample) {
        for (index, level) in levels.iter().enumerate().take(self.active()) {
            let contiguous = match level.persistence {
                Persistence::Sustained(_) => sample.is_contiguous(level),
                Persistence::Spot(_) => true,
            };
            self.run(index, level.clear, contiguous, sample.measured_at);
        }
        while let Some(top) = self.active().checked_sub(1) {
            // Who measures now and then would wait a day for a delay of seconds to pass.
            let delay = match levels.get(top).map(|level| level.persistence) {
                Some(Persistence::Spot(_)) => Duration::ZERO,
                _ => clear_delay,
            };
            let is_over =
                self.since[top].is_some_and(|since| sample.measured_at.since(since) >= delay);
            if !is_over {
                return;
            }
            self.since[top] = None;
            self.active -= 1;
            self.unconfirmed = false;
            // What was confirmed before must not confirm again.
            self.doubtful = None;
            self.recent = None;
        }
    }

    /// A sample that may not end anything, or the gap before it, still interrupts a run of clear ones.
    fn break_clearing(&mut self, levels: &[Reach], sample: Sample) {
        let active = self.since.iter_mut().take(usize::from(self.active));
        for (since, level) in active.zip(levels) {
            if !level.clear || !sample.is_contiguous(level) {
                *since = None;
            }
        }
    }

    /// Goes on with, begins or breaks the run of samples that count for a level.
    fn run(
        &mut self,
        index: usize,
        counts: bool,
        contiguous: bool,
        measured_at: Timestamp,
    ) -> Option<Timestamp> {
        self.since[index] = match self.since[index] {
            _ if !counts => None,
            Some(since) if contiguous => Some(since),
            _ => Some(measured_at),
        };
        self.since[index]
    }
}

fn breaches_of(levels: &[Reach]) -> [bool; LEVELS_MAX] {
    let mut breaches = [false; LEVELS_MAX];
    for (breach, level) in breaches.iter_mut().zip(levels) {
        *breach = level.breaches;
    }
    breaches
}

fn any_breach((_, breaches): &(Timestamp, [bool; LEVELS_MAX])) -> bool {
    breaches.contains(&true)
}
