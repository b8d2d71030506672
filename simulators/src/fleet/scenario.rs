//! What a fleet is and what befalls it: everything that can be set, with its default.
//!
//! [`Scenario::read`] takes it from a TOML file, whose wrong keys and values it names with file,
//! line and, where one is misspelt, the nearest known one. [`Scenario::resolve`] checks that the
//! parts fit together, so that a run can be judged. It does not run anything.

mod reader;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

pub use super::episode::Kind as EpisodeKind;
pub use super::fault::Kind as FaultKind;
use crate::encode::Encoding;

/// What the service grants beyond the upload interval before a reading is late.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(2);
/// How long the service or its broker may be away without what is meant to be live becoming late.
pub(super) const OUTAGE_MAX: SignedDuration = SignedDuration::from_mins(10);
const DEVICES_MAX: u32 = 100_000;
/// Sockets, and clients of one broker, at most.
const CONNECTIONS_MAX: u32 = 60_000;
const WATCHERS_MAX: u32 = 1_000;
/// What a device measures in a round besides the slow vitals.
const STEADY: f64 = 4.0;

/// A fleet and what befalls it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scenario {
    /// The site of all patients and devices.
    pub site: String,
    /// How many wearables measure, each on a patient of its own.
    pub devices: u32,
    /// Readings of the whole fleet in a second; unset where `measuring.every` says it.
    pub rate: Option<f64>,
    /// How long the devices measure, by their own clocks.
    pub duration: SignedDuration,
    /// How many times faster than life it is sent.
    pub speed: f64,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// MQTT connections, each a gateway, over which the devices are spread; 0 is one a device.
    pub connections: u32,
    /// Clinicians' clients that watch the stream of alerts.
    pub watchers: u32,
    /// How payloads are encoded.
    pub encoding: Encoding,
    /// How devices measure.
    pub measuring: Measuring,
    /// How gateways send.
    pub gateways: Gateways,
    /// The alarm limits.
    pub limits: Limits,
    /// Episodes of deterioration, and near misses. A patient has one at most: the first that is
    /// drawn.
    #[serde(rename = "episode")]
    pub episodes: Vec<Episode>,
    /// Faults over the whole run, by their rates.
    #[serde(rename = "faults")]
    pub rates: BTreeMap<FaultKind, f64>,
    /// Faults by schedule.
    #[serde(rename = "fault")]
    pub scheduled: Vec<Scheduled>,
}

/// How devices measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measuring {
    /// The time between two rounds of heart rate, pulse rate, respiratory rate and SpO2, in whole
    /// milliseconds.
    pub every: SignedDuration,
    /// In each how manieth round also blood pressure, temperature and glucose are measured.
    pub slow_rounds: u32,
    /// The hour of the day at which the run begins for the patients' bodies.
    pub hour: f64,
}

/// How gateways send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gateways {
    /// How much measured time one message carries, at least one round.
    pub batch: SignedDuration,
    /// The bindings' upload interval: readings older than this and two minutes are late.
    pub upload_interval: SignedDuration,
    /// How many MiB of messages may wait to be acknowledged, over all gateways.
    pub buffer_mib: u32,
    /// How long the broker may be away before the run is given up.
    pub patience: SignedDuration,
}

/// The alarm limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// How long a breach lasts before it raises at medium priority; half of it for high.
    pub delay: SignedDuration,
    /// The largest distance of two readings of one breach. Unset: two and a half rounds, and 1.5 s
    /// at least.
    pub max_gap: Option<SignedDuration>,
    /// How long values are back before a level ends.
    pub clear_delay: SignedDuration,
    /// How long a heart rate may be missing, beyond the upload interval.
    pub silence: SignedDuration,
}

/// Patients who deteriorate, or nearly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// How.
    pub kind: EpisodeKind,
    /// Which share of the patients.
    #[serde(default = "some_patients")]
    pub patients: f64,
    /// When it begins; drawn for each patient if unset.
    pub at: Option<SignedDuration>,
    /// How long it lasts; long enough to raise if unset.
    #[serde(rename = "for")]
    pub length: Option<SignedDuration>,
    /// Whether it stays clearly within the limits.
    #[serde(default)]
    pub near_miss: bool,
}

/// A fault at its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheduled {
    /// Which.
    pub kind: FaultKind,
    /// When it begins.
    pub at: SignedDuration,
    /// How long it lasts; each kind has its own default.
    #[serde(rename = "for")]
    pub length: Option<SignedDuration>,
    /// How much of the fleet, or of its messages, it befalls.
    #[serde(default = "all")]
    pub rate: f64,
}

const fn some_patients() -> f64 {
    0.05
}

const fn all() -> f64 {
    1.0
}

/// Why a scenario can't be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("reading {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It says what no scenario says.
    #[error("{place}: {problem}")]
    Wrong {
        /// File, line and column; `scenario` for what was set elsewhere.
        place: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            site: "fleet".to_owned(),
            devices: 100,
            rate: None,
            duration: SignedDuration::from_mins(2),
            speed: 1.0,
            seed: 1,
            connections: 4,
            watchers: 1,
            encoding: Encoding::Protobuf,
            measuring: Measuring::default(),
            gateways: Gateways::default(),
            limits: Limits::default(),
            episodes: usual_episodes(),
            rates: BTreeMap::new(),
            scheduled: Vec::new(),
        }
    }
}

/// A little of everything.
fn usual_episodes() -> Vec<Episode> {
    let episode =
        |kind, near_miss, patients| Episode { kind, patients, at: None, length: None, near_miss };
    let episodes = EpisodeKind::ALL.map(|kind| episode(kind, false, some_patients()));
    let near = EpisodeKind::ALL.into_iter().filter(|kind| kind.has_near_miss());
    episodes.into_iter().chain(near.map(|kind| episode(kind, true, 0.02))).collect()
}

impl Default for Measuring {
    fn default() -> Self {
        Self { every: SignedDuration::from_secs(1), slow_rounds: 10, hour: 8.0 }
    }
}

impl Default for Gateways {
    fn default() -> Self {
        Self {
            batch: SignedDuration::from_secs(1),
            upload_interval: SignedDuration::from_mins(20),
            buffer_mib: 1024,
            patience: SignedDuration::from_mins(15),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            delay: SignedDuration::from_secs(5),
            max_gap: None,
            clear_delay: SignedDuration::from_secs(2),
            silence: SignedDuration::from_secs(30),
        }
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// If it can't be read, or says what no scenario says.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.into(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Takes a scenario from the text of a file that errors call `file`.
    ///
    /// # Errors
    /// If it says what no scenario says.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        reader::parse(file, text)
    }

    /// Takes fault rates from a list such as `duplicates=0.01,storms`, where a kind without a rate
    /// has its own, and `all` is all kinds.
    ///
    /// # Errors
    /// If it names no fault, or its rate is none.
    pub fn take_faults(&mut self, list: &str) -> Result<(), Error> {
        reader::faults(list).map(|rates| self.rates.extend(rates))
    }

    /// How often each of the steady vitals is measured.
    #[must_use]
    pub fn every(&self) -> SignedDuration {
        let Some(rate) = self.rate else { return self.measuring.every };
        let slow = 4.0 / f64::from(self.measuring.slow_rounds.max(1));
        let seconds = f64::from(self.devices) * (STEADY + slow) / rate;
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and is checked")]
        SignedDuration::from_millis((seconds * 1000.0).round() as i64)
    }

    /// How often each of the slow vitals is measured.
    #[must_use]
    pub fn slow_every(&self) -> SignedDuration {
        let rounds = i32::try_from(self.measuring.slow_rounds).unwrap_or(i32::MAX);
        self.every().saturating_mul(rounds)
    }

    /// How many connections there are.
    #[must_use]
    pub const fn gateways(&self) -> u32 {
        match self.connections {
            0 => self.devices,
            count if count > self.devices => self.devices,
            count => count,
        }
    }

    /// The scenario with all that depends on other parts filled in.
    ///
    /// # Errors
    /// If its parts don't fit together.
    pub fn resolve(mut self) -> Result<Self, Error> {
        let every = self.every();
        self.limits.max_gap.get_or_insert_with(|| max_gap(every));
        let problem = self.problems().into_iter().find(|(is_wrong, _)| *is_wrong);
        if let Some((_, problem)) = problem {
            return Err(Error::Wrong { place: "scenario".to_owned(), problem });
        }
        if self.speed > 1.0 {
            // The run begins in the past, as far as it is faster than life, and catches up.
            let needed = self.duration.saturating_add(OUTAGE_MAX.saturating_mul(2));
            self.gateways.upload_interval = self.gateways.upload_interval.max(needed);
        }
        Ok(self)
    }

    fn problems(&self) -> Vec<(bool, String)> {
        let every = self.every();
        let zero = SignedDuration::ZERO;
        let is_id = |id: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            (1..=48).contains(&id.len()) && id.bytes().all(plain)
        };
        let mut problems = vec![
            (!is_id(&self.site), "site: 1 to 48 of A-Z a-z 0-9 . _ -".to_owned()),
            (!(1..=DEVICES_MAX).contains(&self.devices), format!("devices: 1 to {DEVICES_MAX}")),
            (
                self.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)),
                "rate: readings in a second, more than 0".to_owned(),
            ),
            (
                self.gateways() > CONNECTIONS_MAX,
                format!("connections: at most {CONNECTIONS_MAX}, and 0 is one a device"),
            ),
            (self.watchers > WATCHERS_MAX, format!("watchers: at most {WATCHERS_MAX}")),
            (!(0.1..=1000.0).contains(&self.speed), "speed: 0.1 to 1000".to_owned()),
            (self.duration <= zero, "duration: longer than 0 s".to_owned()),
            (self.measuring.slow_rounds == 0, "measuring.slow_rounds: 1 or more".to_owned()),
            (
                every < SignedDuration::from_millis(1) || every.subsec_nanos() % 1_000_000 != 0,
                "measuring.every, or devices and rate: a round takes whole milliseconds, at least \
                 1; take more devices or a lower rate"
                    .to_owned(),
            ),
            (self.gateways.batch < zero, "gateways.batch: not negative".to_owned()),
            (self.gateways.upload_interval < zero, "gateways.upload_interval: not negative".into()),
            (self.limits.delay < zero, "limits.delay: not negative".to_owned()),
            (self.limits.clear_delay < zero, "limits.clear_delay: not negative".to_owned()),
            (self.limits.silence < zero, "limits.silence: not negative".to_owned()),
            (
                self.limits.max_gap.is_some_and(|gap| gap < every),
                "limits.max_gap: not shorter than a round, or no breach could last".to_owned(),
            ),
        ];
        problems.extend(self.share_problems());
        problems
    }

    fn share_problems(&self) -> impl Iterator<Item = (bool, String)> {
        let wrong = |share: f64| !(0.0..=1.0).contains(&share);
        let episodes = self.episodes.iter().map(move |episode| {
            (wrong(episode.patients), format!("episode {}: patients is 0 to 1", episode.kind))
        });
        let rates = self
            .rates
            .iter()
            .map(move |(kind, rate)| (wrong(*rate), format!("faults.{kind}: a rate is 0 to 1")));
        let scheduled = self.scheduled.iter().map(move |fault| {
            (wrong(fault.rate), format!("fault {}: a rate is 0 to 1", fault.kind))
        });
        let unlivable = self.live_max();
        let long = self.scheduled.iter().map(move |fault| {
            let is_long = fault.kind == FaultKind::Backfill
                && fault.length.is_some_and(|length| length > unlivable);
            let problem = format!(
                "fault backfill: what is held back for longer than {unlivable:#} might be live or \
                 late; take a longer gateways.upload_interval or a shorter fault"
            );
            (is_long, problem)
        });
        episodes.chain(rates).chain(scheduled).chain(long)
    }

    /// How long a device may hold readings back that are to be live when they come, whatever delays
    /// them on their way.
    pub(super) fn live_max(&self) -> SignedDuration {
        let live = self.gateways.upload_interval.saturating_add(LATE_AFTER);
        live.saturating_sub(OUTAGE_MAX).max(live / 4)
    }
}

fn max_gap(every: SignedDuration) -> SignedDuration {
    (every * 5 / 2).max(SignedDuration::from_millis(1500))
}

#[cfg(test)]
mod tests;
