//! Whether the service is listening: the clock by which silence is measured.
//!
//! A patient is silent if nothing came while we listened. While the service or its link to the
//! broker is down or messages are not taken, and until what piled up meanwhile has been taken in,
//! nothing can be said of anyone's silence: *attentive time* stands still then, and so do the clocks of silence,
//! staleness and escalation that run on it (V10). Wall time goes on; pauses end by it.
//!
//! Attentive time is wall time less all standstills. It never runs ahead of wall time and never
//! goes back. It resumes when whoever feeds the engine says that the backlog is drained, or
//! [`DRAIN_MAX`] after the link came up, whichever is first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// For how long after the link came up the backlog may hold the clock: a broker that never runs
/// dry must not hide a silent patient for ever.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(60);

/// An instant of attentive time, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Attentive(i64);

impl Attentive {
    /// Later than every instant: for what never comes.
    pub(super) const NEVER: Self = Self(i64::MAX);

    /// This instant moved later.
    pub(super) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// The clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attention {
    /// How long it has stood still in all, in microseconds.
    stood_still: i64,
    /// Since when it stands still, if it does.
    still: Option<Still>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Still {
    since: Timestamp,
    /// When it resumes at the latest; `None` while the link is down.
    until: Option<Timestamp>,
}

impl Default for Attention {
    /// Listening.
    fn default() -> Self {
        Self { stood_still: 0, still: None }
    }
}

impl Attention {
    /// The attentive time at `wall`, which is not in the past.
    pub(super) fn at(&self, wall: Timestamp) -> Attentive {
        let wall = self.still.map_or(wall, |still| still.since.min(wall));
        Attentive(wall.micros() - self.stood_still)
    }

    /// When attentive time will reach `instant`, as things stand; `None` while it stands still.
    pub(super) fn reaches(&self, instant: Attentive) -> Option<Timestamp> {
        if self.still.is_some() {
            return None;
        }
        Timestamp::from_micros(instant.0.saturating_add(self.stood_still))
    }

    /// When it resumes by itself, if it stands still with the link up.
    pub(super) fn resumes_at(&self) -> Option<Timestamp> {
        self.still?.until
    }

    /// Whether it stands still.
    pub(super) const fn is_still(&self) -> bool {
        self.still.is_some()
    }

    /// The link is down, or the service was: `since` is when we last listened.
    pub(super) fn stop(&mut self, since: Timestamp) {
        let since = self.still.map_or(since, |still| still.since.min(since));
        self.still = Some(Still { since, until: None });
    }

    /// The link is up; what piled up is coming.
    pub(super) fn link_up(&mut self, now: Timestamp) {
        if let Some(still) = &mut self.still {
            still.until = Some(now.plus(DRAIN_MAX));
        }
    }

    /// The backlog is drained; false if the clock was not waiting for that.
    pub(super) fn resume(&mut self, now: Timestamp) -> bool {
        match self.still {
            Some(Still { since, until: Some(_) }) => {
                self.stood_still += now.micros() - since.micros();
                self.still = None;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn time_stands_still_from_the_loss_until_the_backlog_is_drained() {
        let mut attention = Attention::default();
        let deadline = attention.at(at(100)).plus(Duration::from_secs(50));
        assert_eq!(attention.reaches(deadline), Some(at(150)));
        attention.stop(at(110));
        assert_eq!(attention.reaches(deadline), None);
        assert_eq!(attention.at(at(500)), attention.at(at(110)));
        assert!(!attention.resume(at(500)), "the link is still down");
        attention.link_up(at(600));
        assert_eq!(attention.resumes_at(), Some(at(660)));
        assert!(attention.resume(at(610)));
        assert_eq!(attention.reaches(deadline), Some(at(650)), "40 s of the 50 were left");
    }

    #[test]
    fn a_link_that_flaps_adds_to_one_standstill() {
        let mut attention = Attention::default();
        attention.stop(at(100));
        attention.link_up(at(110));
        attention.stop(at(115));
        attention.link_up(at(120));
        attention.resume(at(130));
        assert_eq!(attention.at(at(130)), Attention::default().at(at(100)));
    }
}
