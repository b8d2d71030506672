//! A patient's state: the channels that measure them, where rules stand, and their open alerts.
//!
//! A [`Channel`] is one vital of one device: small, because every patient has several. What only
//! some patients have (a rule that is pending or active, a history, late readings) is kept beside
//! it and only as long as it says something. Everything here is plain state of the engine, kept in
//! checkpoints; `rules` and `alerts` change it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::admit::by_hand::ByHand;
use super::alerts::Open;
use super::alerts::flood::Flood;
use super::attention::Attentive;
use super::input::Schedule;
use super::late::Late;
use super::monitoring::Monitoring;
use super::output::{Erased, PatientRow, Quality, Reading};
use super::packed::Packed;
use super::profile::{Scope, SilenceRule, VersionedProfile};
use super::rules::history::History;
use super::rules::track::Track;
use crate::clock::Timestamp;
use crate::vitals::{DeviceKey, Quantity, RuleId, Value, Vital};

/// A vital whose device declared no interval is stale after this long without a value.
const STALE_AFTER: Duration = Duration::from_secs(10 * 60);
/// No vital is stale before this, however fast it is measured: a link that drops a few seconds
/// says nothing of the patient.
const STALE_AFTER_MIN: Duration = Duration::from_secs(30);
/// A vital is stale after this many of its expected intervals, where no silence rule says
/// otherwise.
const STALE_INTERVALS: u32 = 3;
/// What was measured by hand says something of now until about the next round: hourly where a
/// patient's state calls for it, and the time it takes to type it in. A score judges the age of its
/// parameters by itself.
const STALE_BY_HAND_AFTER: Duration = Duration::from_secs(60 * 60);

/// One patient.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Patient {
    /// Who they are.
    pub(super) row: PatientRow,
    /// Their own rules, if they have any.
    pub(super) profile: Option<Box<VersionedProfile>>,
    /// The devices bound to them now.
    pub(super) devices: Vec<DeviceKey>,
    /// What measures them, in the order in which it first did.
    pub(super) channels: Vec<Channel>,
    /// Where rules stand that are not at rest.
    pub(super) tracks: Vec<RuleTrack>,
    /// What trend and baseline rules remember.
    pub(super) histories: Vec<History>,
    /// Their open alerts, in the order in which they were raised; one a rule at most.
    pub(super) alerts: Vec<Open>,
    /// How many alerts they have had: part of the next one's id.
    pub(super) occurrences: u32,
    /// The generation of profiles that their tracks are adapted to.
    pub(super) generation: u32,
    /// How they are watched.
    pub(super) monitoring: Monitoring,
    /// What late readings have left open.
    pub(super) late: Option<Box<Late>>,
    /// How many alerts they have had of late.
    pub(super) flood: Option<Box<Flood>>,
    /// What was measured by hand last, if anything ever was.
    pub(super) by_hand: Option<Box<ByHand>>,
    /// That they were erased, if they were: nothing else is left of them.
    pub(super) erased: Option<Box<Erased>>,
}

/// One vital of one device, while it is bound to a patient.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Channel {
    /// The device.
    pub(super) device: DeviceKey,
    /// The vital.
    pub(super) vital: Vital,
    /// No value has come for so long that the last one says nothing of now.
    pub(super) is_stale: bool,
    /// When the newest of its live readings was measured: one measured no later is out of order.
    pub(super) newest: Timestamp,
    /// What that one said, if anything is known of it.
    said: Option<Said>,
    /// When the newest one that the rules judged was measured; [`Timestamp::MIN`] if there was
    /// none.
    pub(super) judged_at: Timestamp,
    /// When the newest one without a value was measured, across which nothing runs on;
    /// [`Timestamp::MIN`] if there was none.
    pub(super) missed_at: Timestamp,
    /// What the one that was judged said; a level of consciousness by its number.
    pub(super) value: Quantity,
    /// When something last came on it, or its binding began.
    pub(super) heard: Attentive,
    /// When a value last came on it, or its binding began.
    pub(super) valued: Attentive,
    /// How often the device measures it, in microseconds; 0 if it didn't say.
    interval_micros: u64,
    /// The longest regular time between measuring and sending, in microseconds.
    upload_micros: u64,
}

/// What a reading said, in few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    value: Packed,
    quality: Quality,
}

/// What makes a rule stand where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Source {
    /// A vital of a device.
    Channel(DeviceKey, Vital),
    /// A device.
    Device(DeviceKey),
    /// The patient as a whole.
    Patient,
}

impl Source {
    /// The device, if it is about one.
    pub(super) const fn device(self) -> Option<DeviceKey> {
        match self {
            Self::Channel(device, _) | Self::Device(device) => Some(device),
            Self::Patient => None,
        }
    }
}

/// Where a rule stands on a source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RuleTrack {
    /// The rule.
    pub(super) rule: RuleId,
    /// On what.
    pub(super) source: Source,
    /// Whose rule it was when it last judged, and in which version: if that changed, the track
    /// is adapted before it goes on.
    pub(super) provenance: (Scope, u32),
    /// Where it stands.
    pub(super) track: Track,
    /// When the last reading was measured that it was judged by: one that came too late for the rule
    /// to act on is none.
    pub(super) last: Option<Timestamp>,
    /// Whether the data that makes it has stopped.
    pub(super) is_lost: bool,
    /// For a fault: when it began, by the clock by which its delay runs.
    pub(super) began: Attentive,
    /// For a score: the parameters that have made it reach a level, one bit each in the order of
    /// the chart.
    pub(super) rests_on: u8,
}

impl Channel {
    /// A channel on which nothing has come yet, bound at `heard`.
    pub(super) fn new(
        device: DeviceKey,
        vital: Vital,
        schedule: &Schedule,
        heard: Attentive,
    ) -> Self {
        let declared = schedule.expected_intervals.iter().find(|(it, _)| *it == vital);
        Self {
            device,
            vital,
            is_stale: true,
            newest: Timestamp::MIN,
            said: None,
            judged_at: Timestamp::MIN,
            missed_at: Timestamp::MIN,
            value: Quantity::default(),
            heard,
            valued: heard,
            interval_micros: declared.map_or(0, |(_, interval)| micros(*interval)),
            upload_micros: micros(schedule.upload_interval),
        }
    }

    /// Takes note of the newest of its live readings.
    pub(super) fn note(&mut self, reading: &Reading) {
        self.newest = reading.measured_at;
        self.said = Some(Said { value: reading.value.into(), quality: reading.quality });
    }

    /// What the newest of its live readings said, as far as that is known.
    pub(super) fn newest_reading(&self) -> Option<(Value, Quality)> {
        self.said.map(|said| (said.value.value_of(self.vital), said.quality))
    }

    /// What it is, for tracks.
    pub(super) const fn source(&self) -> Source {
        Source::Channel(self.device, self.vital)
    }

    /// Whether people measure it, and no device.
    pub(super) const fn is_by_hand(&self) -> bool {
        self.device.0 == DeviceKey::BY_HAND.0
    }

    /// How far apart a limit is to think its readings: by hand each stands alone, so that a level
    /// counts them where it can, and does not wait for a breach to be sustained.
    pub(super) fn spacing(&self) -> Option<Duration> {
        if self.is_by_hand() { Some(Duration::MAX) } else { self.interval() }
    }

    /// How often the device measures it, if it said so.
    pub(super) fn interval(&self) -> Option<Duration> {
        (self.interval_micros != 0).then(|| Duration::from_micros(self.interval_micros))
    }

    /// What was measured on it last, of a state that was rebuilt: older readings are late, and a
    /// value that was judged is known. Nothing says that it still comes.
    pub(super) fn restore(&mut self, newest: Timestamp, judged: Option<Value>) {
        self.newest = newest;
        let number = match judged {
            Some(Value::Quantity(quantity)) => quantity,
            Some(Value::Consciousness(level)) => Quantity::whole(level as i64),
            Some(Value::Absent(_)) | None => return,
        };
        // What came between, nobody knows.
        (self.judged_at, self.missed_at, self.value) = (newest, newest, number);
        let quality = Quality::default();
        self.said = judged.map(|value| Said { value: value.into(), quality });
    }

    /// The sample before the next, if nothing has broken the chain since.
    pub(super) fn previous(&self) -> Option<Timestamp> {
        (self.judged_at > self.missed_at).then_some(self.judged_at)
    }

    /// Up to when its live readings have said something, be it that there is no value: late ones from
    /// before that lead up to nothing.
    pub(super) fn judged_until(&self) -> Timestamp {
        self.judged_at.max(self.missed_at)
    }

    /// When a value was last judged on it, if ever.
    pub(super) fn last_value(&self) -> Option<(Timestamp, Quantity)> {
        (self.judged_at != Timestamp::MIN).then_some((self.judged_at, self.value))
    }

    /// When it is stale if no value comes; `None` if it is already.
    pub(super) fn stale_at(&self) -> Option<Attentive> {
        let unsaid = if self.is_by_hand() { STALE_BY_HAND_AFTER } else { STALE_AFTER };
        let after = self.interval().map_or(unsaid, |interval| {
            interval.saturating_mul(STALE_INTERVALS).max(STALE_AFTER_MIN)
        });
        (!self.is_stale).then(|| self.valued.plus(after).plus(self.upload()))
    }

    /// When it is silent by a rule; `None` if its device declared no interval.
    pub(super) fn silent_at(&self, rule: &SilenceRule) -> Option<Attentive> {
        let count = i128::from(rule.intervals.ten_thousandths());
        let micros = i128::from(self.interval_micros) * count / 10_000;
        let after = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let after = after.max(rule.at_least);
        self.interval().map(|_| self.heard.plus(after).plus(self.upload()))
    }

    const fn upload(&self) -> Duration {
        Duration::from_micros(self.upload_micros)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Patient {
    /// A patient who has not been measured yet.
    pub(super) fn new(row: PatientRow) -> Self {
        let monitoring = Monitoring::new(row.created_at);
        Self {
            row,
            profile: None,
            devices: Vec::new(),
            channels: Vec::new(),
            tracks: Vec::new(),
            histories: Vec::new(),
            alerts: Vec::new(),
            occurrences: 0,
            generation: 0,
            monitoring,
            late: None,
            flood: None,
            by_hand: None,
            erased: None,
        }
    }

    /// What stands in the place of a patient who was erased.
    pub(super) fn tombstone(erased: Erased) -> Self {
        let row = erased.tombstone.clone();
        Self { erased: Some(Box::new(Erased { patient: None, ..erased })), ..Self::new(row) }
    }

    /// The number of the next alert.
    pub(super) const fn next_occurrence(&mut self) -> u32 {
        self.occurrences += 1;
        self.occurrences
    }

    /// The index of the channel of this vital of this device, if there is one.
    pub(super) fn channel_index(&self, device: DeviceKey, vital: Vital) -> Option<usize> {
        self.channels.iter().position(|it| it.vital == vital && it.device == device)
    }

    /// Adds a channel; gives its index. One at a time, without spare room: most patients never
    /// get another.
    pub(super) fn add_channel(&mut self, channel: Channel) -> usize {
        self.channels.reserve_exact(1);
        self.channels.push(channel);
        self.channels.len() - 1
    }

    /// The index of the track of a rule on a source, if it is not at rest.
    pub(super) fn track_index(&self, rule: &RuleId, source: Source) -> Option<usize> {
        self.tracks.iter().position(|it| it.source == source && it.rule == *rule)
    }

    /// The index of the open alert of a rule, if it has one.
    pub(super) fn alert_index(&self, rule: &RuleId) -> Option<usize> {
        self.alerts.iter().position(|open| open.alert.rule == *rule)
    }

    /// Drops the tracks that say nothing any more.
    pub(super) fn drop_resting(&mut self) {
        self.tracks.retain(|it| !it.track.is_at_rest());
    }
}
