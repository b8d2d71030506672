//! Sites, patients, devices and bindings: requests to actions, rows to answers.

use std::time::Duration;

use super::{Violations, wire_duration, wire_timestamp};
use crate::engine::input::{Action, NewBinding, Replacement, Schedule};
use crate::engine::output::{BindingRow, DeviceRow, PatientRow, SiteRow};
use crate::engine::profile::{AgeGroup, Eligibility, Pregnancy, Violation};
use crate::proto::v1;
use crate::vitals::{PatientId, Vital};

/// A name for people fits on one line of a screen.
const DISPLAY_NAME_BYTES_MAX: usize = 200;
/// Why a patient's signals are paused: a sentence or two.
const REASON_BYTES_MAX: usize = 500;
/// The longest IANA name has 32 characters.
const TIME_ZONE_BYTES_MAX: usize = 64;
/// The time zone of a site that names none.
const TIME_ZONE_DEFAULT: &str = "Etc/UTC";
/// A year: longer than readings are kept, and short enough that no sum of times overflows.
const INTERVAL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

type Converted = Result<Action, Vec<Violation>>;

pub(in crate::grpc) fn create_site(request: &v1::CreateSiteRequest) -> Converted {
    let mut wrong = Violations::default();
    let site = wrong.id("site_id", &request.site_id);
    let display_name = wrong.text("display_name", &request.display_name, DISPLAY_NAME_BYTES_MAX);
    let time_zone = time_zone(&mut wrong, &request.time_zone);
    wrong.finish(|| {
        Some(Action::CreateSite { site: site?, display_name: display_name?, time_zone: time_zone? })
    })
}

/// Checks the form only: which names exist is for those who display times to know.
fn time_zone(wrong: &mut Violations, name: &str) -> Option<String> {
    if name.is_empty() {
        return Some(TIME_ZONE_DEFAULT.to_owned());
    }
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
    };
    if name.len() > TIME_ZONE_BYTES_MAX || !name.split('/').all(is_part) {
        return wrong.refuse("time_zone", "not an IANA time zone such as Europe/Berlin");
    }
    Some(name.to_owned())
}

pub(in crate::grpc) fn create_patient(request: &v1::CreatePatientRequest) -> Converted {
    let mut wrong = Violations::default();
    let patient = wrong.id("patient_id", &request.patient_id);
    let site = wrong.id("site_id", &request.site_id);
    wrong.finish(|| Some(Action::CreatePatient { patient: patient?, site: site? }))
}

pub(in crate::grpc) fn update_patient(request: &v1::UpdatePatientRequest) -> Converted {
    let mut wrong = Violations::default();
    let patient = wrong.id("patient_id", &request.patient_id);
    let age_group = match v1::AgeGroup::try_from(request.age_group) {
        Ok(v1::AgeGroup::Unspecified) => Some(AgeGroup::Unknown),
        Ok(v1::AgeGroup::Adult) => Some(AgeGroup::Adult),
        Ok(v1::AgeGroup::Child) => Some(AgeGroup::Child),
        Err(_) => wrong.refuse("age_group", "none of this version's"),
    };
    let pregnancy = match v1::Pregnancy::try_from(request.pregnancy) {
        Ok(v1::Pregnancy::Unspecified) => Some(Pregnancy::Unknown),
        Ok(v1::Pregnancy::NotPregnant) => Some(Pregnancy::NotPregnant),
        Ok(v1::Pregnancy::Pregnant) => Some(Pregnancy::Pregnant),
        Err(_) => wrong.refuse("pregnancy", "none of this version's"),
    };
    let expected = expected_eligibility(&mut wrong, &request.etag);
    wrong.finish(|| {
        let eligibility = Eligibility { age_group: age_group?, pregnancy: pregnancy? };
        Some(Action::UpdatePatient { patient: patient?, eligibility, expected: expected? })
    })
}

pub(in crate::grpc) fn transfer_patient(request: &v1::TransferPatientRequest) -> Converted {
    let mut wrong = Violations::default();
    let patient = wrong.id("patient_id", &request.patient_id);
    let site = wrong.id("site_id", &request.site_id);
    wrong.finish(|| Some(Action::TransferPatient { patient: patient?, site: site? }))
}

/// How far ahead a pause may reach is for the engine to say: it knows what time it is.
pub(in crate::grpc) fn pause_patient(request: &v1::PausePatientRequest) -> Converted {
    let mut wrong = Violations::default();
    let patient = wrong.id("patient_id", &request.patient_id);
    let until = wrong.optional_time("until", request.until.as_ref());
    let reason = wrong.remark("reason", &request.reason, REASON_BYTES_MAX);
    wrong
        .finish(|| Some(Action::PausePatient { patient: patient?, until: until?, reason: reason? }))
}

pub(in crate::grpc) fn create_device(request: &v1::CreateDeviceRequest) -> Converted {
    let mut wrong = Violations::default();
    let device = wrong.id("device_id", &request.device_id);
    let site = wrong.id("site_id", &request.site_id);
    wrong.finish(|| Some(Action::CreateDevice { device: device?, site: site? }))
}

pub(in crate::grpc) fn bind_device(request: &v1::BindDeviceRequest) -> Converted {
    let mut wrong = Violations::default();
    let device = wrong.id("device_id", &request.device_id);
    let patient = wrong.id("patient_id", &request.patient_id);
    let from = wrong.optional_time("from", request.from.as_ref());
    let schedule = match &request.schedule {
        Some(schedule) => schedule_of(&mut wrong, schedule),
        None => Some(Schedule::default()),
    };
    wrong.finish(|| {
        let binding =
            NewBinding { device: device?, patient: patient?, from: from?, schedule: schedule? };
        Some(Action::BindDevice(binding))
    })
}

fn schedule_of(wrong: &mut Violations, schedule: &v1::Schedule) -> Option<Schedule> {
    let field = "schedule.upload_interval";
    let upload_interval = wrong.optional_span(field, schedule.upload_interval.as_ref());
    if upload_interval.is_some_and(|interval| interval > INTERVAL_MAX) {
        wrong.add(field, "longer than 365 days");
    }
    let mut expected_intervals: Vec<(Vital, Duration)> = Vec::new();
    for (index, expected) in schedule.expected_intervals.iter().enumerate() {
        let path = format!("schedule.expected_intervals[{index}]");
        let Some((vital, interval)) = expected_interval(wrong, &path, expected) else { continue };
        if expected_intervals.iter().any(|(earlier, _)| *earlier == vital) {
            wrong.add(&format!("{path}.vital"), format!("{vital} a second time"));
        }
        expected_intervals.push((vital, interval));
    }
    Some(Schedule { upload_interval: upload_interval?, expected_intervals })
}

fn expected_interval(
    wrong: &mut Violations,
    path: &str,
    expected: &v1::ExpectedInterval,
) -> Option<(Vital, Duration)> {
    let vital = wrong.vital(&format!("{path}.vital"), expected.vital);
    let field = format!("{path}.interval");
    let interval = wrong.required_span(&field, expected.interval.as_ref())?;
    if interval.is_zero() || interval > INTERVAL_MAX {
        return wrong.refuse(&field, "not more than 0 s and at most 365 days");
    }
    Some((vital?, interval))
}

pub(in crate::grpc) fn unbind_device(request: &v1::UnbindDeviceRequest) -> Converted {
    let mut wrong = Violations::default();
    let device = wrong.id("device_id", &request.device_id);
    let at = wrong.optional_time("at", request.at.as_ref());
    wrong.finish(|| Some(Action::UnbindDevice { device: device?, at: at? }))
}

pub(in crate::grpc) fn replace_device(request: &v1::ReplaceDeviceRequest) -> Converted {
    let mut wrong = Violations::default();
    let device = wrong.id("device_id", &request.device_id);
    let new_device = wrong.id("new_device_id", &request.new_device_id);
    let at = wrong.optional_time("at", request.at.as_ref());
    let schedule = match &request.schedule {
        Some(schedule) => schedule_of(&mut wrong, schedule).map(Some),
        None => Some(None),
    };
    wrong.finish(|| {
        let (device, new_device) = (device?, new_device?);
        let (at, schedule) = (at?, schedule?);
        Some(Action::ReplaceDevice(Replacement { device, new_device, at, schedule }))
    })
}

pub(in crate::grpc) fn site(row: SiteRow) -> v1::Site {
    v1::Site {
        site_id: row.id.to_string(),
        display_name: row.display_name,
        time_zone: row.time_zone,
        created_at: Some(wire_timestamp(row.created_at)),
    }
}

/// The patient of `row`, whose site goes by the id `site_id`.
pub(in crate::grpc) fn patient(row: &PatientRow, site_id: String) -> v1::Patient {
    v1::Patient {
        patient_id: row.id.to_string(),
        site_id,
        created_at: Some(wire_timestamp(row.created_at)),
        paused_until: row.paused_until.map(wire_timestamp),
        age_group: age_group(row.eligibility.age_group).into(),
        pregnancy: pregnancy(row.eligibility.pregnancy).into(),
        etag: etag(row.eligibility),
    }
}

/// A patient's etag is what an update can change, by numbers.
fn etag(eligibility: Eligibility) -> String {
    let (age_group, pregnancy) =
        (age_group(eligibility.age_group), pregnancy(eligibility.pregnancy));
    format!("{}.{}", age_group as i32, pregnancy as i32)
}

fn expected_eligibility(wrong: &mut Violations, text: &str) -> Option<Option<Eligibility>> {
    if text.is_empty() {
        return Some(None);
    }
    let age_groups = [AgeGroup::Unknown, AgeGroup::Adult, AgeGroup::Child];
    let pregnancies = [Pregnancy::Unknown, Pregnancy::NotPregnant, Pregnancy::Pregnant];
    let all = age_groups
        .into_iter()
        .flat_map(|age_group| pregnancies.map(|pregnancy| Eligibility { age_group, pregnancy }));
    match all.into_iter().find(|eligibility| etag(*eligibility) == text) {
        Some(eligibility) => Some(Some(eligibility)),
        None => wrong.refuse("etag", "not an etag of this service"),
    }
}

const fn age_group(age_group: AgeGroup) -> v1::AgeGroup {
    match age_group {
        AgeGroup::Unknown => v1::AgeGroup::Unspecified,
        AgeGroup::Adult => v1::AgeGroup::Adult,
        AgeGroup::Child => v1::AgeGroup::Child,
    }
}

const fn pregnancy(pregnancy: Pregnancy) -> v1::Pregnancy {
    match pregnancy {
        Pregnancy::Unknown => v1::Pregnancy::Unspecified,
        Pregnancy::NotPregnant => v1::Pregnancy::NotPregnant,
        Pregnancy::Pregnant => v1::Pregnancy::Pregnant,
    }
}

/// The device of `row`, whose site goes by the id `site_id`.
pub(in crate::grpc) fn device(row: &DeviceRow, site_id: String) -> v1::Device {
    v1::Device {
        device_id: row.id.to_string(),
        site_id,
        created_at: Some(wire_timestamp(row.created_at)),
    }
}

/// The binding of `row`, whose device and patient go by these ids.
pub(in crate::grpc) fn binding(
    row: &BindingRow,
    device_id: String,
    patient: &PatientId,
) -> v1::Binding {
    v1::Binding {
        device_id,
        patient_id: patient.to_string(),
        from: Some(wire_timestamp(row.from)),
        until: row.until.map(wire_timestamp),
        schedule: Some(wire_schedule(&row.schedule)),
    }
}

pub(crate) fn wire_schedule(schedule: &Schedule) -> v1::Schedule {
    let expected = |(vital, interval): &(Vital, Duration)| v1::ExpectedInterval {
        vital: i32::from(vital.number()),
        interval: Some(wire_duration(*interval)),
    };
    v1::Schedule {
        upload_interval: Some(wire_duration(schedule.upload_interval)),
        expected_intervals: schedule.expected_intervals.iter().map(expected).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(converted: Converted) -> Vec<String> {
        converted.expect_err("wrong").into_iter().map(|violation| violation.field).collect()
    }

    fn zone(name: &str) -> v1::CreateSiteRequest {
        v1::CreateSiteRequest {
            site_id: "north".into(),
            time_zone: name.into(),
            ..v1::CreateSiteRequest::default()
        }
    }

    #[test]
    fn a_time_zone_has_the_form_of_an_iana_name() {
        for name in ["", "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+1"] {
            assert!(create_site(&zone(name)).is_ok(), "{name:?}");
        }
        for name in ["/", "Europe/", "Europe Berlin", "../etc/passwd", &"x".repeat(65)] {
            assert_eq!(fields(create_site(&zone(name))), ["time_zone"], "{name:?}");
        }
    }

    #[test]
    fn every_wrong_field_of_a_binding_is_named_by_its_path() {
        let expected = |vital, seconds| v1::ExpectedInterval {
            vital,
            interval: Some(prost_types::Duration { seconds, nanos: 0 }),
        };
        let request = v1::BindDeviceRequest {
            device_id: String::new(),
            patient_id: "a b".into(),
            from: Some(prost_types::Timestamp { seconds: 0, nanos: -1 }),
            schedule: Some(v1::Schedule {
                upload_interval: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
                expected_intervals: vec![
                    expected(1, 1),
                    expected(1, 1),
                    expected(0, 1),
                    expected(99, 1),
                    expected(2, 0),
                    v1::ExpectedInterval { vital: 3, interval: None },
                ],
            }),
            request_id: String::new(),
        };
        assert_eq!(
            fields(bind_device(&request)),
            [
                "device_id",
                "patient_id",
                "from",
                "schedule.upload_interval",
                "schedule.expected_intervals[1].vital",
                "schedule.expected_intervals[2].vital",
                "schedule.expected_intervals[3].vital",
                "schedule.expected_intervals[4].interval",
                "schedule.expected_intervals[5].interval",
            ]
        );
    }

    #[test]
    fn every_wrong_field_of_what_is_done_with_a_patient_is_named() {
        let bad_time = Some(prost_types::Timestamp { seconds: 0, nanos: -1 });
        let update = v1::UpdatePatientRequest {
            patient_id: String::new(),
            age_group: 9,
            pregnancy: -1,
            etag: String::new(),
            request_id: String::new(),
        };
        assert_eq!(fields(update_patient(&update)), ["patient_id", "age_group", "pregnancy"]);
        let transfer = v1::TransferPatientRequest::default();
        assert_eq!(fields(transfer_patient(&transfer)), ["patient_id", "site_id"]);
        let pause = v1::PausePatientRequest {
            patient_id: "a b".into(),
            until: bad_time,
            reason: "x".repeat(501),
            request_id: String::new(),
        };
        assert_eq!(fields(pause_patient(&pause)), ["patient_id", "until", "reason"]);
        let negative = Some(prost_types::Duration { seconds: -1, nanos: 0 });
        let replace = v1::ReplaceDeviceRequest {
            at: bad_time,
            schedule: Some(v1::Schedule { upload_interval: negative, ..v1::Schedule::default() }),
            ..v1::ReplaceDeviceRequest::default()
        };
        assert_eq!(
            fields(replace_device(&replace)),
            ["device_id", "new_device_id", "at", "schedule.upload_interval"]
        );
    }
}
