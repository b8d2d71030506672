//! The limit rule: a vital beyond a limit, level by level.
//!
//! A value strictly beyond a level's limit breaches it; one not beyond its clear limit is clear of
//! it. Which of a level's two persistences counts depends on how often the device measures.

use std::time::Duration;

use super::track::{Reach, Reaches};
use crate::engine::profile::monitored::holds;
use crate::engine::profile::{Level, LimitRule, persistence};
use crate::vitals::Quantity;

/// What a value says of each level, on a channel measured every `interval`.
pub(super) fn reaches(rule: &LimitRule, interval: Option<Duration>, value: Quantity) -> Reaches {
    let reach = |level: &Level| Reach {
        breaches: rule.side.is_beyond(value, level.limit),
        clear: !rule.side.is_beyond(value, level.clear_limit),
        persistence: persistence(level, interval),
    };
    rule.levels.iter().map(reach).collect()
}

/// What the absence of a value says of each level: nothing.
pub(super) fn of_no_value(rule: &LimitRule, interval: Option<Duration>) -> Reaches {
    let reach = |level: &Level| {
        let persistence = persistence(level, interval);
        Reach { breaches: false, clear: false, persistence }
    };
    rule.levels.iter().map(reach).collect()
}

/// Whether some level of the rule can become active on a channel measured every `interval`.
pub(super) fn can_fire(rule: &LimitRule, interval: Option<Duration>) -> bool {
    let holds = |level: &Level, interval| holds(persistence(level, Some(interval)), interval);
    interval.is_none_or(|interval| rule.levels.iter().any(|level| holds(level, interval)))
}
