//! How long a service is away that was killed with millions of readings behind its last checkpoint.
//!
//! The service takes readings in with checkpoints put off, and its rows reach the database; then it
//! is killed and started again, several times over the same journal: a start that is killed makes
//! no checkpoint either. What the kernel has of the journal in memory stays there, as after the
//! crash of a process, and unlike after that of a machine.

use std::path::Path;

use anyhow::{Result, ensure};

use super::enroll;
use super::ingest::{Flood, Shape, drained, flood_service};
use super::progress::Steps;
use super::report::{Row, Target};
use super::servers::{House, Options, Postgres, Programs};
use super::traffic::{READINGS, To};

const PART: &str = "restart";
/// Seconds until live, with [`READINGS_FULL`] behind the last checkpoint.
const READY_S_MAX: f64 = 10.0;
/// What the target is about.
const READINGS_FULL: u64 = 10_000_000;
/// What a start takes that has nothing to read, at most: a smaller run is not asked for less.
const READY_S_LEAST: f64 = 2.0;
/// The journal's end.
const POSITION: &str = "pulseward_journal_last_position";

/// How large the part is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Wearables.
    pub(super) devices: usize,
    /// Messages behind the checkpoint.
    pub(super) messages: u64,
    /// Restarts.
    pub(super) rounds: usize,
}

impl Size {
    /// Steps to be shown.
    pub(super) const fn steps(&self) -> u64 {
        self.rounds as u64 + 1
    }

    /// What the start should take at most, s.
    fn ready_s_max(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53 readings")]
        let share = (self.messages * u64::from(READINGS)) as f64 / READINGS_FULL as f64;
        (READY_S_MAX * share).max(READY_S_LEAST)
    }
}

/// Measures it.
pub(super) async fn run(
    size: Size,
    programs: &Programs,
    postgres: &Postgres,
    dir: &Path,
    steps: &mut Steps,
) -> Result<Vec<Row>> {
    let options = Options { without_checkpoints: true };
    let mut house = House::open(PART, dir, programs, postgres, options).await?;
    enroll::ward(&house.service, size.devices).await?;
    let readings = size.messages * u64::from(READINGS);
    steps.begin(&format!("restart: taking in {readings} readings"));
    fill(&house, size).await?;
    let position = house.service.metrics().await?.sum(POSITION);
    let (mut ready, mut connected) = (Vec::new(), Vec::new());
    for round in 1..=size.rounds {
        steps.begin(&format!("restart, round {round}: killed and started again"));
        let started = house.service.crash_and_restart().await?;
        ready.push(started.ready.as_secs_f64());
        connected.push(started.connected.as_secs_f64());
        steps.say(&format!("ready after {:.2} s", started.ready.as_secs_f64()));
    }
    let after = house.service.metrics().await?.sum(POSITION);
    ensure!(after >= position, "the journal ends at {after}, and ended at {position} before");
    let name = format!("ready with {readings} readings to replay");
    Ok(vec![
        Row::of(PART, name, "s", &ready).should_be(Target::Below(size.ready_s_max())),
        Row::of(PART, "taking messages from the broker", "s", &connected),
    ])
}

/// Until everything is acknowledged and stored.
async fn fill(house: &House, size: Size) -> Result<()> {
    let mut flood = Flood::new(Shape::Batch, To::Service, size.devices, size.messages);
    flood_service(house, &mut flood, size.messages).await?;
    drained(house.service.http(), size.messages * u64::from(READINGS)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_run_is_asked_for_its_share_but_not_for_less_than_a_start_takes() {
        let at_most = |messages| Size { devices: 1, messages, rounds: 1 }.ready_s_max();
        assert_eq!(at_most(500_000), 10.0);
        assert_eq!(at_most(250_000), 5.0);
        assert_eq!(at_most(25_000), READY_S_LEAST);
    }
}
