//! The record of a run: what was sent, and what a watcher was told, as it happened.
//!
//! [`Writer`] keeps it while a fleet runs, [`read`] gives it back to whoever judges the run. It is
//! written from the outside alone: payloads as they were handed to the broker, responses as they
//! came from the stream, each with the time of the run's one clock. **Nothing in it is what was
//! planned or computed**: whoever judges reads what there was.
//!
//! A record is a directory:
//!
//! - `run.json`, a [`Run`]: what the fleet is, who wears what, which limits are in force
//! - `entries`: every [`Entry`], in the order in which it happened, as protobuf with its length in
//!   front
//!
//! Promises: entries reach the disk in order, and a run that was killed leaves a record that can be
//! read up to the last whole entry, told as [`Read::is_whole`]. Its clock never steps: it is the
//! wall clock of the run's start, carried on by the monotonic one. It does not decide, count or
//! compare.

mod clock;
mod file;

use std::io;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use clock::RunClock;
pub use file::{Read, Writer, read};

/// The shape of what is written; another is refused.
const VERSION: u32 = 1;

/// What a run was, known when it began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The shape of the record.
    pub version: u32,
    /// When the run began: the zero of its clock.
    pub began_at: Timestamp,
    /// The site of all patients and devices.
    pub site: String,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// The profile of the site, in protobuf's `pulseward.v1.Profile`, as it was put.
    #[serde(with = "hex")]
    pub profile: Vec<u8>,
    /// The scenario as it was resolved, for people.
    pub scenario: serde_json::Value,
    /// The devices, by whose place here entries name them.
    pub devices: Vec<Device>,
}

/// A device, and who wears it from the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its id.
    pub device_id: String,
    /// Who wears it when the run begins; `None` for a device that is kept for a swap, and for one
    /// that is not enrolled.
    pub patient_id: Option<String>,
    /// Whether the service knows it.
    pub is_enrolled: bool,
    /// From when it is bound.
    pub bound_from: Timestamp,
    /// The binding's interval between uploads: what lies further back is late.
    pub upload_interval: SignedDuration,
    /// How often it measures each of its vitals.
    pub measures_every: SignedDuration,
}

/// Something that happened.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// Microseconds since the run began, by its clock.
    #[prost(uint64, tag = "1")]
    pub at_micros: u64,
    /// What.
    #[prost(oneof = "What", tags = "2, 3, 4, 5, 6, 7")]
    pub what: Option<What>,
}

/// What happened.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum What {
    /// A message was handed to a connection, for the first time or again.
    #[prost(message, tag = "2")]
    Published(Published),
    /// The broker acknowledged one.
    #[prost(message, tag = "3")]
    Acknowledged(Acknowledged),
    /// A watcher got a response.
    #[prost(message, tag = "4")]
    Told(Told),
    /// A watcher's stream ended.
    #[prost(message, tag = "5")]
    Cut(Cut),
    /// The fleet changed who wears what.
    #[prost(message, tag = "6")]
    Rebound(Rebound),
    /// A fault began or ended, or whoever drives the run says so: for people, and for plots.
    #[prost(message, tag = "7")]
    Mark(Mark),
}

/// A message on its way.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Published {
    /// The number of the message within the run, from 0. A message that is handed over again, after
    /// a lost connection, keeps it; a duplicate that the fleet sends on purpose is another message.
    #[prost(uint64, tag = "1")]
    pub message: u64,
    /// The device of the topic: its place in [`Run::devices`].
    #[prost(uint32, tag = "2")]
    pub device: u32,
    /// The topic's last level: `readings` or `status`.
    #[prost(string, tag = "3")]
    pub kind: String,
    /// When the schedule wanted it sent, in microseconds since the run began. A latency counts from
    /// here: what a slow broker delays is delayed.
    #[prost(uint64, tag = "4")]
    pub due_micros: u64,
    /// MQTT 5 content type; empty for none.
    #[prost(string, tag = "5")]
    pub content_type: String,
    /// The payload. Empty where the message is handed over again: it is the same.
    #[prost(bytes = "bytes", tag = "6")]
    pub payload: Bytes,
}

/// A PUBACK.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Acknowledged {
    /// The number of the message.
    #[prost(uint64, tag = "1")]
    pub message: u64,
    /// Whether anyone was subscribed; if not, the broker has dropped it.
    #[prost(bool, tag = "2")]
    pub heard: bool,
}

/// A response on a stream of alerts.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Told {
    /// The watcher's number.
    #[prost(uint32, tag = "1")]
    pub watcher: u32,
    /// `pulseward.v1.WatchAlertsResponse`, as it came.
    #[prost(bytes = "bytes", tag = "2")]
    pub response: Bytes,
}

/// A stream's end.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Cut {
    /// The watcher's number.
    #[prost(uint32, tag = "1")]
    pub watcher: u32,
    /// gRPC's code and message.
    #[prost(string, tag = "2")]
    pub status: String,
}

/// A patient's device was replaced by another (`ReplaceDevice`), and the service has said so.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Rebound {
    /// The device that was worn: its place in [`Run::devices`].
    #[prost(uint32, tag = "1")]
    pub from: u32,
    /// The device that is worn now.
    #[prost(uint32, tag = "2")]
    pub to: u32,
    /// From which measured time on, in microseconds since 1970.
    #[prost(int64, tag = "3")]
    pub effective_micros: i64,
}

/// A line for people.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Mark {
    /// What happens.
    #[prost(string, tag = "1")]
    pub text: String,
}

/// Why a record can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory holds a record already.
    #[error("{path} holds a record already; name another directory, or remove it")]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// A file can't be written or read.
    #[error("{doing} {path}")]
    File {
        /// What was done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
    /// `run.json` is not what a run writes.
    #[error("{path} is no description of a run")]
    Run {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Another version wrote it.
    #[error("{path} is a record of version {found}; this program reads version {VERSION}")]
    Version {
        /// Where.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// What is there is no entry.
    #[error("{path} holds no entry at byte {offset}")]
    Entry {
        /// Where.
        path: PathBuf,
        /// How far it could be read.
        offset: u64,
    },
}

impl Run {
    /// A run without devices, for tests of those who write a record.
    #[cfg(test)]
    pub(crate) fn of_nobody(clock: &RunClock) -> Self {
        Self {
            version: VERSION,
            began_at: clock.began_at(),
            site: "icu".to_owned(),
            seed: 1,
            profile: Vec::new(),
            scenario: serde_json::Value::Null,
            devices: Vec::new(),
        }
    }

    /// A run of this version.
    #[must_use]
    pub const fn version() -> u32 {
        VERSION
    }
}

/// Bytes as text, two digits each.
mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        to.serialize_str(&digits)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let digits = String::deserialize(from)?;
        let byte =
            |at: usize| digits.get(at..at + 2).and_then(|it| u8::from_str_radix(it, 16).ok());
        let bytes: Option<_> = (0..digits.len()).step_by(2).map(byte).collect();
        bytes.ok_or_else(|| D::Error::custom("not pairs of hexadecimal digits"))
    }
}
