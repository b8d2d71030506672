//! What is to be done for an entry, given what the service holds: pure, so that a dry run decides
//! exactly as a run does.
//!
//! What is there is never changed. Where it is not what the sheet says, that is a conflict, told
//! with what is there, and nothing is done for the entry.

use super::sheet::Entry;
use crate::clock::Timestamp;
use crate::config::Period;
use crate::engine::input::Schedule;

/// What the service holds of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The patient's site, if there is the patient.
    pub(super) patient_at: Option<String>,
    /// The device's site, if there is the device.
    pub(super) device_at: Option<String>,
    /// The device's latest binding.
    pub(super) binding: Option<Binding>,
}

/// A binding as the service tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) patient: String,
    pub(super) from: Timestamp,
    /// `None` while it lasts.
    pub(super) until: Option<Timestamp>,
    pub(super) schedule: Schedule,
}

/// What is to be done. Nothing of it: all is as the entry says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) create_patient: bool,
    pub(super) create_device: bool,
    pub(super) bind: bool,
}

impl Steps {
    /// Whether nothing is to be done.
    pub(super) const fn is_nothing(self) -> bool {
        !self.create_patient && !self.create_device && !self.bind
    }
}

/// The steps that lead from what was found to what the entry says.
///
/// # Errors
/// What is in the way, in words.
pub(super) fn steps(entry: &Entry, found: &Found) -> Result<Steps, String> {
    if let Some(patient) = &entry.patient {
        check_site("patient", patient.as_str(), entry, found.patient_at.as_deref())?;
    }
    check_site("device", entry.device.as_str(), entry, found.device_at.as_deref())?;
    let bind = match (&entry.patient, &found.binding) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(patient), Some(binding)) => is_to_bind(entry, patient.as_str(), binding)?,
    };
    Ok(Steps {
        create_patient: entry.patient.is_some() && found.patient_at.is_none(),
        create_device: found.device_at.is_none(),
        bind,
    })
}

fn check_site(kind: &str, id: &str, entry: &Entry, at: Option<&str>) -> Result<(), String> {
    match at {
        Some(site) if site != entry.site.as_str() => Err(format!("{kind} {id} is at site {site}")),
        _ => Ok(()),
    }
}

/// Whether a device that has been bound before is to be bound now.
fn is_to_bind(entry: &Entry, patient: &str, there: &Binding) -> Result<bool, String> {
    let Binding { patient: wearer, from, until, schedule } = there;
    let device = &entry.device;
    if let Some(until) = until {
        return match entry.from {
            Some(from) if from < *until => Err(format!(
                "device {device} was bound to patient {wearer} until {until}; begin then or later"
            )),
            _ => Ok(true),
        };
    }
    let bound = format!("device {device} is bound to patient {wearer} since {from}");
    if wearer != patient {
        return Err(format!("{bound}; unbind it first"));
    }
    if let Some(wanted) = entry.from.filter(|wanted| wanted != from) {
        return Err(format!("{bound}, not since {wanted}; unbind it first"));
    }
    if !is_same(schedule, &entry.schedule) {
        let (there, wanted) = (words(schedule), words(&entry.schedule));
        return Err(format!("{bound} with {there}, not with {wanted}; unbind it first"));
    }
    Ok(false)
}

/// The order in which vitals are named means nothing.
fn is_same(one: &Schedule, other: &Schedule) -> bool {
    let sorted = |schedule: &Schedule| {
        let mut intervals = schedule.expected_intervals.clone();
        intervals.sort();
        intervals
    };
    one.upload_interval == other.upload_interval && sorted(one) == sorted(other)
}

/// A schedule as a sheet says it.
fn words(schedule: &Schedule) -> String {
    let intervals = &schedule.expected_intervals;
    let measures = intervals.iter().map(|(vital, every)| format!("{vital}={}", Period(*every)));
    let measures: Vec<_> = measures.collect();
    let upload_interval = Period(schedule.upload_interval);
    format!("upload_interval {upload_interval} and measures {:?}", measures.join(";"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::vitals::Vital;

    fn time(minute: i64) -> Timestamp {
        Timestamp::from_seconds(1_770_000_000 + minute * 60)
    }

    fn each_second(vitals: &[Vital]) -> Schedule {
        let each = |vital: &Vital| (*vital, Duration::from_secs(1));
        Schedule {
            upload_interval: Duration::from_secs(30),
            expected_intervals: vitals.iter().map(each).collect(),
        }
    }

    fn entry(from: Option<i64>) -> Entry {
        Entry {
            line: 2,
            site: "s".parse().unwrap(),
            patient: Some("p".parse().unwrap()),
            device: "d".parse().unwrap(),
            from: from.map(time),
            schedule: each_second(&[Vital::HeartRate, Vital::Spo2]),
        }
    }

    fn bound(patient: &str, until: Option<i64>) -> Found {
        let binding = Binding {
            patient: patient.to_owned(),
            from: time(0),
            until: until.map(time),
            schedule: each_second(&[Vital::Spo2, Vital::HeartRate]),
        };
        Found { binding: Some(binding), ..at("s", "s") }
    }

    fn at(patient: &str, device: &str) -> Found {
        let site = |site: &str| Some(site.to_owned()).filter(|site| !site.is_empty());
        Found { patient_at: site(patient), device_at: site(device), binding: None }
    }

    fn check(entry: &Entry, found: &Found, expected: &str) {
        let told = match steps(entry, found) {
            Ok(steps) if steps.is_nothing() => "nothing".to_owned(),
            Ok(Steps { create_patient, create_device, bind }) => {
                let words =
                    [(create_patient, "patient"), (create_device, "device"), (bind, "bind")];
                let words = words.into_iter().filter_map(|(is, word)| is.then_some(word));
                words.collect::<Vec<_>>().join(" ")
            }
            Err(conflict) => conflict,
        };
        assert_eq!(told, expected, "{entry:?} where {found:?}");
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_there_is_left() {
        check(&entry(None), &Found::default(), "patient device bind");
        check(&entry(None), &at("s", ""), "device bind");
        check(&entry(None), &at("", "s"), "patient bind");
        check(&entry(Some(5)), &at("s", "s"), "bind");
        check(&entry(None), &bound("p", None), "nothing");
        check(&entry(Some(0)), &bound("p", None), "nothing");
    }

    #[test]
    fn a_device_that_was_bound_may_be_bound_from_the_end_of_that_on() {
        check(&entry(None), &bound("q", Some(5)), "bind");
        check(&entry(Some(5)), &bound("q", Some(5)), "bind");
        let told =
            "device d was bound to patient q until 2026-02-02T02:45:00Z; begin then or later";
        check(&entry(Some(4)), &bound("q", Some(5)), told);
    }

    #[test]
    fn a_device_without_a_patient_is_made_and_its_binding_left_alone() {
        let alone = Entry { patient: None, ..entry(None) };
        check(&alone, &Found::default(), "device");
        check(&alone, &bound("q", None), "nothing");
    }

    #[test]
    fn what_is_in_the_way_is_told() {
        check(&entry(None), &at("north", ""), "patient p is at site north");
        check(&entry(None), &at("s", "north"), "device d is at site north");
        let since = "device d is bound to patient q since 2026-02-02T02:40:00Z; unbind it first";
        check(&entry(None), &bound("q", None), since);
        let other_time = "device d is bound to patient p since 2026-02-02T02:40:00Z, \
                          not since 2026-02-02T02:41:00Z; unbind it first";
        check(&entry(Some(1)), &bound("p", None), other_time);
        let less = Entry { schedule: each_second(&[Vital::Spo2]), ..entry(None) };
        let other_schedule = "device d is bound to patient p since 2026-02-02T02:40:00Z with \
                              upload_interval 30s and measures \"spo2=1s;heart_rate=1s\", not with \
                              upload_interval 30s and measures \"spo2=1s\"; unbind it first";
        check(&less, &bound("p", None), other_schedule);
    }
}
