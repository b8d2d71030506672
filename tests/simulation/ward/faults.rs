//! What goes wrong with the ward's devices and gateways, and how they come back.

use pulseward::vitals::Vital;

use super::device::{Device, Kind, Said};
use super::{HOUR, Happening, MINUTE, SECOND, Status, Ward};
use crate::random::Random;

/// What is wrong with a device for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The sensor is off, and the device says so.
    SensorOff,
    /// The sensor is off, and the device sends zeros.
    Zeros,
    /// Values far from anything plausible.
    Artefacts,
    /// It doubts its own values.
    Motion,
    /// NaN, impossible values, no value.
    Junk,
    /// A technician tests it.
    Test,
    /// Its clock is wrong.
    Clock,
    /// Values are missing without a reason.
    Gaps,
}

impl Ward {
    /// Something goes wrong with a device or gateway.
    pub(super) fn fail(&mut self, index: usize) {
        let wait = self.random.wait(self.plan.every(24));
        self.after(wait, Happening::Fail(index));
        if self.devices[index].kind == Kind::Gateway {
            if !self.devices[index].is_away {
                let delay = self.random.range(1, SECOND);
                self.after(delay, Happening::GatewayGone(index));
            }
            return;
        }
        match self.random.range(0, 12) {
            0..3 => self.go_away(index),
            3 => self.reboot(index),
            4 => self.tell_battery(index),
            kind => self.break_down(index, kind),
        }
    }

    fn break_down(&mut self, index: usize, kind: i64) {
        let fault = match kind {
            5 => Fault::SensorOff,
            6 => Fault::Zeros,
            7 => Fault::Artefacts,
            8 => Fault::Motion,
            9 => self.random.pick(&[Fault::Junk, Fault::Test]),
            10 => Fault::Gaps,
            _ => Fault::Clock,
        };
        let device = &mut self.devices[index];
        let least = 3 * device.interval;
        device.fault = Some((fault, self.now + self.random.range(least, least + 40 * MINUTE)));
        if fault == Fault::Clock {
            let off = [-4 * HOUR, -5 * MINUTE, -90 * SECOND, -20 * SECOND, 8 * SECOND, 25 * SECOND];
            device.skew = self.random.pick(&off) + self.random.range(-SECOND, SECOND);
            if self.random.per_mille(300) {
                device.skew = self.random.range(31 * SECOND, 2 * HOUR);
            }
        }
        if fault == Fault::SensorOff && self.random.per_mille(500) {
            device.is_attached = false;
            self.tell_status(index, true);
        }
    }

    /// A device loses its connection for a while, and keeps what it measures.
    fn go_away(&mut self, index: usize) {
        if self.devices[index].is_away {
            return;
        }
        self.devices[index].is_away = true;
        if self.random.per_mille(600) {
            self.tell_status(index, false);
        }
        let most = self.random.pick(&[3 * MINUTE, 30 * MINUTE, 6 * HOUR]);
        let wait = self.random.range(30 * SECOND, most);
        self.after(wait, Happening::Back(index));
    }

    /// A device has its connection back.
    pub(super) fn come_back(&mut self, index: usize) {
        self.devices[index].is_away = false;
        self.devices[index].is_attached = true;
        self.tell_status(index, true);
        if !self.is_cut_off(&self.devices[index]) {
            self.send_outbox(index);
        }
    }

    /// A device starts anew, and has lost what it had not sent.
    fn reboot(&mut self, index: usize) {
        let device = &mut self.devices[index];
        device.boot += 1;
        device.next_sequence = 0;
        device.outbox.clear();
        device.sent.clear();
        device.battery = 100;
        device.is_attached = true;
        if !device.is_away {
            self.tell_status(index, true);
        }
    }

    fn tell_battery(&mut self, index: usize) {
        let charge = self.random.range(1, 60);
        self.devices[index].battery = u32::try_from(charge).expect("not negative");
        self.devices[index].is_attached = true;
        if !self.devices[index].is_away {
            self.tell_status(index, true);
        }
    }

    /// A gateway is gone, and with it the way of the devices behind it. Some of their connections
    /// are seen to break before or after the gateway's own.
    pub(super) fn gateway_gone(&mut self, gateway: usize) {
        self.devices[gateway].is_away = true;
        let behind: Vec<usize> = self.behind(gateway).collect();
        let (before, after): (Vec<usize>, Vec<usize>) =
            behind.into_iter().partition(|_| self.random.per_mille(100));
        for device in before {
            self.tell_status(device, false);
        }
        self.tell_status(gateway, false);
        for device in after {
            if self.random.per_mille(200) {
                self.tell_status(device, false);
            }
        }
        let most = self.random.pick(&[30 * SECOND, 10 * MINUTE, HOUR]);
        let wait = self.random.range(SECOND, most);
        self.after(wait, Happening::GatewayBack(gateway));
    }

    /// A gateway is back.
    pub(super) fn gateway_back(&mut self, gateway: usize) {
        self.devices[gateway].is_away = false;
        self.tell_status(gateway, true);
        let behind: Vec<usize> = self.behind(gateway).collect();
        for device in behind {
            if !self.devices[device].is_away {
                self.tell_status(device, true);
                self.send_outbox(device);
            }
        }
    }

    fn behind(&self, gateway: usize) -> impl Iterator<Item = usize> {
        let is_behind = move |(_, device): &(usize, &Device)| device.gateway == Some(gateway);
        self.devices.iter().enumerate().filter(is_behind).map(|(index, _)| index)
    }

    /// A device tells its status, or the broker its Last Will.
    fn tell_status(&mut self, index: usize, is_online: bool) {
        let device = &self.devices[index];
        let status = Status {
            device: index,
            site: device.site,
            gateway: device.gateway,
            is_online,
            boot: device.boot,
            at: self.now + device.skew.min(20 * SECOND),
        };
        let message = self.status(status);
        self.devices[index].retained = Some(message.clone());
        self.pass_on(message);
    }
}

/// What a device with this fault makes of a value, in tenths.
pub(super) fn spoil(
    vital: Vital,
    tenths: i64,
    fault: Option<Fault>,
    random: &mut Random,
) -> (i64, Said) {
    let can_be_zero = matches!(vital, Vital::HeartRate | Vital::Spo2 | Vital::RespiratoryRate);
    match fault {
        Some(Fault::SensorOff) => (0, Said::SensorOff),
        Some(Fault::Zeros) if can_be_zero => (0, Said::Zero),
        Some(Fault::Artefacts) if random.per_mille(500) => match vital {
            Vital::HeartRate => (random.range(2600, 3400), Said::Implausible),
            Vital::Spo2 => (random.range(50, 490), Said::Implausible),
            Vital::RespiratoryRate => (random.range(750, 1400), Said::Implausible),
            _ => (tenths, Said::Plausible),
        },
        Some(Fault::Motion) if random.per_mille(700) => (tenths, Said::Doubted),
        Some(Fault::Gaps) if random.per_mille(600) => (0, Said::Absent),
        Some(Fault::Junk) => match random.range(0, 5) {
            0 => (0, Said::NotANumber),
            1 => (99_990, Said::Impossible),
            2 => (0, Said::NoValue),
            _ => (tenths, Said::Plausible),
        },
        _ => (tenths, Said::Plausible),
    }
}
