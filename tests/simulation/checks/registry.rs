//! V7: a reading counts for a patient only if its device was bound to that patient when it was
//! measured, by the bindings known at receipt; each counts once, and is marked late if it is.
//!
//! A registry of its own, made from the commands that were carried out, predicts what becomes of
//! every reading before the engine's outputs are looked at.

use std::collections::{BTreeMap, HashMap, HashSet};

use pulseward::clock::Timestamp;
use pulseward::engine::input::{Action, Event};
use pulseward::engine::output::{
    BindingRow, Done, Output, Quality, Reading, RegistryChange, Reply,
};
use pulseward::vitals::{Quantity, Value, Vital};

use super::{Violation, hold, micros};
use crate::ward::device::{Said, Sent};
use crate::ward::{Batch, MINUTE, Micros, SECOND, Step, Told};

/// Readings measured further ahead are refused.
const AHEAD_MAX: Micros = 30 * SECOND;
/// Beyond the upload interval, a reading this much older is still in time.
const GRACE: Micros = 2 * MINUTE;
/// For how long what has no number is known again.
const IDENTITY_WINDOW: Micros = 10 * MINUTE;

/// The checkers' own registry.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) patients: Vec<Patient>,
    pub(crate) devices: Vec<Device>,
    /// Devices and site of the last transfer, until the ward has heard of it.
    pub(crate) moved: Option<(Vec<usize>, usize)>,
    /// The binding that the last command began, if it began one.
    pub(super) bound: Option<(usize, BindingRow)>,
}

/// A patient.
pub(crate) struct Patient {
    pub(crate) site: usize,
    pub(crate) paused_until: Option<Timestamp>,
    /// The devices bound to them.
    pub(crate) devices: Vec<usize>,
}

/// A device.
pub(crate) struct Device {
    pub(crate) site: usize,
    /// Its bindings, by rising start.
    pub(crate) bindings: Vec<BindingRow>,
    /// When its newest admitted reading was measured.
    newest: Option<Timestamp>,
    /// By binding and vital: when the newest reading in time was measured, and when the newest of
    /// any kind.
    channels: HashMap<(usize, Vital), Newest>,
    /// Numbers that need not come again.
    numbers: HashSet<(u64, u64)>,
    /// When what has no number was measured, and received.
    identities: BTreeMap<(Timestamp, Vital), Timestamp>,
}

#[derive(Clone, Copy)]
struct Newest {
    in_time: Option<Timestamp>,
    of_any: Timestamp,
}

/// How a reading arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    Live,
    /// Late by age only.
    Delayed,
    Late,
    /// Newer than what was in time, older than what was late: the contract does not say.
    Unsaid,
}

/// A reading that must be admitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) patient: usize,
    pub(crate) device: usize,
    pub(crate) sent: Sent,
    pub(crate) timing: Timing,
    /// How old it was at receipt.
    pub(crate) age: Micros,
    /// Whether it may be known again beyond what the contract asks for.
    may_be_known: bool,
}

impl Expected {
    /// Whether it may end a condition of its patient.
    pub(crate) fn is_live(&self) -> bool {
        self.timing == Timing::Live && self.sent.said == Said::Plausible && !self.sent.is_test
    }

    /// Whether it may raise one.
    pub(crate) fn may_raise(&self) -> bool {
        let is_value = matches!(self.sent.said, Said::Plausible | Said::Implausible);
        is_value && self.timing != Timing::Late && !self.sent.is_test
    }
}

impl Registry {
    /// Who wears a device by the registry.
    pub(crate) fn wearer(&self, device: usize) -> Option<usize> {
        Some(self.devices[device].bound()?.patient.index())
    }

    /// Whether a device has measured a vital, or may have begun to.
    pub(super) fn measures(&self, device: usize, vital: Vital) -> bool {
        let channels = &self.devices[device].channels;
        channels.is_empty() || channels.keys().any(|(_, it)| *it == vital)
    }

    /// What must become of the readings of an input.
    pub(super) fn expect(&mut self, step: &Step) -> Vec<Expected> {
        let Told::Batch(batch) = &step.told else { return Vec::new() };
        let now = step.input.received_at;
        let device = &mut self.devices[batch.device];
        if device.site != batch.site {
            return Vec::new();
        }
        let mut readings: Vec<&Sent> = batch.readings.iter().collect();
        readings.sort_by_key(|sent| sent.measured_at);
        let mut expected = Vec::new();
        for sent in readings {
            expected.extend(device.admit(batch, sent, now));
        }
        expected
    }

    /// Compares what was admitted with what must have been.
    pub(super) fn compare(
        &mut self,
        expected: &[Expected],
        outputs: &[Output],
    ) -> Result<(), Violation> {
        let admitted = outputs.iter().filter_map(|output| match output {
            Output::Reading(reading) => Some(reading),
            _ => None,
        });
        let mut admitted = admitted.peekable();
        for expected in expected {
            let reading = admitted.peek().copied();
            let is_it = reading.is_some_and(|reading| is_as_expected(expected, reading));
            if expected.may_be_known && !is_it {
                continue;
            }
            admitted.next();
            hold(is_it, "V7", || format!("{reading:?} was admitted where {expected:?} was due"))?;
            let reading = reading.expect("just compared");
            self.devices[expected.device].follow(expected, reading);
        }
        let surplus = admitted.next();
        hold(surplus.is_none(), "V7", || format!("{surplus:?} was admitted"))
    }

    /// Follows a command.
    pub(super) fn change(
        &mut self,
        step: &Step,
        outputs: &[Output],
        reply: Option<&Reply>,
    ) -> Result<(), Violation> {
        (self.moved, self.bound) = (None, None);
        let now = step.input.received_at;
        for patient in &mut self.patients {
            patient.paused_until = patient.paused_until.filter(|until| *until > now);
        }
        let Event::Command(command) = &step.input.event else { return Ok(()) };
        let changes = || {
            outputs.iter().filter_map(|output| match output {
                Output::Registry(change) => Some(&**change),
                _ => None,
            })
        };
        match reply {
            Some(Ok(done)) => {
                self.check_binding(&command.action, done, now)?;
                changes().try_for_each(|change| self.follow(change))
            }
            Some(Err(_)) => {
                hold(changes().next().is_none(), "a refused command changes nothing", || {
                    format!("{command:?}: {reply:?}, {outputs:?}")
                })
            }
            None => Err(Violation::new("a command is answered", format!("{command:?}"))),
        }
    }

    /// A binding changes when it was asked to, and never behind what was admitted.
    fn check_binding(&self, action: &Action, done: &Done, now: Timestamp) -> Result<(), Violation> {
        let (asked, at, row) = match (action, done) {
            (
                Action::BindDevice(asked),
                Done::Registry { change: RegistryChange::Binding(row), .. },
            ) => (asked.from, row.from, row),
            (
                Action::UnbindDevice { at, .. },
                Done::Registry { change: RegistryChange::Binding(row), .. },
            ) => (*at, row.until.expect("just ended"), row),
            (Action::ReplaceDevice(asked), Done::Replaced { ended, began, .. }) => {
                let until = ended.until.expect("just ended");
                hold(until == began.from, "V7", || format!("{ended:?} and {began:?} do not meet"))?;
                (asked.at, until, ended)
            }
            _ => return Ok(()),
        };
        let newest = self.devices[row.device.index()].newest;
        let is_free = newest.is_none_or(|newest| at > newest);
        let is_asked = asked.map_or(at >= now, |asked| asked == at);
        hold(is_free && is_asked, "V7", || {
            format!("{action:?} at {now} gave {row:?}, with readings up to {newest:?}")
        })
    }

    fn follow(&mut self, change: &RegistryChange) -> Result<(), Violation> {
        match change {
            RegistryChange::Patient(row) => self.follow_patient(row),
            RegistryChange::Device(row) if row.key.index() == self.devices.len() => {
                self.devices.push(Device::new(row.site.index()));
            }
            RegistryChange::Device(row) => {
                let (device, site) = (row.key.index(), row.site.index());
                self.devices[device].site = site;
                self.moved.get_or_insert((Vec::new(), site)).0.push(device);
            }
            RegistryChange::Binding(row) => return self.follow_binding(row),
            RegistryChange::Site(_) | RegistryChange::Profile(_) => {}
        }
        Ok(())
    }

    fn follow_patient(&mut self, row: &pulseward::engine::output::PatientRow) {
        let (key, site) = (row.key.index(), row.site.index());
        if key == self.patients.len() {
            self.patients.push(Patient { site, paused_until: None, devices: Vec::new() });
        }
        let patient = &mut self.patients[key];
        (patient.site, patient.paused_until) = (site, row.paused_until);
    }

    fn follow_binding(&mut self, row: &BindingRow) -> Result<(), Violation> {
        let (key, patient) = (row.device.index(), &mut self.patients[row.patient.index()]);
        let device = &mut self.devices[key];
        if row.until.is_none() {
            let is_apart = device.bindings.last().is_none_or(|last| last.until <= Some(row.from));
            let is_apart = is_apart && device.bound().is_none();
            device.bindings.push(row.clone());
            patient.devices.push(key);
            self.bound = Some((key, row.clone()));
            return hold(is_apart, "V7", || format!("{row:?} overlaps the binding before it"));
        }
        let last = device.bindings.last_mut().expect("what ends has begun");
        let is_it = (last.from, last.patient, last.until) == (row.from, row.patient, None);
        *last = row.clone();
        patient.devices.retain(|it| *it != key);
        hold(is_it, "V7", || format!("{row:?} ended another binding"))
    }
}

impl Device {
    fn new(site: usize) -> Self {
        Self {
            site,
            bindings: Vec::new(),
            newest: None,
            channels: HashMap::new(),
            numbers: HashSet::new(),
            identities: BTreeMap::new(),
        }
    }

    /// The binding that lasts, if one does.
    pub(crate) fn bound(&self) -> Option<&BindingRow> {
        self.bindings.last().filter(|last| last.until.is_none())
    }

    /// What must become of a reading: its admission, or nothing.
    fn admit(&mut self, batch: &Batch, sent: &Sent, now: Timestamp) -> Option<Expected> {
        if !self.is_new(batch, sent, now) {
            return None;
        }
        let may_be_known = self.identities.contains_key(&(sent.measured_at, sent.vital));
        let age = now.micros() - sent.measured_at.micros();
        let place = self.binding_at(sent.measured_at).filter(|_| -age <= AHEAD_MAX);
        if sent.said.is_refused() {
            self.remember(batch, sent, None);
        }
        let place = place.filter(|_| !sent.said.is_refused())?;
        self.remember(batch, sent, Some(now));
        let timing = self.timing(place, sent, age);
        let newest = self.channels.get(&(place, sent.vital));
        let of_any = newest.map_or(sent.measured_at, |it| it.of_any.max(sent.measured_at));
        let in_time = newest.and_then(|it| it.in_time);
        let in_time = match timing {
            Timing::Live | Timing::Delayed if !sent.is_test => Some(sent.measured_at),
            _ => in_time,
        };
        if !sent.is_test {
            self.channels.insert((place, sent.vital), Newest { in_time, of_any });
        }
        self.newest = self.newest.max(Some(sent.measured_at));
        let patient = self.bindings[place].patient.index();
        Some(Expected { patient, device: batch.device, sent: *sent, timing, age, may_be_known })
    }

    fn is_new(&self, batch: &Batch, sent: &Sent, now: Timestamp) -> bool {
        if batch.is_numbered {
            return !self.numbers.contains(&(sent.boot, sent.sequence));
        }
        let received = self.identities.get(&(sent.measured_at, sent.vital));
        received.is_none_or(|at| now.micros() - at.micros() > IDENTITY_WINDOW)
    }

    /// Takes note of a number that need not come again; of an identity if it was admitted.
    fn remember(&mut self, batch: &Batch, sent: &Sent, admitted: Option<Timestamp>) {
        if batch.is_numbered {
            self.numbers.insert((sent.boot, sent.sequence));
        } else if let Some(now) = admitted {
            self.identities.insert((sent.measured_at, sent.vital), now);
            while self.identities.len() > 4 * 600 {
                self.identities.pop_first();
            }
        }
    }

    fn binding_at(&self, instant: Timestamp) -> Option<usize> {
        let covers =
            |row: &BindingRow| row.from <= instant && row.until.is_none_or(|until| instant < until);
        self.bindings.iter().rposition(covers)
    }

    fn timing(&self, place: usize, sent: &Sent, age: Micros) -> Timing {
        let binding = &self.bindings[place];
        let newest = self.channels.get(&(place, sent.vital));
        let in_time = newest.and_then(|it| it.in_time);
        if binding.until.is_some() || sent.historical || in_time >= Some(sent.measured_at) {
            Timing::Late
        } else if newest.is_some_and(|it| it.of_any >= sent.measured_at) {
            Timing::Unsaid
        } else if age <= micros(binding.schedule.upload_interval) + GRACE {
            Timing::Live
        } else {
            Timing::Delayed
        }
    }

    /// What the contract leaves open is as the engine has it.
    fn follow(&mut self, expected: &Expected, reading: &Reading) {
        let is_in_time = expected.timing == Timing::Unsaid && !reading.quality.has(Quality::LATE);
        let Some(place) = self.binding_at(expected.sent.measured_at).filter(|_| is_in_time) else {
            return;
        };
        if let Some(newest) = self.channels.get_mut(&(place, expected.sent.vital)) {
            newest.in_time = newest.in_time.max(Some(expected.sent.measured_at));
        }
    }
}

fn is_as_expected(expected: &Expected, reading: &Reading) -> bool {
    let Expected { patient, device, sent, timing, age, .. } = expected;
    let flags = [
        (Quality::QUESTIONABLE, sent.said == Said::Doubted),
        (Quality::IMPLAUSIBLE, sent.said == Said::Implausible),
        (Quality::NO_SENSOR, sent.said == Said::Zero),
        (Quality::CLOCK_AHEAD, *age < 0),
        (Quality::TEST, sent.is_test),
        (Quality::DEMO, false),
    ];
    let is_late = reading.quality.has(Quality::LATE);
    let is_timed = *timing == Timing::Unsaid || is_late == (*timing != Timing::Live);
    (reading.patient.index(), reading.device.index()) == (*patient, *device)
        && (reading.measured_at, reading.vital) == (sent.measured_at, sent.vital)
        && is_value(sent, reading.value)
        && is_timed
        && flags.iter().all(|(flag, expected)| reading.quality.has(*flag) == *expected)
}

fn is_value(sent: &Sent, value: Value) -> bool {
    match (sent.said, value) {
        (Said::SensorOff | Said::Absent, Value::Absent(_)) => true,
        (_, Value::Consciousness(level)) => level as i64 * 10 == sent.tenths,
        (_, Value::Quantity(quantity)) => {
            quantity == Quantity::from_ten_thousandths(sent.tenths * 1_000)
        }
        _ => false,
    }
}
