//! In which order a ward is read: worst alert first, then how far somebody is watched.
//!
//! Pure. Priority counts before everything else, also of an alert that was acknowledged: the patient
//! is as ill as before. Of equals, one that still signals comes first, then the patient of whom less
//! is known, then the id: so that nothing changes places without a reason.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::ward::Ward;
use crate::proto::v1;
use crate::proto::v1::{MonitoringState, Priority, SignalState};

/// Who or what a row is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A site's gateways and devices; of the service itself, with an empty site.
    Equipment(String),
    /// A patient.
    Patient(String),
}

/// One row of the ward.
#[derive(Clone, Debug)]
pub(super) struct Row<'w> {
    pub(super) place: Place,
    /// How they are watched; equipment is not.
    pub(super) monitoring: Option<&'w v1::PatientMonitoring>,
    /// Open alerts, the worst first.
    pub(super) alerts: Vec<&'w v1::Alert>,
}

impl Place {
    pub(super) fn of(alert: &v1::Alert) -> Self {
        if alert.patient_id.is_empty() {
            Self::Equipment(alert.site_id.clone())
        } else {
            Self::Patient(alert.patient_id.clone())
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Patient(id) => id.clone(),
            Self::Equipment(site) if site.is_empty() => "(the service)".to_owned(),
            Self::Equipment(site) => format!("(devices {site})"),
        }
    }
}

/// Everybody who is watched, and equipment with open alerts, in the order to be read.
pub(super) fn rows(ward: &Ward) -> Vec<Row<'_>> {
    let mut rows: BTreeMap<Place, Row<'_>> = BTreeMap::new();
    for monitoring in ward.patients() {
        let place = Place::Patient(monitoring.patient_id.clone());
        let row = Row { place: place.clone(), monitoring: Some(monitoring), alerts: Vec::new() };
        rows.insert(place, row);
    }
    for alert in ward.open() {
        let place = Place::of(alert);
        let row = rows.entry(place.clone());
        row.or_insert(Row { place, monitoring: None, alerts: Vec::new() }).alerts.push(alert);
    }
    let mut rows: Vec<_> = rows.into_values().collect();
    for row in &mut rows {
        row.alerts.sort_by_key(|alert| (urgency(alert), alert.alert_id.clone()));
    }
    // Stable: of equals the order of the ids stays.
    rows.sort_by_key(|row| {
        (Reverse(row.priority()), row.alerts.first().map(|it| signal(it)), unwatched(row))
    });
    rows
}

/// Whether [`rows`] has one of this place; cheaper than to make them.
pub(super) fn has_row(ward: &Ward, place: &Place) -> bool {
    let is_watched = matches!(place, Place::Patient(id) if ward.is_watched(id));
    is_watched || ward.open().any(|alert| Place::of(alert) == *place)
}

impl Row<'_> {
    /// The worst open alert's; `None` without one, and below every other.
    fn priority(&self) -> Option<Priority> {
        self.alerts.first().map(|alert| alert.priority())
    }
}

/// Less is worse.
fn urgency(alert: &v1::Alert) -> (Reverse<Priority>, u8) {
    (Reverse(alert.priority()), signal(alert))
}

/// Less asks louder.
fn signal(alert: &v1::Alert) -> u8 {
    match alert.signal() {
        SignalState::On | SignalState::Unspecified => 0,
        SignalState::Latched => 1,
        SignalState::Paused => 2,
        SignalState::Acknowledged => 3,
        SignalState::Off => 4,
    }
}

/// Less is known of them.
fn unwatched(row: &Row<'_>) -> u8 {
    match row.monitoring.map(v1::PatientMonitoring::state) {
        Some(MonitoringState::NoData) => 0,
        Some(MonitoringState::NoDevice) => 1,
        Some(MonitoringState::LimitsOff) => 2,
        Some(MonitoringState::Partial | MonitoringState::Unspecified) => 3,
        Some(MonitoringState::Paused) => 4,
        Some(MonitoringState::Monitored) | None => 5,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::tests::{alert, monitored, snapshot};
    use super::*;

    fn of(state: MonitoringState, patient: &str) -> v1::PatientMonitoring {
        v1::PatientMonitoring { state: state.into(), ..monitored(patient, "north") }
    }

    fn with_signal(signal: SignalState, alert: v1::Alert) -> v1::Alert {
        v1::Alert { signal: signal.into(), ..alert }
    }

    /// The names of the rows, in their order.
    fn order(alerts: Vec<v1::Alert>, patients: Vec<v1::PatientMonitoring>) -> Vec<String> {
        let mut ward = Ward::new(Instant::now());
        ward.take(snapshot(0, alerts, patients), Instant::now());
        rows(&ward).iter().map(|row| row.place.name()).collect()
    }

    #[test]
    fn the_worst_open_alert_counts_before_everything_else() {
        let alerts = vec![
            alert("1", "a", Priority::Low),
            alert("2", "b", Priority::Medium),
            with_signal(SignalState::Acknowledged, alert("3", "c", Priority::High)),
            alert("4", "a", Priority::Low),
        ];
        let patients = ["a", "b", "c"].map(|it| of(MonitoringState::Monitored, it)).to_vec();
        let silent = of(MonitoringState::NoData, "d");
        let patients = [patients, vec![silent]].concat();
        assert_eq!(order(alerts, patients), ["c", "b", "a", "d"]);
    }

    #[test]
    fn of_equal_priority_what_still_signals_comes_first() {
        let states = [
            ("e", SignalState::Off),
            ("d", SignalState::Acknowledged),
            ("c", SignalState::Paused),
            ("b", SignalState::Latched),
            ("a", SignalState::On),
        ];
        let alerts = states.map(|(id, signal)| with_signal(signal, alert(id, id, Priority::High)));
        assert_eq!(order(alerts.to_vec(), Vec::new()), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn without_an_alert_those_of_whom_least_is_known_come_first() {
        let states = [
            ("u", MonitoringState::Monitored),
            ("v", MonitoringState::Paused),
            ("w", MonitoringState::Partial),
            ("x", MonitoringState::LimitsOff),
            ("y", MonitoringState::NoDevice),
            ("z", MonitoringState::NoData),
        ];
        let patients = states.map(|(id, state)| of(state, id)).to_vec();
        assert_eq!(order(Vec::new(), patients), ["z", "y", "x", "w", "v", "u"]);
    }

    #[test]
    fn equals_stand_by_their_ids_and_equipment_has_rows_of_its_own() {
        let gateway = v1::Alert { site_id: "north".to_owned(), ..alert("1", "", Priority::Low) };
        let alerts = vec![alert("2", "", Priority::High), gateway];
        let patients = ["b", "a"].map(|it| of(MonitoringState::Monitored, it)).to_vec();
        let expected = ["(the service)", "(devices north)", "a", "b"];
        assert_eq!(order(alerts, patients), expected);
    }

    #[test]
    fn whoever_is_watched_or_has_an_open_alert_has_a_row_and_nobody_else() {
        let mut ward = Ward::new(Instant::now());
        let alerts = vec![alert("1", "a", Priority::Low), alert("2", "", Priority::Low)];
        ward.take(snapshot(0, alerts, vec![monitored("b", "north")]), Instant::now());
        let patient = |id: &str| Place::Patient(id.to_owned());
        assert!(has_row(&ward, &patient("a")) && has_row(&ward, &patient("b")));
        assert!(has_row(&ward, &Place::Equipment(String::new())));
        assert!(!has_row(&ward, &patient("c")));
        assert!(rows(&ward).iter().all(|row| has_row(&ward, &row.place)));
    }

    #[test]
    fn a_patients_alerts_stand_worst_first() {
        let mut ward = Ward::new(Instant::now());
        let alerts = vec![alert("1", "a", Priority::Low), alert("2", "a", Priority::High)];
        ward.take(snapshot(0, alerts, Vec::new()), Instant::now());
        let rows = rows(&ward);
        let ids: Vec<_> = rows[0].alerts.iter().map(|it| it.alert_id.as_str()).collect();
        assert_eq!(ids, ["2", "1"]);
    }
}
