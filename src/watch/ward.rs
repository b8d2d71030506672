//! The ward as the streams tell it: who is watched and how, open alerts, the newest vitals.
//!
//! Pure: messages in, what stands out. An alert event carries the whole alert, so the last one
//! counts; what is over or out of scope is taken away. What it holds is what the service streams,
//! which the service bounds; of each vital it keeps the last [`TRACE_LENGTH`] values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::liveness::{Heartbeat, Liveness};
use super::vitals::Trace;
use super::words;
use crate::proto::v1;
use crate::proto::v1::watch_alerts_response as alerts;
use crate::proto::v1::watch_vitals_response as vitals;
use crate::vitals::Vital;

/// What is known of the ward.
#[derive(Clone, Debug)]
pub(super) struct Ward {
    patients: BTreeMap<String, v1::PatientMonitoring>,
    /// By id.
    open: BTreeMap<String, v1::Alert>,
    vitals: BTreeMap<String, BTreeMap<Vital, Trace>>,
    /// Whether all this is so.
    pub(super) liveness: Liveness,
}

/// What a message changed, for who shows more than the ward.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// Nothing that is told apart.
    Other,
    /// Something happened to this alert.
    Alert(String),
}

impl Ward {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            patients: BTreeMap::new(),
            open: BTreeMap::new(),
            vitals: BTreeMap::new(),
            liveness: Liveness::new(now),
        }
    }

    /// Takes a message of the alert stream.
    pub(super) fn take(&mut self, message: alerts::Message, now: Instant) -> Change {
        match message {
            alerts::Message::Snapshot(snapshot) => self.snapshot(snapshot),
            alerts::Message::Live(_) => {
                // Who is in no snapshot any more has no row in which vitals would show.
                self.vitals.retain(|patient, _| self.patients.contains_key(patient));
                self.liveness.present(now);
            }
            alerts::Message::Event(event) => return self.event(event),
            alerts::Message::Heartbeat(heartbeat) => {
                self.liveness.heartbeat(from_wire(&heartbeat), now);
            }
            alerts::Message::LeftScope(left) => self.left(&left.patient_id),
        }
        Change::Other
    }

    fn snapshot(&mut self, snapshot: alerts::Snapshot) {
        if snapshot.part == 0 {
            self.patients.clear();
            self.open.clear();
        }
        let of = |it: v1::PatientMonitoring| (it.patient_id.clone(), it);
        self.patients.extend(snapshot.patients.into_iter().map(of));
        self.open.extend(snapshot.alerts.into_iter().map(|it| (it.alert_id.clone(), it)));
    }

    fn event(&mut self, event: alerts::Event) -> Change {
        match event.change {
            Some(alerts::event::Change::Monitoring(monitoring)) => {
                self.patients.insert(monitoring.patient_id.clone(), monitoring);
                Change::Other
            }
            Some(alerts::event::Change::Alert(event)) => match event.alert {
                Some(alert) => self.overwrite(alert),
                None => Change::Other,
            },
            None => Change::Other,
        }
    }

    fn overwrite(&mut self, alert: v1::Alert) -> Change {
        let id = alert.alert_id.clone();
        if alert.closed {
            self.open.remove(&id);
        } else {
            self.open.insert(id.clone(), alert);
        }
        Change::Alert(id)
    }

    fn left(&mut self, patient: &str) {
        self.patients.remove(patient);
        self.open.retain(|_, alert| alert.patient_id != patient);
        self.vitals.remove(patient);
    }

    /// Takes a message of the vitals stream.
    pub(super) fn take_vitals(&mut self, message: vitals::Message, now: Instant) {
        match message {
            vitals::Message::Reading(live) => {
                let Some(reading) = live.reading else { return };
                let Some(vital) = Vital::from_number(reading.vital) else { return };
                let of = self.vitals.entry(live.patient_id).or_default();
                of.entry(vital).or_default().push(reading, now);
            }
            vitals::Message::LeftScope(left) => {
                self.vitals.remove(&left.patient_id);
            }
            vitals::Message::Heartbeat(_) | vitals::Message::Begun(_) => {}
        }
    }

    /// The sites of those who are watched.
    pub(super) fn sites(&self) -> BTreeSet<String> {
        self.patients.values().map(|it| it.site_id.clone()).collect()
    }

    pub(super) fn patients(&self) -> impl Iterator<Item = &v1::PatientMonitoring> {
        self.patients.values()
    }

    pub(super) fn is_watched(&self, patient: &str) -> bool {
        self.patients.contains_key(patient)
    }

    /// Alerts that are not over.
    pub(super) fn open(&self) -> impl Iterator<Item = &v1::Alert> {
        self.open.values()
    }

    /// The alert, while it is not over.
    pub(super) fn alert(&self, id: &str) -> Option<&v1::Alert> {
        self.open.get(id)
    }

    /// A patient's vitals, in the order of their numbers.
    pub(super) fn vitals(&self, patient: &str) -> impl Iterator<Item = (Vital, &Trace)> {
        self.vitals.get(patient).into_iter().flatten().map(|(vital, trace)| (*vital, trace))
    }

    pub(super) fn vital(&self, patient: &str, vital: Vital) -> Option<&Trace> {
        self.vitals.get(patient)?.get(&vital)
    }
}

fn from_wire(heartbeat: &alerts::Heartbeat) -> Heartbeat {
    let lag = heartbeat.engine_lag.unwrap_or_default();
    Heartbeat {
        service_time: words::timestamp(heartbeat.service_time),
        ingest_connected: heartbeat.ingest_connected,
        engine_lag: Duration::try_from(lag).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{alert, event, live, monitored, reading, snapshot};
    use super::*;

    fn ward(messages: Vec<alerts::Message>) -> Ward {
        let now = Instant::now();
        let mut ward = Ward::new(now);
        for message in messages {
            ward.take(message, now);
        }
        ward
    }

    fn open(ward: &Ward) -> Vec<(&str, v1::Priority)> {
        ward.open().map(|alert| (alert.alert_id.as_str(), alert.priority())).collect()
    }

    const HIGH: v1::Priority = v1::Priority::High;
    const LOW: v1::Priority = v1::Priority::Low;

    #[test]
    fn a_snapshot_replaces_what_was_held_and_its_parts_add_up() {
        let first = snapshot(0, vec![alert("a", "p-1", LOW)], vec![monitored("p-1", "north")]);
        let begun = snapshot(0, vec![alert("b", "p-2", HIGH)], vec![monitored("p-2", "north")]);
        let more = snapshot(1, vec![alert("c", "p-3", LOW)], vec![monitored("p-3", "south")]);
        let ward = ward(vec![first, live(), begun, more, live()]);
        assert_eq!(open(&ward), [("b", HIGH), ("c", LOW)]);
        let patients: Vec<_> = ward.patients().map(|it| it.patient_id.as_str()).collect();
        assert_eq!(patients, ["p-2", "p-3"]);
        assert_eq!(ward.sites(), BTreeSet::from(["north".to_owned(), "south".to_owned()]));
    }

    #[test]
    fn an_event_overwrites_the_alert_and_its_end_takes_it_away() {
        let start = event(alert("a", "p-1", LOW));
        let escalate = event(alert("a", "p-1", HIGH));
        assert_eq!(open(&ward(vec![start.clone(), escalate.clone()])), [("a", HIGH)]);
        let over = event(v1::Alert { closed: true, ..alert("a", "p-1", HIGH) });
        assert_eq!(open(&ward(vec![start, escalate, over])), []);
    }

    #[test]
    fn resumed_events_go_on_from_what_was_held() {
        let held = snapshot(0, vec![alert("a", "p-1", LOW)], vec![monitored("p-1", "north")]);
        let missed = event(alert("b", "p-1", HIGH));
        assert_eq!(open(&ward(vec![held, live(), missed, live()])), [("a", LOW), ("b", HIGH)]);
    }

    #[test]
    fn whoever_leaves_takes_alerts_and_vitals_along() {
        let held = snapshot(0, vec![alert("a", "p-1", LOW)], vec![monitored("p-1", "north")]);
        let mut ward = ward(vec![held, live()]);
        ward.take_vitals(reading("p-1", Vital::Spo2, 97.0, 1), Instant::now());
        assert_eq!(ward.vitals("p-1").count(), 1);
        let left = alerts::LeftScope { patient_id: "p-1".to_owned(), cursor: String::new() };
        ward.take(alerts::Message::LeftScope(left), Instant::now());
        assert_eq!((ward.open().count(), ward.patients().count()), (0, 0));
        assert_eq!(ward.vitals("p-1").count(), 0);
    }

    #[test]
    fn vitals_of_whom_a_snapshot_no_longer_knows_are_not_kept() {
        let of = |patient| snapshot(0, Vec::new(), vec![monitored(patient, "north")]);
        let mut ward = ward(vec![of("p-1"), live()]);
        ward.take_vitals(reading("p-1", Vital::Spo2, 97.0, 1), Instant::now());
        ward.take(of("p-2"), Instant::now());
        ward.take(live(), Instant::now());
        assert_eq!(ward.vitals("p-1").count(), 0);
    }
}
