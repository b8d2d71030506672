//! V10: an outage of our own is one technical alert and no wave of silence alarms; a gateway's is
//! one for the devices behind it. And silence as such: whom the service calls silent has been, and
//! who is silent is called so.
//!
//! The checker keeps a clock of its own that stands still while the service cannot listen.

use std::collections::{BTreeMap, HashMap};

use pulseward::clock::Timestamp;
use pulseward::engine::alerts::{AlertEvent, AlertKind, Condition, Phase, Trigger};
use pulseward::engine::input::{Event, Link};
use pulseward::engine::output::{Output, Quality};
use pulseward::vitals::{DeviceId, Vital};

use super::registry::{Expected, Registry, Timing};
use super::stories::{FLOOD, Stories};
use super::{Violation, hold, micros};
use crate::profiles::{
    DEVICE_OFFLINE, GATEWAY_DELAY, GATEWAY_OFFLINE, SILENCE, SILENT_AFTER_MAX, SILENT_AFTER_MIN,
    SILENT_AT_LEAST,
};
use crate::ward::{Batch, HOUR, Micros, SECOND, Status, Step, Told, device_id, patient_id};

const INGEST: &str = "pulseward.ingest";
/// An outage of our own is told after this long.
const INGEST_DELAY: Micros = 10 * SECOND;
/// The clock stands still no longer than this once the link is up.
const DRAIN_MAX: Micros = 60 * SECOND;

/// Nothing measures so seldom, and uploads so late, that its data has not stopped after this.
const STOPPED_AFTER: Micros = HOUR;

/// Vitals with a silence rule, and its name.
const WATCHED: [(Vital, &str); 3] = [
    (Vital::HeartRate, "silence-hr"),
    (Vital::Spo2, "silence-spo2"),
    (Vital::SystolicPressure, "silence-sys"),
];

/// What the checker knows of outages.
#[derive(Default)]
pub(super) struct Outages {
    still: Option<Still>,
    stood_still: Micros,
    gateways: BTreeMap<usize, Micros>,
    /// Boot of the status in force of each device, when in it the device itself last said something,
    /// and whether its Last Will is in force.
    statuses: HashMap<usize, (u64, Option<Micros>, bool)>,
    /// The gateway in front of each device, as far as it was told.
    in_front: HashMap<usize, usize>,
    /// By device and vital: the attentive time when it was last heard of.
    heard: HashMap<(usize, Vital), Micros>,
    own: u64,
    of_gateways: u64,
}

#[derive(Clone, Copy, Debug)]
struct Still {
    since: Micros,
    /// When it ends by itself; `None` while the link is down.
    until: Option<Micros>,
    /// Whether nothing could come for so long that it is told.
    is_told: bool,
}

impl Still {
    /// Takes note of the time while nothing can come.
    fn tell_by(&mut self, now: Micros) {
        self.is_told |= self.until.is_none() && now - self.since >= INGEST_DELAY;
    }
}

impl Outages {
    /// How many outages there were: our own, and those of gateways.
    pub(super) const fn count(&self) -> (u64, u64) {
        (self.own, self.of_gateways)
    }

    /// The attentive time at an instant.
    fn attentive(&self, at: Micros) -> Micros {
        self.still.map_or(at, |still| still.since.min(at)) - self.stood_still
    }

    /// What is known of an input before its outputs are looked at.
    pub(super) fn before(&mut self, step: &Step, registry: &Registry) {
        if let Event::Started { last_alive } = step.input.event {
            let since = last_alive.unwrap_or(step.input.received_at).micros();
            self.stop(since);
        }
        match &step.told {
            Told::Batch(batch) => self.name_gateway(batch, registry),
            Told::Status(_) | Told::Nothing => {}
        }
    }

    fn stop(&mut self, since: Micros) {
        let is_told = self.still.is_some_and(|still| still.is_told);
        let since = self.still.map_or(since, |still| still.since.min(since));
        self.own += u64::from(self.still.is_none());
        self.still = Some(Still { since, until: None, is_told });
    }

    /// The clock goes on by itself, if that was due by `at`.
    fn resume_by(&mut self, at: Micros) {
        if let Some(until) = self.still.and_then(|still| still.until).filter(|until| *until <= at) {
            self.resume(until);
        }
    }

    fn resume(&mut self, at: Micros) {
        if let Some(Still { since, until: Some(_), .. }) = self.still {
            self.stood_still += at - since;
            self.still = None;
        }
    }

    fn name_gateway(&mut self, batch: &Batch, registry: &Registry) {
        if registry.devices[batch.device].site == batch.site {
            self.set_gateway(batch.device, batch.gateway, registry);
        }
    }

    fn set_gateway(&mut self, device: usize, gateway: Option<usize>, registry: &Registry) {
        let Some(gateway) = gateway else { return };
        if registry.devices[gateway].site == registry.devices[device].site {
            self.in_front.insert(device, gateway);
        }
    }

    /// Looks at an event.
    pub(super) fn event(
        &mut self,
        event: &AlertEvent,
        registry: &Registry,
    ) -> Result<(), Violation> {
        let at = event.determined_at.micros();
        self.resume_by(at);
        let rule = event.alert.rule.as_str();
        let is_start = event.phase == Phase::Start;
        let is_silence = is_start && rule.starts_with(SILENCE);
        // What a flood had held back was silent before.
        let goes_by_attention = (is_silence && event.trigger == Trigger::Timer)
            || event.phase == Phase::Remind
            || (event.phase == Phase::Indeterminate
                && event.trigger == Trigger::Timer
                && event.alert.vital.is_some());
        let is_still = self.still.is_some_and(|still| still.since < at);
        hold(!(goes_by_attention && is_still), "V10", || {
            format!("{event:?} while nobody listened: {:?}", self.still)
        })?;
        if is_silence || (is_start && rule == DEVICE_OFFLINE) {
            self.is_not_covered(event, registry)?;
        }
        if is_silence && event.trigger == Trigger::Timer {
            self.is_silent(event, registry)
        } else {
            Ok(())
        }
    }

    /// Behind a gateway that is offline nobody is silent or offline by himself.
    fn is_not_covered(&self, event: &AlertEvent, registry: &Registry) -> Result<(), Violation> {
        let Some(device) = device_of(event, registry) else { return Ok(()) };
        let since = self.in_front.get(&device).and_then(|gateway| self.gateways.get(gateway));
        let is_covered = since.is_some_and(|since| *since < event.determined_at.micros());
        hold(!is_covered, "V10", || format!("{event:?} behind a gateway offline since {since:?}"))
    }

    /// Who is called silent has been.
    fn is_silent(&self, event: &AlertEvent, registry: &Registry) -> Result<(), Violation> {
        let (Some(device), Some(vital)) = (device_of(event, registry), event.alert.vital) else {
            return Err(Violation::new("silence is of a device's vital", format!("{event:?}")));
        };
        let heard = self.heard.get(&(device, vital)).copied();
        let wait = wait(registry, device, vital, SILENT_AFTER_MIN);
        let now = self.attentive(event.determined_at.micros());
        let is_due = heard.zip(wait).is_some_and(|(heard, wait)| heard + wait <= now);
        hold(is_due, "who is called silent is", || {
            format!("{event:?}: heard at {heard:?}, and it is {now} attentively")
        })
    }

    /// Takes note of what was heard.
    pub(super) fn readings(&mut self, now: Timestamp, expected: &[Expected], outputs: &[Output]) {
        self.resume_by(now.micros());
        let attentive = self.attentive(now.micros());
        let admitted = outputs.iter().filter_map(|output| match output {
            Output::Reading(reading) => Some(reading),
            _ => None,
        });
        for (expected, reading) in expected.iter().zip(admitted) {
            let is_in_time = match expected.timing {
                Timing::Live | Timing::Delayed => true,
                Timing::Late => false,
                Timing::Unsaid => !reading.quality.has(Quality::LATE),
            };
            if is_in_time && !expected.sent.is_test {
                self.heard.insert((expected.device, expected.sent.vital), attentive);
            }
        }
    }

    /// Follows an input, and compares the outages with their alerts.
    pub(super) fn after(
        &mut self,
        step: &Step,
        registry: &Registry,
        stories: &Stories,
    ) -> Result<(), Violation> {
        let now = step.input.received_at.micros();
        if let Some(still) = &mut self.still {
            still.tell_by(now);
        }
        match step.input.event {
            Event::Link(Link::Down) => self.stop(now),
            Event::Link(Link::Up { .. }) => {
                if let Some(still) = &mut self.still {
                    still.until = Some(now + DRAIN_MAX);
                }
            }
            Event::Link(Link::CaughtUp) => self.resume(now),
            _ => {}
        }
        if let Told::Status(status) = &step.told {
            self.status(status, now, registry);
        }
        if let Event::Command(_) = &step.input.event {
            self.follow_bindings(now, registry);
        }
        self.compare_own(now, stories)?;
        self.compare_gateways(now, stories)
    }

    fn status(&mut self, status: &Status, now: Micros, registry: &Registry) {
        if registry.devices[status.device].site != status.site {
            return;
        }
        let held = self.statuses.get(&status.device).copied();
        let mut said = status.is_online.then_some(status.at);
        if let Some((boot, held, is_offline)) = held {
            let is_of_it = status.boot == boot;
            let is_overtaken = match said {
                Some(at) if is_offline => held.is_some_and(|held| at <= held),
                Some(at) => held.is_some_and(|held| at < held),
                None => is_offline,
            };
            if status.boot < boot || (is_of_it && is_overtaken) {
                return;
            }
            said = said.or(held.filter(|_| is_of_it));
        }
        self.set_gateway(status.device, status.gateway, registry);
        self.statuses.insert(status.device, (status.boot, said, !status.is_online));
        if status.is_online {
            if self.gateways.remove(&status.device).is_some() {
                self.hear_behind(status.device, now);
            }
        } else if held.is_none_or(|(_, _, is_offline)| !is_offline)
            && self.in_front.values().any(|gateway| *gateway == status.device)
        {
            self.of_gateways += u64::from(self.gateways.insert(status.device, now).is_none());
        }
    }

    fn hear_behind(&mut self, gateway: usize, now: Micros) {
        let attentive = self.attentive(now);
        for ((device, _), heard) in &mut self.heard {
            if self.in_front.get(device) == Some(&gateway) {
                *heard = attentive;
            }
        }
    }

    /// Whoever is newly bound is heard of from then on; who moved has no gateway.
    fn follow_bindings(&mut self, now: Micros, registry: &Registry) {
        for device in registry.moved.iter().flat_map(|(devices, _)| devices) {
            self.in_front.remove(device);
        }
        let Some((device, began)) = &registry.bound else { return };
        self.heard.retain(|(it, _), _| it != device);
        let heard = self.attentive(now) + (began.from.micros() - now).max(0);
        for (vital, _) in &began.schedule.expected_intervals {
            self.heard.insert((*device, *vital), heard);
        }
    }

    /// Our own outage has one alert if nothing could come for ten seconds, until all that piled up
    /// was taken in.
    fn compare_own(&self, now: Micros, stories: &Stories) -> Result<(), Violation> {
        let open = stories.of(None, None, INGEST);
        let is_due = self.still.is_some_and(|still| still.is_told);
        hold(open.is_some() == is_due, "V10", || {
            format!("{open:?} during {:?} at {now}", self.still)
        })
    }

    /// A gateway's outage has one alert after its rule's delay, until the gateway is back.
    fn compare_gateways(&self, now: Micros, stories: &Stories) -> Result<(), Violation> {
        for gateway in 0..crate::ward::gateways() {
            let since = self.gateways.get(&gateway);
            let open = stories.of(None, Some(device_id(gateway)), GATEWAY_OFFLINE);
            let is_due = since.is_some_and(|since| now - since >= micros(GATEWAY_DELAY));
            hold(open.is_some() == is_due, "V10", || {
                format!("{open:?} of a gateway offline since {since:?} at {now}")
            })?;
        }
        Ok(())
    }

    /// An alert whose data has stopped says so.
    fn sweep_alerts(&self, now: Timestamp, stories: &Stories) -> Result<(), Violation> {
        let now = self.attentive(now.micros());
        for alert in stories.alerts().values() {
            let is_active = alert.condition == Condition::Active;
            let is_physiological = alert.kind == AlertKind::Physiological;
            let channel = device_number(alert.device.as_ref()).zip(alert.vital);
            let heard = channel.and_then(|channel| self.heard.get(&channel));
            let has_stopped = heard.is_some_and(|heard| now - heard > STOPPED_AFTER);
            hold(!(is_active && is_physiological && has_stopped), "V8", || {
                format!("{alert:?} is not indeterminate: heard at {heard:?}, now {now}")
            })?;
        }
        Ok(())
    }

    /// Who is silent is called so, or stands behind an outage that is told.
    pub(super) fn sweep(
        &self,
        now: Timestamp,
        registry: &Registry,
        stories: &Stories,
    ) -> Result<(), Violation> {
        if self.still.is_some() {
            return Ok(());
        }
        self.sweep_alerts(now, stories)?;
        let now = self.attentive(now.micros());
        for ((device, vital), heard) in &self.heard {
            let is_covered =
                self.in_front.get(device).is_some_and(|it| self.gateways.contains_key(it));
            let rule = WATCHED.iter().find(|(it, _)| it == vital).map(|(_, rule)| *rule);
            let (Some(patient), Some(rule)) = (registry.wearer(*device), rule) else { continue };
            let Some(wait) = wait(registry, *device, *vital, SILENT_AFTER_MAX) else { continue };
            if is_covered || heard + wait >= now {
                continue;
            }
            let open = |rule| stories.of(Some(patient_id(patient)), None, rule).is_some();
            hold(open(rule) || open(FLOOD), "who is silent is told", || {
                format!(
                    "device {device} of patient {patient}, {vital}: heard at {heard}, now {now}"
                )
            })?;
        }
        Ok(())
    }
}

fn device_of(event: &AlertEvent, registry: &Registry) -> Option<usize> {
    let number = device_number(event.alert.device.as_ref());
    number.filter(|device| *device < registry.devices.len())
}

fn device_number(id: Option<&DeviceId>) -> Option<usize> {
    id?.as_str().strip_prefix("device-")?.parse().ok()
}

/// How long a vital of a device may be silent, if its binding says how often it comes.
fn wait(registry: &Registry, device: usize, vital: Vital, intervals: i64) -> Option<Micros> {
    let schedule = &registry.devices[device].bound()?.schedule;
    let (_, interval) = schedule.expected_intervals.iter().find(|(it, _)| *it == vital)?;
    let after = (micros(*interval) * intervals).max(micros(SILENT_AT_LEAST));
    Some(after + micros(schedule.upload_interval))
}
