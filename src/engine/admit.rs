//! Admission: which readings of a batch count, and for whom.
//!
//! Each decoded reading is numbered, timed and bound, or refused with a reason. The order of the
//! checks is: duplicate, clock, age, binding, range. Readings that are admitted go to the store as
//! they are, with flags; those that are also real, in time, in order and plausible are judged by
//! the rules at once, in measured order.
//!
//! Late readings are kept and flagged, and judged by nothing. So are readings of a binding that
//! has ended since.

pub(super) mod sequences;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::sequences::Sequences;
use super::alerts::Wearer;
use super::decode::{Batch, Decoded};
use super::output::{BindingRow, DeviceRow, Output, Quality, Reading, RejectReason};
use super::rules;
use super::state::State;
use crate::clock::Timestamp;
use crate::vitals::{DeviceKey, Mode, PatientKey, Quantity, Value, Vital};

/// Readings measured further ahead of the service's clock are refused.
pub(super) const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(30);
/// Beyond its upload interval, a reading this much older is still in time.
pub(super) const LIVE_WINDOW_GRACE: Duration = Duration::from_secs(2 * 60);
/// For how long an unnumbered reading is recognised when it comes again.
const IDENTITY_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Unnumbered readings recognised at most; the oldest measured are forgotten first.
const IDENTITIES_MAX: usize = 4096;

/// One device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Device {
    /// What it is.
    pub(super) row: DeviceRow,
    /// Whose it was, is and will be, by rising start; apart from each other.
    pub(super) bindings: Vec<BindingRow>,
    /// When the newest reading admitted from it was measured.
    pub(super) newest: Option<Timestamp>,
    /// Which of its numbered readings have been admitted.
    sequences: Sequences,
    /// When its unnumbered readings were measured, and received.
    identities: BTreeMap<(Timestamp, Vital), Timestamp>,
}

impl Device {
    /// A device that is nobody's and has sent nothing.
    pub(super) fn new(row: DeviceRow) -> Self {
        Self {
            row,
            bindings: Vec::new(),
            newest: None,
            sequences: Sequences::default(),
            identities: BTreeMap::new(),
        }
    }

    /// Whose it was at `instant`.
    pub(super) fn binding_at(&self, instant: Timestamp) -> Option<&BindingRow> {
        let covers = |binding: &&BindingRow| {
            binding.from <= instant && binding.until.is_none_or(|until| instant < until)
        };
        self.bindings.iter().rev().find(covers)
    }

    fn is_duplicate(&self, boot_id: u64, reading: &Decoded) -> bool {
        if boot_id == 0 {
            self.identities.contains_key(&(reading.measured_at, reading.vital))
        } else {
            self.sequences.contains(boot_id, reading.sequence)
        }
    }

    fn remember(&mut self, boot_id: u64, reading: &Decoded, now: Timestamp) {
        self.newest = self.newest.max(Some(reading.measured_at));
        if boot_id != 0 {
            return;
        }
        self.identities.insert((reading.measured_at, reading.vital), now);
        let expired = now.minus(IDENTITY_WINDOW);
        while let Some(oldest) = self.identities.first_entry() {
            if *oldest.get() >= expired && self.identities.len() <= IDENTITIES_MAX {
                break;
            }
            self.identities.pop_first();
        }
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Readings admitted.
    pub(super) accepted: u32,
    /// Readings that had been admitted before.
    pub(super) duplicate: u32,
    /// Readings refused, by their place in the batch.
    pub(super) refused: Vec<(u32, RejectReason, String)>,
}

/// Admits what counts of a batch from a known device.
pub(super) fn admit(
    state: &mut State,
    device: DeviceKey,
    batch: Batch,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Tally {
    let mut tally = Tally { refused: batch.refused, ..Tally::default() };
    let mut readings = batch.readings;
    // Stable, so that readings of one instant keep the order in which they were sent.
    readings.sort_by_key(|reading| reading.measured_at);
    let mut seen = Seen::of(&tally.refused, batch.first_seq);
    for reading in &readings {
        if state.device(device).is_duplicate(batch.boot_id, reading) {
            tally.duplicate += 1;
            continue;
        }
        match place(state, device, reading, batch.mode, now) {
            Ok(admission) => {
                tally.accepted += 1;
                let row = state.devices.get_mut(device.index());
                row.expect("the caller looked it up").remember(batch.boot_id, reading, now);
                seen.numbers.push(reading.sequence);
                outputs.push(Output::Reading(admission.reading));
                judge(state, &admission, now, outputs);
            }
            Err((reason, detail)) => {
                if is_final(reason) {
                    seen.numbers.push(reading.sequence);
                }
                tally.refused.push((reading.index, reason, detail));
            }
        }
    }
    if batch.boot_id != 0 && !seen.numbers.is_empty() {
        let row = state.devices.get_mut(device.index()).expect("the caller looked it up");
        row.sequences.insert_all(batch.boot_id, seen.numbers);
    }
    tally.refused.sort_by_key(|(index, ..)| *index);
    tally
}

/// Numbers of a batch that need not come again: admitted, or refused for what they are.
struct Seen {
    numbers: Vec<u64>,
}

impl Seen {
    fn of(refused: &[(u32, RejectReason, String)], first_seq: u64) -> Self {
        let is_over = |(_, reason, _): &&(u32, RejectReason, String)| is_final(*reason);
        let number = |(index, ..): &(u32, RejectReason, String)| first_seq + u64::from(*index);
        Self { numbers: refused.iter().filter(is_over).map(number).collect() }
    }
}

/// Whether a reading refused for this reason is refused whenever it comes again. The others may
/// be admitted later: once the device is bound, or its time has come.
const fn is_final(reason: RejectReason) -> bool {
    !matches!(
        reason,
        RejectReason::UnknownDevice
            | RejectReason::WrongSite
            | RejectReason::UnboundDevice
            | RejectReason::ClockAhead
    )
}

/// A reading that counts, and what the rules may do with it.
struct Admission {
    reading: Reading,
    use_: Use,
}

/// What the rules may do with a reading.
enum Use {
    /// Judge its value.
    Judge(Quantity),
    /// Note that its value is absent.
    Miss,
    /// Note only that it came: it neither satisfies nor breaks a delay.
    PassOver,
    /// Nothing: it is late, or not real.
    None,
}

fn place(
    state: &State,
    device: DeviceKey,
    decoded: &Decoded,
    mode: Mode,
    now: Timestamp,
) -> Result<Admission, (RejectReason, String)> {
    let measured_at = decoded.measured_at;
    check_clock(state, measured_at, now)?;
    let Some(binding) = state.device(device).binding_at(measured_at) else {
        let detail = format!("bound to nobody at {measured_at}");
        return Err((RejectReason::UnboundDevice, detail));
    };
    let mut quality = decoded.quality.with(quality_of(mode));
    if measured_at > now {
        quality = quality.with(Quality::CLOCK_AHEAD);
    }
    let is_late = decoded.historical
        || binding.until.is_some()
        || measured_at.plus(binding.schedule.upload_interval).plus(LIVE_WINDOW_GRACE) < now
        || is_out_of_order(state, binding.patient, device, decoded);
    if is_late {
        quality = quality.with(Quality::LATE);
    }
    let (tier, flags) = grade(decoded)?;
    let reading = Reading {
        measured_at,
        patient: binding.patient,
        device,
        vital: decoded.vital,
        value: decoded.value,
        quality: quality.with(flags),
    };
    let use_ = if is_late || mode != Mode::Real { Use::None } else { tier };
    Ok(Admission { reading, use_ })
}

fn check_clock(
    state: &State,
    measured_at: Timestamp,
    now: Timestamp,
) -> Result<(), (RejectReason, String)> {
    if measured_at.since(now) > CLOCK_AHEAD_MAX {
        let ahead = measured_at.since(now).as_secs();
        let detail = format!("measured {ahead} s ahead of the service's clock");
        return Err((RejectReason::ClockAhead, detail));
    }
    let retention = state.general.settings.retention;
    if now.since(measured_at) > retention {
        let days = retention.as_secs() / (24 * 60 * 60);
        let detail = format!("measured at {measured_at}; readings are kept for {days} days");
        return Err((RejectReason::TooOld, detail));
    }
    Ok(())
}

const fn quality_of(mode: Mode) -> Quality {
    match mode {
        Mode::Real => Quality(0),
        Mode::Test => Quality::TEST,
        Mode::Demo => Quality::DEMO,
    }
}

fn is_out_of_order(
    state: &State,
    patient: PatientKey,
    device: DeviceKey,
    decoded: &Decoded,
) -> bool {
    state
        .patient(patient)
        .channel(device, decoded.vital)
        .is_some_and(|channel| decoded.measured_at <= channel.newest)
}

/// The tier of a value: refused, passed over, technical or judged.
fn grade(decoded: &Decoded) -> Result<(Use, Quality), (RejectReason, String)> {
    let vital = decoded.vital;
    let quantity = match decoded.value {
        Value::Absent(_) => return Ok((Use::Miss, Quality(0))),
        Value::Consciousness(_) => return Ok((Use::PassOver, Quality(0))),
        Value::Quantity(quantity) => quantity,
    };
    if quantity == Quantity::whole(0) && vital.zero_means_no_sensor() {
        return Ok((Use::Miss, Quality::NO_SENSOR));
    }
    let possible = vital.possible();
    if !possible.contains(quantity) {
        let unit = vital.unit().ucum();
        let detail =
            format!("{vital} is possible from {} to {} {unit}", possible.low, possible.high);
        return Err((RejectReason::ImpossibleValue, detail));
    }
    if !vital.plausible().contains(quantity) {
        return Ok((Use::PassOver, Quality::IMPLAUSIBLE));
    }
    if decoded.quality.has(Quality::QUESTIONABLE) {
        return Ok((Use::PassOver, Quality(0)));
    }
    Ok((Use::Judge(quantity), Quality(0)))
}

fn judge(state: &mut State, admission: &Admission, now: Timestamp, outputs: &mut Vec<Output>) {
    let reading = &admission.reading;
    if matches!(admission.use_, Use::None) {
        return;
    }
    let rules = state.rules_of(reading.patient);
    let (patients, sites, devices) = (&mut state.patients, &state.sites, &state.devices);
    let patient = patients.get_mut(reading.patient.index()).expect("bindings name patients");
    let alerts_before = patient.alerts.len();
    match admission.use_ {
        Use::Judge(value) => {
            let site = sites.get(patient.row.site.index()).expect("patients name sites");
            let device_id = |key: DeviceKey| {
                devices.get(key.index()).expect("channels name devices").row.id.clone()
            };
            let wearer = Wearer { site: &site.row.id, now, device_id: &device_id };
            rules::judge(patient, &rules, &wearer, reading, value, outputs);
        }
        Use::Miss => rules::miss(patient, reading),
        Use::PassOver => rules::pass_over(patient, reading),
        Use::None => {}
    }
    if patient.alerts.len() != alerts_before {
        state.note_alerts(reading.patient);
    }
}
