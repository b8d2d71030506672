//! A state rebuilt from what the store held when its journal was lost.
//!
//! The rebuilt rows enter the new journal as inputs, [`Chunk`] by chunk, before every other, and not
//! as a checkpoint: a checkpoint is in the form of one version of the engine, while an input is in
//! words that stay; a later engine makes its own state of it, and a replay from the beginning leads
//! to the same state as the run (V3). Chunks are bounded by who makes them, and each is a whole:
//! rows come by rising key, and what they refer to came before them.
//!
//! Rows lead to no outputs, for the store is where they come from. Told are each open alert (an
//! event with the cause *restored*: nothing is known of it until readings come), how patients are
//! watched now that nothing is known of them, and one alert that messages may have been lost.
//!
//! Keys stay as they were, because the readings in the store refer to them. Where a row is missing,
//! one that nobody can ask for by accident takes its place, so that no key is ever given twice.
//!
//! **What can't be rebuilt** begins anew: breaches that were pending, levels that were clearing,
//! histories of trends and baselines, late readings that were being folded, alerts held back in a
//! flood, what devices said of themselves (the broker keeps their last status), how far their
//! clocks are off, the time until an alert is passed on, which alerts ended last, who
//! acknowledged an alert (its events say so in the store), which requests were carried out under
//! which ids, and which readings that had been refused for what they are a redrive has admitted.

mod alerts;

use serde::{Deserialize, Serialize};

use super::admit::Device;
use super::admit::account::Account;
use super::admit::by_hand::ByHand;
pub use super::admit::{InvalidNumbers, check_packed};
use super::alerts::Alert;
use super::attention::Attentive;
use super::audit::Head;
use super::monitoring::{self, Monitoring};
use super::outage::ingest;
use super::output::{
    BindingRow, DeviceRow, Erased, IntakeCounts, MonitoringState, Output, PatientRow, ProfileRow,
    SiteRow,
};
use super::patient::{Channel, Patient};
use super::profile::{Eligibility, Scope, VersionedProfile};
use super::redrive::Redrives;
use super::registry::held_profile;
use super::state::{Site, State};
use crate::clock::Timestamp;
use crate::vitals::{
    DeviceId, DeviceKey, PatientId, PatientKey, Priority, SiteId, SiteKey, Value, Vital,
};

/// A part of what the store held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chunk {
    /// Sites.
    Sites(Vec<SiteRow>),
    /// Profiles: of each scope every version that is known, one after the other.
    Profiles(Vec<ProfileRow>),
    /// Patients.
    Patients(Vec<PatientStanding>),
    /// Devices, with whom they were bound to.
    Devices(Vec<DeviceStanding>),
    /// Alerts that are not over, in the order in which they were raised.
    Alerts(Vec<AlertStanding>),
    /// These patients have all that is theirs: how are they watched?
    Settle {
        /// The first of them.
        first: PatientKey,
        /// How many.
        count: u32,
    },
    /// That was all.
    End(Totals),
    /// Patients who were erased, behind the rows that stand in their places.
    Erased(Vec<Erased>),
}

/// A patient, as the store holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatientStanding {
    /// Who they are.
    pub row: PatientRow,
    /// How they were watched, and since when, if that is known.
    pub monitoring: Option<(MonitoringState, Timestamp)>,
    /// How many alerts they have had: part of the id of the next one.
    pub occurrences: u32,
    /// What was measured by hand last, the latest at the end.
    pub by_hand: Vec<(Timestamp, Vital, Value)>,
}

/// A device, as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStanding {
    /// What it is.
    pub row: DeviceRow,
    /// Whose it was, is and will be, by rising start.
    pub bindings: Vec<BindingRow>,
    /// Which numbers have come, as [`check_packed`] takes them.
    pub numbers: bytes::Bytes,
    /// When the newest reading admitted from it was measured.
    pub newest_measured_at: Option<Timestamp>,
    /// How much there was, and when anything came, as they were told last.
    pub account: Option<(IntakeCounts, Timestamp)>,
    /// The newest reading of each vital, of those that came last.
    pub newest: Vec<NewestReading>,
    /// The readings that came last, if it keeps no numbers.
    pub unnumbered: Vec<ReceivedReading>,
}

/// The newest reading of a vital of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestReading {
    /// Of what.
    pub vital: Vital,
    /// When it was measured.
    pub measured_at: Timestamp,
    /// What it said.
    pub value: Value,
    /// Whether it was of real use, and of a value that rules judge.
    pub is_judged: bool,
}

/// A reading by what it is recognised if it comes again, and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedReading {
    /// Of what.
    pub vital: Vital,
    /// When it was measured.
    pub measured_at: Timestamp,
    /// What it said.
    pub value: Value,
    /// When it was received.
    pub received_at: Timestamp,
}

/// An alert that is not over, as followers were told of it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertStanding {
    /// The alert.
    pub alert: Alert,
    /// The highest priority that it has reached.
    pub highest: Priority,
}

/// What belongs to no row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How many messages were sent through the intake again.
    pub redrives: u64,
    /// How many alerts of gateways and of the service itself there were.
    pub own_alerts: u32,
    /// Where the chain of audit events ends.
    pub audit: Head,
}

/// Takes a part in.
pub(super) fn take(state: &mut State, chunk: &Chunk, now: Timestamp, outputs: &mut Vec<Output>) {
    match chunk {
        Chunk::Sites(rows) => rows.iter().for_each(|row| add_site(state, row, now)),
        Chunk::Profiles(rows) => rows.iter().for_each(|row| put_profile(state, row, now)),
        Chunk::Erased(rows) => rows.iter().for_each(|row| erase(state, row)),
        Chunk::Patients(rows) => rows.iter().for_each(|row| add_patient(state, row, now)),
        Chunk::Devices(rows) => rows.iter().for_each(|row| add_device(state, row, now)),
        Chunk::Alerts(rows) => rows.iter().for_each(|row| alerts::open(state, row, now, outputs)),
        Chunk::Settle { first, count } => settle(state, *first, *count, now, outputs),
        Chunk::End(totals) => {
            state.general.redrives = Redrives::restored(totals.redrives, now);
            state.general.audit = totals.audit;
            ingest::restored(state, totals.own_alerts, now, outputs);
        }
    }
}

/// The id of what has no row: of those that people give, none is like it.
fn missing(kind: &str, key: usize) -> String {
    format!("pulseward.missing-{kind}-{key}")
}

fn fill_sites(state: &mut State, until: SiteKey, now: Timestamp) {
    while state.sites.len() < until.index() {
        let index = state.sites.len();
        let key = SiteKey(u32::try_from(index).expect("below a key"));
        let row = SiteRow {
            key,
            id: SiteId::new(&missing("site", index)).expect("our own ids are valid"),
            display_name: String::new(),
            time_zone: "UTC".to_owned(),
            created_at: now,
        };
        state.add_site(Site { row, profile: None });
    }
}

fn add_site(state: &mut State, row: &SiteRow, now: Timestamp) {
    fill_sites(state, row.key, now);
    if row.key.index() == state.sites.len() {
        state.add_site(Site { row: row.clone(), profile: None });
    }
}

/// A site that something refers to is there, row or not.
fn provide_site(state: &mut State, key: SiteKey, now: Timestamp) {
    fill_sites(state, SiteKey(key.0.saturating_add(1)), now);
}

fn fill_patients(state: &mut State, until: PatientKey, now: Timestamp) {
    while state.patients.len() < until.index() {
        provide_site(state, SiteKey(0), now);
        let index = state.patients.len();
        let row = PatientRow {
            key: PatientKey(u32::try_from(index).expect("below a key")),
            id: PatientId::new(&missing("patient", index)).expect("our own ids are valid"),
            site: SiteKey(0),
            created_at: now,
            eligibility: Eligibility::default(),
            paused_until: None,
        };
        let generation = state.general.generation;
        state.add_patient(Patient { generation, ..Patient::new(row) });
    }
}

fn add_patient(state: &mut State, standing: &PatientStanding, now: Timestamp) {
    let row = &standing.row;
    fill_patients(state, row.key, now);
    provide_site(state, row.site, now);
    if row.key.index() != state.patients.len() {
        return;
    }
    let mut patient = Patient {
        generation: state.general.generation,
        occurrences: standing.occurrences,
        ..Patient::new(row.clone())
    };
    if let Some((state, since)) = standing.monitoring {
        patient.monitoring = Monitoring::restored(state, since);
    }
    if !standing.by_hand.is_empty() {
        patient.by_hand = Some(Box::new(ByHand::restored(&standing.by_hand)));
    }
    state.add_patient(patient);
}

/// Nothing leads to who was erased, and their number stays taken.
fn erase(state: &mut State, erased: &Erased) {
    if erased.tombstone.key.index() < state.patients.len() {
        state.erase(erased.clone());
    }
}

/// A version of a scope's profile, in force until the next.
fn put_profile(state: &mut State, row: &ProfileRow, now: Timestamp) {
    match row.scope {
        Scope::Default => {}
        Scope::Site(key) => provide_site(state, key, now),
        Scope::Patient(key) => fill_patients(state, PatientKey(key.0.saturating_add(1)), now),
    }
    let held = held_profile(state, row.scope);
    *held = Some(Box::new(VersionedProfile::succeeding(held.as_deref(), row)));
    state.change_rules(row.scope);
    if let Scope::Patient(key) = row.scope {
        // Nothing stands on the rules before, which would have to be adapted.
        let generation = state.general.generation;
        state.patients.get_mut(key.index()).expect("just provided").generation = generation;
    }
}

fn fill_devices(state: &mut State, until: DeviceKey, now: Timestamp) {
    while state.devices.len() < until.index() {
        provide_site(state, SiteKey(0), now);
        let index = state.devices.len();
        let row = DeviceRow {
            key: DeviceKey(u32::try_from(index).expect("below a key")),
            id: DeviceId::new(&missing("device", index)).expect("our own ids are valid"),
            site: SiteKey(0),
            created_at: now,
        };
        state.add_device(Device::new(row));
    }
}

fn add_device(state: &mut State, standing: &DeviceStanding, now: Timestamp) {
    let row = &standing.row;
    fill_devices(state, row.key, now);
    provide_site(state, row.site, now);
    if row.key.index() != state.devices.len() {
        return;
    }
    let mut device = Device::new(row.clone());
    device.newest = standing.newest_measured_at;
    device.account = Account::restored(standing);
    for binding in &standing.bindings {
        fill_patients(state, PatientKey(binding.patient.0.saturating_add(1)), now);
        let schedule = state.share(&binding.schedule);
        device.bindings.push(BindingRow { schedule, ..binding.clone() });
    }
    let bound = device.bound().cloned();
    state.add_device(device);
    if let Some(binding) = bound {
        wear(state, &binding, &standing.newest, now);
    }
}

/// A patient has a device on, of which nothing is known to come.
fn wear(state: &mut State, binding: &BindingRow, newest: &[NewestReading], now: Timestamp) {
    let heard = state.moment(now).attentive.plus(binding.from.since(now));
    let patient = state.patients.get_mut(binding.patient.index()).expect("just provided");
    if patient.devices.is_empty() {
        state.worn += 1;
    }
    patient.devices.push(binding.device);
    for (vital, _) in &binding.schedule.expected_intervals {
        patient.add_channel(channel(binding, *vital, newest, heard));
    }
    for reading in newest {
        if patient.channel_index(binding.device, reading.vital).is_none() {
            patient.add_channel(channel(binding, reading.vital, newest, heard));
        }
    }
}

fn channel(
    binding: &BindingRow,
    vital: Vital,
    newest: &[NewestReading],
    heard: Attentive,
) -> Channel {
    let mut channel = Channel::new(binding.device, vital, &binding.schedule, heard);
    let reading = newest.iter().find(|reading| reading.vital == vital);
    // What was measured before somebody wore it is somebody else's.
    if let Some(reading) = reading.filter(|reading| reading.measured_at >= binding.from) {
        let judged = reading.is_judged.then_some(reading.value);
        channel.restore(reading.measured_at, judged);
    }
    channel
}

fn settle(
    state: &mut State,
    first: PatientKey,
    count: u32,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let keys = (first.0..first.0.saturating_add(count)).map(PatientKey);
    for key in keys.take_while(|key| key.index() < state.patients.len()).collect::<Vec<_>>() {
        state.with_patient(key, now, outputs, monitoring::review);
        state.note_alerts(key);
        state.reschedule(key);
    }
}
