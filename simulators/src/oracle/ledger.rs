//! Which readings must be stored, from everything that was published.
//!
//! The second pass over a record: each payload is decoded and admitted as `docs/mqtt.md` says, in
//! sections 5 to 8: told from those that came before by its number, given to whoever wore the
//! device when it was measured, or refused. A reading *must* be stored if a message with it was
//! acknowledged and nothing but the contract decides; it *may* be where the moment of its receipt
//! decides, or nobody knows whether it was received. Nothing here is guessed, and nothing is
//! compared with what the service did.

mod numbers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use prost::Message as _;

use self::numbers::{Known, Numbers};
use super::alarms::Step;
use super::decode::{self, Reading};
use super::profile::{self, Micros, Rule};
use super::survey::{Binding, Survey, survey};
use super::vital::{Refusal, Worth};
use crate::proto::v1;
use crate::record::{self, What};

const SECOND: Micros = 1_000_000;
/// Readings measured further ahead of the service's clock are refused.
const AHEAD_MAX: Micros = 30 * SECOND;
/// Readings measured longer ago are refused, unless configured.
const AGE_MAX: Micros = 30 * 24 * 3600 * SECOND;
/// How long the service may take to receive what the broker has, while both are there.
const RECEIPT_MAX: Micros = 10 * SECOND;
/// How long what has piled up may take to be taken in after an outage.
const DRAIN_MAX: Micros = 60 * SECOND;
/// How long a change of the registry may take to be answered.
const CALL_MAX: Micros = 30 * SECOND;

/// A reading that was published, and what must become of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// What was sent.
    pub reading: Reading,
    /// The message that carried it first, in the order in which they were published.
    pub message: u32,
    /// Its place among the readings of that message.
    pub place: u32,
    /// Whose it is, among the survey's patients.
    pub patient: u32,
    /// When the store says that it was received; 0 while nobody has said.
    pub received: Micros,
    flags: u8,
}

impl Slot {
    const HEARD: u8 = 1;
    const SURE: u8 = 2;
    const MAY_DOUBLE: u8 = 4;
    const REAL: u8 = 8;
    const ENDED: u8 = 16;
    const AGAIN: u8 = 32;

    const fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it must be stored; else it may.
    #[must_use]
    pub const fn must_be_stored(&self) -> bool {
        self.is(Self::HEARD) && self.is(Self::SURE)
    }

    /// Whether another message carried it too: any of them may have been the first to be received.
    #[must_use]
    pub const fn came_again(&self) -> bool {
        self.is(Self::AGAIN)
    }

    /// Whether it may be stored again, because it came again beyond the contract's bounds.
    #[must_use]
    pub const fn may_be_doubled(&self) -> bool {
        self.is(Self::MAY_DOUBLE)
    }
}

/// How many messages had something refused for a reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Messages that must have been.
    pub must: u64,
    /// Messages that may have been.
    pub may: u64,
}

/// What was published, and what must become of it.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Everything but the payloads.
    pub survey: Survey,
    /// The rules in force.
    pub rules: Vec<Rule>,
    /// Each device's readings, in the order in which they were published.
    pub slots: Vec<Vec<Slot>>,
    /// Refusals by reason.
    pub refused: BTreeMap<Refusal, Refused>,
    /// Readings that were sent again.
    pub repeated: u64,
    /// Status messages, which are not judged.
    pub statuses: u64,
}

/// Reads the record in `dir`, and says what must become of what it holds.
///
/// # Errors
/// If the record can't be read.
pub fn read(dir: &Path, clocks_apart: Micros) -> Result<Ledger, record::Error> {
    let survey = survey(dir, clocks_apart)?;
    let profile = v1::Profile::decode(&*survey.run.profile).unwrap_or_default();
    let devices = survey.run.devices.len();
    let mut reader = Reader {
        ledger: Ledger {
            rules: profile::rules(&profile),
            slots: vec![Vec::new(); devices],
            refused: BTreeMap::new(),
            repeated: 0,
            statuses: 0,
            survey,
        },
        numbers: vec![Numbers::default(); devices],
        next: 0,
    };
    for entry in record::read(dir)? {
        if let Some(What::Published(published)) = entry?.what
            && reader.ledger.survey.place(published.message) == Some(reader.next)
        {
            reader.next += 1;
            reader.take(&published);
        }
    }
    Ok(reader.ledger)
}

struct Reader {
    ledger: Ledger,
    numbers: Vec<Numbers>,
    /// The place of the next message that comes for the first time.
    next: usize,
}

/// Who had a device when it measured, as far as the service can have known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Worn {
    patient: Option<u32>,
    has_ended: bool,
    is_sure: bool,
}

impl Reader {
    fn take(&mut self, published: &record::Published) {
        let place = self.next - 1;
        let message = self.ledger.survey.messages[place];
        if published.kind != "readings" {
            self.ledger.statuses += 1;
            return;
        }
        let decoded = decode::batch(&published.content_type, &published.payload);
        let is_enrolled =
            self.ledger.survey.run.devices.get(message.device as usize).map(|it| it.is_enrolled);
        let batch = match (decoded, is_enrolled) {
            (Err(refusal), _) => return self.refuse(refusal, place, true),
            (Ok(_), None | Some(false)) => return self.refuse(Refusal::UnknownDevice, place, true),
            (Ok(batch), Some(true)) => batch,
        };
        let repeats = self.numbers[message.device as usize].note_payload(&published.payload);
        let mut refusals = BTreeMap::new();
        let mut order: Vec<usize> = (0..batch.readings.len()).collect();
        order.sort_by_key(|at| batch.readings[*at].map_or(Micros::MIN, |it| it.measured_at));
        for at in order {
            let seq = (batch.boot_id != 0)
                .then(|| (batch.boot_id, batch.first_seq.wrapping_add(at as u64)));
            let refusal =
                self.reading(place, at, (seq, repeats), batch.is_real, batch.readings[at]);
            if let Some((refusal, is_sure)) = refusal {
                *refusals.entry(refusal).or_insert(false) |= is_sure;
            }
        }
        for (refusal, is_sure) in refusals {
            self.refuse(refusal, place, is_sure);
        }
    }

    /// A message of which something is refused.
    fn refuse(&mut self, refusal: Refusal, place: usize, is_sure: bool) {
        let refused = self.ledger.refused.entry(refusal).or_default();
        refused.may += 1;
        refused.must += u64::from(is_sure && self.ledger.survey.messages[place].is_heard);
    }

    /// Admits a reading; the refusal, and whether it is sure, if it is or may be refused.
    fn reading(
        &mut self,
        place: usize,
        at: usize,
        (seq, repeats): (Option<(u64, u64)>, bool),
        is_real: bool,
        reading: Result<Reading, Refusal>,
    ) -> Option<(Refusal, bool)> {
        let message = self.ledger.survey.messages[place];
        let device = message.device as usize;
        let window = self.ledger.survey.window(place);
        let content = reading.ok();
        let known = self.numbers[device].known(seq, content, message.published, repeats);
        if let Known::Slot(slot) | Known::Perhaps(slot) = known {
            let perhaps = matches!(known, Known::Perhaps(_));
            self.repeat(device, slot, message.is_heard, perhaps);
            return None;
        }
        if known == Known::Gone {
            self.ledger.repeated += 1;
            return None;
        }
        let reading = match reading {
            Ok(reading) => reading,
            Err(refusal) => {
                self.numbers[device].gone(seq.filter(|_| refusal.is_final()));
                return Some((refusal, true));
            }
        };
        let worn = self.ledger.survey.worn(device, reading.measured_at, window);
        let (refusal, is_sure) = timing(reading.measured_at, window);
        let refusal = refusal.or_else(|| worn.patient.is_none().then_some(Refusal::UnboundDevice));
        if let Some(refusal) = refusal.filter(|_| is_sure || worn.patient.is_none()) {
            self.numbers[device].gone(seq.filter(|_| refusal.is_final()));
            return Some((refusal, is_sure));
        }
        let is_admitted = is_sure && worn.is_sure;
        let mut flags = if message.is_heard { Slot::HEARD } else { 0 };
        for (flag, holds) in
            [(Slot::SURE, is_admitted), (Slot::REAL, is_real), (Slot::ENDED, worn.has_ended)]
        {
            flags |= if holds { flag } else { 0 };
        }
        let slots = &mut self.ledger.slots[device];
        let slot = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        self.numbers[device].admit(seq, content, message.published, slot);
        slots.push(Slot {
            reading,
            message: u32::try_from(place).unwrap_or(u32::MAX),
            place: u32::try_from(at).unwrap_or(u32::MAX),
            patient: worn.patient.unwrap_or(u32::MAX),
            received: 0,
            flags,
        });
        let doubt = refusal.unwrap_or(Refusal::UnboundDevice);
        (!is_admitted).then_some((doubt, false))
    }

    /// A reading that came before comes again.
    fn repeat(&mut self, device: usize, slot: u32, is_heard: bool, perhaps: bool) {
        self.ledger.repeated += 1;
        let slot = &mut self.ledger.slots[device][slot as usize];
        slot.flags |= Slot::AGAIN | if is_heard { Slot::HEARD } else { 0 };
        slot.flags |= if perhaps { Slot::MAY_DOUBLE } else { 0 };
    }
}

/// Whether a reading is refused for its time, and whether that is sure.
fn timing(measured_at: Micros, (earliest, latest): (Micros, Micros)) -> (Option<Refusal>, bool) {
    if measured_at - earliest > AHEAD_MAX {
        return (Some(Refusal::ClockAhead), measured_at - latest > AHEAD_MAX);
    }
    if latest - measured_at > AGE_MAX {
        return (Some(Refusal::TooOld), earliest - measured_at > AGE_MAX);
    }
    (None, true)
}

impl Survey {
    /// The earliest and the latest moment, by its own clock, at which the service can have received a
    /// message first.
    #[must_use]
    pub fn window(&self, place: usize) -> (Micros, Micros) {
        let message = &self.messages[place];
        let heard = message.acknowledged().unwrap_or(self.span.1) + RECEIPT_MAX;
        let drained = self.outages.drained_by(message.published, heard, DRAIN_MAX);
        let latest = drained.map_or(heard, |by| heard.max(by));
        (message.published - self.clocks_apart, latest + self.clocks_apart)
    }

    fn worn(
        &self,
        device: usize,
        measured_at: Micros,
        (earliest, latest): (Micros, Micros),
    ) -> Worn {
        let bindings = &self.bindings[device];
        let owner = |knows: &dyn Fn(Micros) -> bool| {
            bindings.iter().rev().filter(|it| knows(it.known_from)).find_map(|it| {
                let ended = it.ended_at.is_some_and(knows);
                let is_within = it.from <= measured_at
                    && it.until.is_none_or(|until| !ended || measured_at < until);
                is_within.then_some((it.patient, ended))
            })
        };
        let least = owner(&|known| known <= earliest);
        let most = owner(&|known| known.saturating_sub(CALL_MAX) <= latest);
        let is_sure = least.map(|it| it.0) == most.map(|it| it.0);
        let (patient, has_ended) =
            least.or(most).map_or((None, false), |(patient, ended)| (Some(patient), ended));
        Worn { patient, has_ended, is_sure }
    }

    /// The binding under which a device was worn by a patient.
    #[must_use]
    pub fn binding(&self, device: u32, patient: u32) -> Option<&Binding> {
        self.bindings.get(device as usize)?.iter().find(|it| it.patient == patient)
    }
}

impl Ledger {
    /// The devices that a patient has worn.
    pub fn devices_of(&self, patient: u32) -> impl Iterator<Item = u32> + '_ {
        let worn = move |(_, bindings): &(usize, &Vec<Binding>)| {
            bindings.iter().any(|it| it.patient == patient)
        };
        let devices = self.survey.bindings.iter().enumerate().filter(worn);
        devices.filter_map(|(place, _)| u32::try_from(place).ok())
    }

    /// When a reading was received: exactly, if the store has said so.
    #[must_use]
    pub fn received(&self, slot: &Slot) -> (Micros, Micros) {
        match slot.received {
            0 => self.survey.window(slot.message as usize),
            received => (received, received),
        }
    }

    /// What the rules are given of a reading; `None` for one of a test or a demonstration.
    #[must_use]
    pub fn step(&self, device: u32, slot: &Slot) -> Option<Step> {
        let worn = self.survey.run.devices.get(device as usize)?;
        let Reading { measured_at, vital, worth, is_doubted, is_historical, .. } = slot.reading;
        slot.is(Slot::REAL).then(|| Step {
            message: slot.message,
            device,
            measured_at,
            vital,
            worth,
            is_doubted,
            is_historical: is_historical || slot.is(Slot::ENDED),
            received: self.received(slot),
            upload_interval: micros(worn.upload_interval),
            measures_every: Some(micros(worn.measures_every)).filter(|it| *it > 0),
        })
    }

    /// A patient's name.
    #[must_use]
    pub fn patient(&self, patient: u32) -> Arc<str> {
        self.survey.patients.get(patient as usize).map_or_else(|| "?".into(), Arc::clone)
    }
}

fn micros(span: jiff::SignedDuration) -> Micros {
    Micros::try_from(span.as_micros()).unwrap_or(Micros::MAX)
}

/// The value of a reading as the store shows it: `None` where there is none.
#[must_use]
pub fn stored_value(worth: Worth) -> Option<f64> {
    match worth {
        Worth::Plausible(value) | Worth::Implausible(value) => Some(super::vital::number(value)),
        Worth::Level(level) => Some(f64::from(level)),
        Worth::NoSensor | Worth::Absent(_) => None,
    }
}

#[cfg(test)]
mod tests;
