//! A wearable: it measures in rounds, numbers what it measured, and makes batches of it.
//!
//! Numbers are consecutive within a start of the device and are given to readings when they are
//! made, once. Times are milliseconds since the fleet began to measure, as the device's clock has
//! them, which may be wrong. It knows no gateway and sends nothing.

use super::episode::millis;
use super::fault::Window;
use super::physiology::{Patient, Said};
use super::scenario::Scenario;
use crate::sample::Vital;

/// What makes a reading one that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A value that no patient can have.
    ImpossibleValue,
    /// A vital that the contract does not know.
    UnknownVital,
    /// A temperature that does not say its unit.
    MissingUnit,
    /// Not a number.
    NotANumber,
    /// No value, and no reason for that.
    NoValue,
}

impl Flaw {
    pub(super) const ALL: [Self; 5] = [
        Self::ImpossibleValue,
        Self::UnknownVital,
        Self::MissingUnit,
        Self::NotANumber,
        Self::NoValue,
    ];
}

/// One reading.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    /// When, by the device's clock.
    pub(super) at_ms: i64,
    pub(super) vital: Vital,
    pub(super) said: Said,
    pub(super) flaw: Option<Flaw>,
    pub(super) is_historical: bool,
    /// 0 for one that stands alone.
    pub(super) measurement_id: u32,
}

/// Readings with consecutive numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Batch {
    /// Which start of the device: 0 is the first of the run, -1 one before it.
    pub(super) boot: i32,
    pub(super) first_seq: u64,
    /// How far the device's clock is ahead when the batch is sent.
    pub(super) clock_ms: i64,
    pub(super) readings: Vec<Reading>,
}

/// A device.
#[derive(Clone, Debug)]
pub(super) struct Device {
    patient: Patient,
    every_ms: i64,
    slow_rounds: i64,
    rounds: i64,
    /// How many rounds its first batch has, if not all of them, so that not all devices send in one.
    shift: i64,
    /// When within the first round it measures.
    phase_ms: i64,
    /// The next round.
    round: i64,
    /// In which of its rounds the slow vitals are measured: not in the same by all devices.
    slow_round: i64,
    boot: i32,
    next_seq: u64,
    measurement_id: u32,
    /// Made again and again; kept for its room.
    said: Vec<(Vital, Said)>,
}

impl Device {
    /// The device of this number, on this patient, beginning with the fleet.
    pub(super) fn new(scenario: &Scenario, number: u32, patient: u32) -> Self {
        let every_ms = millis(scenario.every()).max(1);
        let devices = i64::from(scenario.devices.max(1));
        let place = i64::from(number);
        let rounds = (millis(scenario.gateways.batch) / every_ms).max(1);
        Self {
            patient: Patient::new(scenario, patient),
            every_ms,
            slow_rounds: i64::from(scenario.measuring.slow_rounds.max(1)),
            rounds,
            phase_ms: (place % devices) * every_ms / devices,
            shift: place % rounds,
            round: 0,
            slow_round: place / rounds,
            boot: 0,
            next_seq: 1,
            measurement_id: 0,
            said: Vec::new(),
        }
    }

    pub(super) const fn patient(&self) -> &Patient {
        &self.patient
    }

    /// When the last of the next batch's rounds is measured.
    pub(super) fn next_due(&self) -> i64 {
        let whole = (self.round - self.shift).div_euclid(self.rounds) + 1;
        let last = whole * self.rounds - 1 + self.shift;
        self.phase_ms + last * self.every_ms
    }

    /// Measures the rounds of the next batch, save those in `off`, by a clock that is ahead by this
    /// much. `None` if there was none.
    pub(super) fn measure(
        &mut self,
        off: &[Window],
        clock_ms: i64,
        flaw: Option<Flaw>,
    ) -> Option<Batch> {
        let due = self.next_due();
        let mut readings = Vec::with_capacity(usize::try_from(self.rounds).unwrap_or(1) * 5);
        while self.phase_ms + self.round * self.every_ms <= due {
            let at_ms = self.phase_ms + self.round * self.every_ms;
            let slow = (self.round - self.slow_round).rem_euclid(self.slow_rounds) == 0;
            self.round += 1;
            self.said.clear();
            self.patient.measure(at_ms, slow, &mut self.said);
            if !off.iter().any(|window| window.contains(at_ms)) {
                self.read(at_ms + clock_ms, &mut readings);
            }
        }
        if readings.is_empty() {
            return None;
        }
        readings.extend(flaw.map(|flaw| flawed(due + clock_ms, flaw)));
        Some(self.number(readings, clock_ms))
    }

    /// Lets rounds pass unmeasured until this time.
    pub(super) fn skip_to(&mut self, at_ms: i64) {
        while self.next_due() < at_ms {
            let always = [Window { from: i64::MIN, until: i64::MAX }];
            self.measure(&always, 0, None);
        }
    }

    /// The start it is in, and the last number that it has given.
    pub(super) const fn last(&self) -> (i32, u64) {
        (self.boot, self.next_seq - 1)
    }

    /// Starts anew.
    pub(super) const fn restart(&mut self) {
        self.boot += 1;
        self.next_seq = 1;
    }

    fn read(&mut self, at_ms: i64, to: &mut Vec<Reading>) {
        for (vital, said) in &self.said {
            let is_pressure = matches!(vital, Vital::SystolicPressure | Vital::DiastolicPressure);
            self.measurement_id += u32::from(matches!(vital, Vital::SystolicPressure));
            to.push(Reading {
                at_ms,
                vital: *vital,
                said: *said,
                flaw: None,
                is_historical: false,
                measurement_id: if is_pressure { self.measurement_id } else { 0 },
            });
        }
    }

    fn number(&mut self, readings: Vec<Reading>, clock_ms: i64) -> Batch {
        let first_seq = self.next_seq;
        self.next_seq += readings.len() as u64;
        Batch { boot: self.boot, first_seq, clock_ms, readings }
    }
}

/// What a device that had been worn before the run kept from then: rounds from this time on, of
/// the start before the run.
pub(super) fn kept(scenario: &Scenario, patient: u32, from_ms: i64, rounds: i64) -> Batch {
    let mut device = Device::new(scenario, 0, patient);
    let mut readings = Vec::new();
    for round in 0..rounds {
        let at_ms = from_ms + round * device.every_ms;
        device.said.clear();
        device.patient.measure(at_ms, round % device.slow_rounds == 0, &mut device.said);
        device.read(at_ms, &mut readings);
    }
    Batch { boot: -1, first_seq: 1, clock_ms: 0, readings }
}

fn flawed(at_ms: i64, flaw: Flaw) -> Reading {
    let vital = match flaw {
        Flaw::MissingUnit => Vital::BodyTemperature,
        _ => Vital::HeartRate,
    };
    let said = Said::Value(if flaw == Flaw::ImpossibleValue { 900.0 } else { 37.0 });
    Reading { at_ms, vital, said, flaw: Some(flaw), is_historical: false, measurement_id: 0 }
}
