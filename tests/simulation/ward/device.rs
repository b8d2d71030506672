//! The ward's devices: what they measure, and what they keep while they are cut off.

use std::collections::VecDeque;
use std::time::Duration;

use pulseward::clock::Timestamp;
use pulseward::engine::input::Schedule;
use pulseward::vitals::Vital;

use super::broker::Message;
use super::faults::{Fault, spoil};
use super::{HOUR, Happening, MILLISECOND, MINUTE, Micros, Plan, SECOND, SITES, Ward, instant};
use crate::checks::Checks;
use crate::random::Random;

/// Readings that a device remembers having sent, to send them again.
const SENT_MAX: usize = 40;
/// Readings that a device keeps while it is cut off; the oldest go first.
const OUTBOX_MAX: usize = 4_000;
/// Readings of one message at most.
const BATCH_MAX: usize = 400;

/// One device, or a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) site: usize,
    pub(crate) kind: Kind,
    pub(crate) interval: Micros,
    /// The longest regular time between measuring and sending.
    pub(crate) upload: Micros,
    pub(crate) is_numbered: bool,
    pub(crate) declares_intervals: bool,
    /// Whether it marks what it sends from memory as historical.
    pub(crate) marks_memory: bool,
    pub(crate) gateway: Option<usize>,
    pub(crate) boot: u64,
    pub(crate) is_away: bool,
    pub(crate) battery: u32,
    pub(crate) is_attached: bool,
    /// How far its clock is ahead.
    pub(crate) skew: Micros,
    /// Its last status, as the broker retains it.
    pub(crate) retained: Option<Message>,
    pub(super) fault: Option<(Fault, Micros)>,
    pub(super) next_sequence: u64,
    next_upload: Micros,
    pub(super) outbox: VecDeque<Sent>,
    pub(super) sent: VecDeque<Sent>,
    /// Who wore it last.
    wearer: Option<usize>,
}

/// Kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Worn all day.
    Wearable,
    /// Inflates now and then.
    Cuff,
    /// What nurses type in.
    Tablet,
    /// Passes on the messages of others.
    Gateway,
}

/// What is wrong with a reading, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Plausible,
    Implausible,
    /// The device itself doubts it.
    Doubted,
    /// The sensor is off, and the device says so.
    SensorOff,
    /// The sensor is off, and the device says 0.
    Zero,
    /// There is no value, for an unknown reason.
    Absent,
    NotANumber,
    Impossible,
    NoValue,
}

impl Said {
    /// Whether it is refused for what it is.
    pub(crate) const fn is_refused(self) -> bool {
        matches!(self, Self::NotANumber | Self::Impossible | Self::NoValue)
    }
}

/// A reading that a device has taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) boot: u64,
    pub(crate) sequence: u64,
    pub(crate) measured_at: Timestamp,
    pub(crate) vital: Vital,
    /// In tenths of the vital's unit.
    pub(crate) tenths: i64,
    pub(crate) said: Said,
    pub(crate) historical: bool,
    /// Taken while somebody tested the device.
    pub(crate) is_test: bool,
}

const WORN: [Vital; 4] =
    [Vital::HeartRate, Vital::Spo2, Vital::RespiratoryRate, Vital::SkinTemperature];
const INFLATED: [Vital; 4] =
    [Vital::SystolicPressure, Vital::DiastolicPressure, Vital::MeanPressure, Vital::PulseRate];
const TYPED: [Vital; 3] = [Vital::Consciousness, Vital::OxygenFlow, Vital::BodyTemperature];

impl Device {
    fn new(kind: Kind, site: usize, interval: Micros, random: &mut Random) -> Self {
        let is_worn = kind == Kind::Wearable;
        let uploads = [interval.min(5 * SECOND), interval, 5 * MINUTE];
        let weight = [0, 0, 0, 0, 0, 1, 1, 2];
        Self {
            site,
            kind,
            interval,
            upload: if is_worn { uploads[random.pick(&weight)] } else { 0 },
            is_numbered: kind == Kind::Cuff || (is_worn && random.per_mille(800)),
            declares_intervals: kind == Kind::Cuff || (is_worn && random.per_mille(900)),
            marks_memory: random.per_mille(500),
            gateway: None,
            boot: 1,
            is_away: false,
            battery: 100,
            is_attached: true,
            skew: 0,
            retained: None,
            fault: None,
            next_sequence: 0,
            next_upload: 0,
            outbox: VecDeque::new(),
            sent: VecDeque::new(),
            wearer: None,
        }
    }

    /// What it measures.
    pub(crate) const fn vitals(&self) -> &'static [Vital] {
        match self.kind {
            Kind::Wearable => &WORN,
            Kind::Cuff => &INFLATED,
            Kind::Tablet => &TYPED,
            Kind::Gateway => &[],
        }
    }

    /// Whether it measures anything.
    pub(crate) fn measures(&self) -> bool {
        self.kind != Kind::Gateway
    }

    /// How it measures and sends, as it is told when it is bound.
    pub(crate) fn schedule(&self) -> Schedule {
        let declared = self.vitals().iter().filter(|_| self.declares_intervals);
        let interval = span(self.interval);
        Schedule {
            upload_interval: span(self.upload),
            expected_intervals: declared.map(|vital| (*vital, interval)).collect(),
        }
    }

    fn fault_at(&self, now: Micros) -> Option<Fault> {
        self.fault.filter(|(_, until)| now < *until).map(|(fault, _)| fault)
    }
}

fn span(micros: Micros) -> Duration {
    Duration::from_micros(u64::try_from(micros).expect("not negative"))
}

/// Everything that a ward of this size has, gateways first.
pub(super) fn equipment(plan: &Plan, gateways: usize, random: &mut Random) -> Vec<Device> {
    let mut devices = Vec::new();
    for index in 0..SITES * gateways {
        devices.push(Device::new(Kind::Gateway, index % SITES, HOUR, random));
    }
    let mut add = |kind, patient: usize, interval| {
        let site = patient % SITES;
        let mut device = Device::new(kind, site, interval, random);
        if random.per_mille(500) {
            device.gateway = Some(site + SITES * random.index(gateways));
        }
        devices.push(device);
    };
    for patient in 0..plan.patients {
        add(Kind::Wearable, patient, plan.interval);
        if patient % 2 == 0 {
            add(Kind::Cuff, patient, 15 * MINUTE);
        }
        if patient % 4 == 0 {
            add(Kind::Tablet, patient, HOUR);
        }
    }
    for spare in 0..plan.patients.div_ceil(8).max(SITES) {
        add(Kind::Wearable, spare, plan.interval);
    }
    devices
}

/// Whom the ward's setup binds each device to; spare ones to nobody.
pub(super) fn first_wearers(devices: &[Device], patients: usize) -> Vec<(usize, usize)> {
    let mut next = 0;
    let mut worn = Vec::new();
    for (index, device) in devices.iter().enumerate() {
        match device.kind {
            Kind::Gateway => continue,
            Kind::Wearable => next += 1,
            Kind::Cuff | Kind::Tablet => {}
        }
        if next <= patients {
            worn.push((index, next - 1));
        }
    }
    worn
}

impl Ward {
    /// A device measures, and sends if it is time to.
    pub(super) fn measure(&mut self, index: usize, known: &Checks) {
        let jitter = self.random.range(-300, 300) * MILLISECOND;
        let interval = self.devices[index].interval;
        self.after(interval + jitter.clamp(-interval / 4, interval / 4), Happening::Measure(index));
        let wearer = known.registry.wearer(index).or(self.devices[index].wearer);
        self.devices[index].wearer = wearer;
        let Some(patient) = wearer else { return };
        self.take_readings(index, patient);
        let device = &self.devices[index];
        if !device.is_away && !self.is_cut_off(device) && self.now >= device.next_upload {
            self.send_outbox(index);
        }
    }

    fn take_readings(&mut self, index: usize, patient: usize) {
        let (now, calm) = (self.now, self.plan.every(24));
        let body = &mut self.people[patient].body;
        body.advance(now, calm);
        let device = &mut self.devices[index];
        let fault = device.fault_at(now);
        if fault != Some(Fault::Clock) {
            device.skew = 0;
        }
        let measured_at = (now + device.skew) / MILLISECOND * MILLISECOND;
        for vital in device.vitals() {
            let (tenths, said) = spoil(*vital, body.measure(*vital, now), fault, &mut self.random);
            device.outbox.push_back(Sent {
                boot: device.boot,
                sequence: device.next_sequence,
                measured_at: instant(measured_at),
                vital: *vital,
                tenths,
                said,
                historical: false,
                is_test: fault == Some(Fault::Test),
            });
            device.next_sequence += 1;
        }
        while device.outbox.len() > OUTBOX_MAX {
            device.outbox.pop_front();
        }
    }

    pub(super) fn is_cut_off(&self, device: &Device) -> bool {
        device.gateway.is_some_and(|gateway| self.devices[gateway].is_away)
    }

    /// Sends everything that a device has, in messages of one boot and one mode.
    pub(super) fn send_outbox(&mut self, index: usize) {
        let device = &mut self.devices[index];
        device.next_upload = self.now + device.upload - device.interval / 2;
        let memory = self.now - device.upload - MINUTE;
        let mut outbox: Vec<Sent> = device.outbox.drain(..).collect();
        for sent in &mut outbox {
            sent.historical |= device.marks_memory && sent.measured_at < instant(memory);
        }
        let alike =
            |one: &Sent, other: &Sent| (one.boot, one.is_test) == (other.boot, other.is_test);
        for run in outbox.chunk_by(alike) {
            for readings in run.chunks(BATCH_MAX) {
                self.send(index, readings);
            }
        }
        if self.random.per_mille(4) {
            self.send_again(index);
        }
    }

    fn send(&mut self, index: usize, readings: &[Sent]) {
        let device = &mut self.devices[index];
        device.sent.extend(readings);
        let surplus = device.sent.len().saturating_sub(SENT_MAX);
        device.sent.drain(..surplus);
        let is_numbered = device.is_numbered;
        let message = self.batch(index, readings);
        if is_numbered && self.random.per_mille(3) {
            let wait = self.random.range(SECOND, 5 * MINUTE);
            self.after(wait, Happening::Arrive(self.scheduled + 1));
            self.held_up.insert(self.scheduled, message);
        } else {
            self.pass_on(message);
        }
    }

    /// Sends something again, in another cut.
    fn send_again(&mut self, index: usize) {
        let device = &self.devices[index];
        // What keeps no numbers is known again for ten minutes only, which a queue may hold it.
        if !device.is_numbered && !self.broker.is_direct() {
            return;
        }
        let mut sent: Vec<Sent> = device.sent.iter().copied().collect();
        let Some(last) = sent.last().copied() else { return };
        sent.retain(|it| (it.boot, it.is_test) == (last.boot, last.is_test));
        // A message's readings are numbered on; a reading in between that was never sent ends it.
        let first =
            (1..sent.len()).rev().find(|it| sent[it - 1].sequence + 1 != sent[*it].sequence);
        let mut again = &sent[first.unwrap_or(0)..];
        let from = self.random.index(again.len());
        again = &again[from..];
        let upto = self.random.index(again.len()) + 1;
        let message = self.batch(index, &again[..upto]);
        self.pass_on(message);
    }
}
