//! What each call may be asked, by whom, and what it must answer: the matrix itself.
//!
//! A row is one way of asking. Its roles are those that may; the others are refused before anything
//! is looked at. `own` is what those that may are answered about their own site (a refusal for
//! another reason shows as well that they were let through), and `other` what they are answered about
//! another site, which must be the very same as about what does not exist.

use prost::Message;
use pulseward::engine::audit::Method;
use pulseward::engine::input::Role::{self, Admin, Auditor, Clinician, DeviceAdmin, Viewer};
use pulseward::proto::v1;
use tonic::Code::{self, Aborted, FailedPrecondition, NotFound, Ok};

use super::ward::{Names, ago, fast_pulse, rules};

/// What is asked about.
pub(super) struct Scene<'a> {
    /// Things of the caller's site.
    pub(super) near: &'a Names,
    /// Things of the site that it is about.
    pub(super) far: &'a Names,
    /// Different for each attempt.
    pub(super) serial: usize,
}

/// One way to ask.
pub(super) struct Row {
    /// Unlike that of every other row.
    pub(super) name: &'static str,
    pub(super) roles: &'static [Role],
    pub(super) own: &'static [Code],
    pub(super) other: &'static [Code],
    pub(super) ask: fn(&Scene<'_>) -> Vec<u8>,
}

const READERS: &[Role] = &[Viewer, Clinician, Admin];
const WORKERS: &[Role] = &[Clinician, Admin];
const KEEPERS: &[Role] = &[DeviceAdmin, Admin];
const STAFF: &[Role] = &[Viewer, Clinician, DeviceAdmin, Admin];
/// What was asked for could be done, or is done already, or may not be now: never that it is not
/// there.
const REACHED: &[Code] = &[Ok, FailedPrecondition, Aborted];

fn row(
    name: &'static str,
    roles: &'static [Role],
    (own, other): (&'static [Code], &'static [Code]),
    ask: fn(&Scene<'_>) -> Vec<u8>,
) -> Row {
    Row { name, roles, own, other, ask }
}

const FOUND: (&[Code], &[Code]) = (&[Ok], &[NotFound]);
const WORKED: (&[Code], &[Code]) = (REACHED, &[NotFound]);
const LISTED: (&[Code], &[Code]) = (&[Ok], &[Ok]);
/// Both are right, as long as it is the same for what does not exist.
const LISTED_OR_NOT: (&[Code], &[Code]) = (&[Ok], &[Ok, NotFound]);

/// Every way to ask that a call has. A call without any does not compile.
pub(super) fn rows(method: Method) -> Vec<Row> {
    match method {
        Method::WatchAlerts
        | Method::ListAlerts
        | Method::GetAlert
        | Method::GetAlarmBurden
        | Method::AcknowledgeAlert
        | Method::PauseAlert
        | Method::ResetAlert
        | Method::AssignAlert
        | Method::AddAlertNote => of_alerts(method),
        Method::WatchVitals
        | Method::GetLatestVitals
        | Method::ListReadings
        | Method::AggregateReadings
        | Method::RecordReadings => of_vitals(method),
        Method::CreateSite
        | Method::GetSite
        | Method::ListSites
        | Method::CreatePatient
        | Method::UpdatePatient
        | Method::GetPatient
        | Method::ListPatients
        | Method::TransferPatient
        | Method::PausePatient
        | Method::ErasePatient
        | Method::GetErasure => of_patients(method),
        Method::CreateDevice
        | Method::GetDevice
        | Method::ListDevices
        | Method::BindDevice
        | Method::UnbindDevice
        | Method::ListBindings
        | Method::ReplaceDevice => of_devices(method),
        Method::GetEffectiveProfile
        | Method::GetProfile
        | Method::PutProfile
        | Method::ListRejectedMessages
        | Method::RedriveRejectedMessages
        | Method::GetDeviceReport
        | Method::ListAuditEvents => of_the_rest(method),
    }
}

fn of_alerts(method: Method) -> Vec<Row> {
    match method {
        Method::WatchAlerts => vec![
            row("watch alerts of a site", READERS, LISTED, |scene| {
                let site_ids = vec![scene.far.site.to_owned()];
                let filter = v1::AlertFilter { site_ids, ..Default::default() };
                wire(v1::WatchAlertsRequest { filter: Some(filter), ..Default::default() })
            }),
            row("watch alerts of a patient", READERS, LISTED, |scene| {
                let patient_ids = vec![scene.far.patient.clone()];
                let filter = v1::AlertFilter { patient_ids, ..Default::default() };
                wire(v1::WatchAlertsRequest { filter: Some(filter), ..Default::default() })
            }),
            row("watch all alerts", READERS, LISTED, |_| wire(v1::WatchAlertsRequest::default())),
        ],
        Method::ListAlerts => vec![row("list alerts", READERS, LISTED_OR_NOT, |scene| {
            let site_ids = vec![scene.far.site.to_owned()];
            let filter = v1::AlertFilter { site_ids, ..Default::default() };
            wire(v1::ListAlertsRequest { filter: Some(filter), ..Default::default() })
        })],
        Method::GetAlarmBurden => vec![
            row("alarm burden of a site", READERS, LISTED_OR_NOT, |scene| {
                let site_ids = vec![scene.far.site.to_owned()];
                let (from, until) = (ago(3600), ago(0));
                wire(v1::GetAlarmBurdenRequest { site_ids, from, until, ..Default::default() })
            }),
            row("alarm burden of all sites", READERS, LISTED, |_| {
                let (from, until) = (ago(3600), ago(0));
                wire(v1::GetAlarmBurdenRequest { from, until, ..Default::default() })
            }),
        ],
        Method::GetAlert => vec![row("get an alert", READERS, FOUND, |scene| {
            wire(v1::GetAlertRequest { alert_id: scene.far.alert.clone() })
        })],
        Method::AcknowledgeAlert => vec![row("acknowledge", WORKERS, WORKED, |scene| {
            let (alert_id, etag) = (scene.far.alert.clone(), scene.far.etag.clone());
            wire(v1::AcknowledgeAlertRequest { alert_id, etag, ..Default::default() })
        })],
        Method::PauseAlert => vec![row("pause an alert", WORKERS, WORKED, |scene| {
            let (alert_id, etag) = (scene.far.alert.clone(), scene.far.etag.clone());
            let duration = Some(prost_types::Duration { seconds: 60, nanos: 0 });
            wire(v1::PauseAlertRequest { alert_id, etag, duration, ..Default::default() })
        })],
        Method::ResetAlert => vec![row("reset an alert", WORKERS, WORKED, |scene| {
            let (alert_id, etag) = (scene.far.alert.clone(), scene.far.etag.clone());
            wire(v1::ResetAlertRequest { alert_id, etag, ..Default::default() })
        })],
        Method::AssignAlert => vec![row("assign an alert", WORKERS, WORKED, |scene| {
            let (alert_id, assignee) = (scene.far.alert.clone(), "nora".to_owned());
            wire(v1::AssignAlertRequest { alert_id, assignee, ..Default::default() })
        })],
        Method::AddAlertNote => vec![row("note on an alert", WORKERS, WORKED, |scene| {
            let (alert_id, note) = (scene.far.alert.clone(), "seen".to_owned());
            wire(v1::AddAlertNoteRequest { alert_id, note, ..Default::default() })
        })],
        _ => Vec::new(),
    }
}

fn of_vitals(method: Method) -> Vec<Row> {
    match method {
        Method::WatchVitals => vec![
            row("watch vitals of a patient", READERS, (&[Ok], &[Ok, NotFound]), |scene| {
                let patient_ids = vec![scene.far.patient.clone()];
                wire(v1::WatchVitalsRequest { patient_ids, ..Default::default() })
            }),
            row("watch vitals of a site", READERS, (&[Ok], &[Ok, NotFound]), |scene| {
                let site_ids = vec![scene.far.site.to_owned()];
                wire(v1::WatchVitalsRequest { site_ids, ..Default::default() })
            }),
        ],
        Method::GetLatestVitals => vec![row("latest vitals", READERS, FOUND, |scene| {
            let patient_id = scene.far.patient.clone();
            wire(v1::GetLatestVitalsRequest { patient_id, ..Default::default() })
        })],
        Method::ListReadings => vec![row("list readings", READERS, FOUND, |scene| {
            wire(v1::ListReadingsRequest {
                patient_id: scene.far.patient.clone(),
                from: ago(3600),
                until: ago(0),
                ..Default::default()
            })
        })],
        Method::AggregateReadings => vec![row("aggregate readings", READERS, FOUND, |scene| {
            wire(v1::AggregateReadingsRequest {
                patient_id: scene.far.patient.clone(),
                vitals: vec![v1::Vital::PulseRate.into()],
                from: ago(3600),
                until: ago(0),
                bucket: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
                ..Default::default()
            })
        })],
        Method::RecordReadings => vec![row("record readings", WORKERS, FOUND, |scene| {
            wire(fast_pulse(&scene.far.patient, 0))
        })],
        _ => Vec::new(),
    }
}

fn of_patients(method: Method) -> Vec<Row> {
    match method {
        // Sites are created by administrators of all sites only, and there is none for others.
        Method::CreateSite => {
            vec![row("create a site", &[Admin], (&[NotFound], &[NotFound]), |scene| {
                wire(v1::CreateSiteRequest {
                    site_id: scene.far.site.to_owned(),
                    display_name: "New".into(),
                    time_zone: "UTC".into(),
                    ..Default::default()
                })
            })]
        }
        Method::GetSite => vec![row("get a site", STAFF, FOUND, |scene| {
            wire(v1::GetSiteRequest { site_id: scene.far.site.to_owned() })
        })],
        Method::ListSites => {
            vec![row("list sites", STAFF, LISTED, |_| wire(v1::ListSitesRequest::default()))]
        }
        Method::CreatePatient => vec![row("create a patient", KEEPERS, FOUND, |scene| {
            let (patient_id, site_id) = (format!("n-{}", scene.serial), scene.far.site.to_owned());
            wire(v1::CreatePatientRequest { patient_id, site_id, ..Default::default() })
        })],
        Method::UpdatePatient => {
            vec![row("update a patient", &[Clinician, DeviceAdmin, Admin], FOUND, |scene| {
                let patient_id = scene.far.patient.clone();
                let age_group = v1::AgeGroup::Adult.into();
                wire(v1::UpdatePatientRequest { patient_id, age_group, ..Default::default() })
            })]
        }
        Method::GetPatient => vec![row("get a patient", STAFF, FOUND, |scene| {
            wire(v1::GetPatientRequest { patient_id: scene.far.patient.clone() })
        })],
        Method::ListPatients => vec![row("list patients", STAFF, LISTED_OR_NOT, |scene| {
            let site_id = scene.far.site.to_owned();
            wire(v1::ListPatientsRequest { site_id, ..Default::default() })
        })],
        Method::TransferPatient => vec![
            row("transfer a patient from there", KEEPERS, WORKED, |scene| {
                let (patient_id, site_id) = (scene.far.patient.clone(), scene.near.site.to_owned());
                wire(v1::TransferPatientRequest { patient_id, site_id, ..Default::default() })
            }),
            row("transfer a patient to there", KEEPERS, WORKED, |scene| {
                let (patient_id, site_id) = (scene.near.patient.clone(), scene.far.site.to_owned());
                wire(v1::TransferPatientRequest { patient_id, site_id, ..Default::default() })
            }),
        ],
        Method::PausePatient => vec![row("pause a patient", WORKERS, FOUND, |scene| {
            let (patient_id, until) = (scene.far.patient.clone(), ago(-600));
            wire(v1::PausePatientRequest { patient_id, until, ..Default::default() })
        })],
        Method::ErasePatient => vec![row("erase a patient", &[Admin], FOUND, |scene| {
            let patient_id = scene.far.leaving.clone();
            let confirm_patient_id = patient_id.clone();
            wire(v1::ErasePatientRequest { patient_id, confirm_patient_id, ..Default::default() })
        })],
        Method::GetErasure => vec![row("get an erasure", &[Admin, Auditor], FOUND, |scene| {
            wire(v1::GetErasureRequest { patient_number: scene.far.erased })
        })],
        _ => Vec::new(),
    }
}

fn of_devices(method: Method) -> Vec<Row> {
    match method {
        Method::CreateDevice => vec![row("create a device", KEEPERS, FOUND, |scene| {
            let (device_id, site_id) = (format!("m-{}", scene.serial), scene.far.site.to_owned());
            wire(v1::CreateDeviceRequest { device_id, site_id, ..Default::default() })
        })],
        Method::GetDevice => vec![row("get a device", STAFF, FOUND, |scene| {
            wire(v1::GetDeviceRequest { device_id: scene.far.device.clone() })
        })],
        Method::ListDevices => vec![row("list devices", STAFF, LISTED_OR_NOT, |scene| {
            let site_id = scene.far.site.to_owned();
            wire(v1::ListDevicesRequest { site_id, ..Default::default() })
        })],
        Method::BindDevice => vec![
            row("bind a device of there", KEEPERS, WORKED, |scene| {
                bind(scene.far.device.clone(), scene.near.patient.clone())
            }),
            row("bind a device to a patient of there", KEEPERS, WORKED, |scene| {
                bind(scene.near.device.clone(), scene.far.patient.clone())
            }),
        ],
        Method::UnbindDevice => vec![row("unbind a device", KEEPERS, WORKED, |scene| {
            let device_id = scene.far.device.clone();
            wire(v1::UnbindDeviceRequest { device_id, ..Default::default() })
        })],
        Method::ListBindings => vec![
            row("list bindings of a device", STAFF, FOUND, |scene| {
                let of = v1::list_bindings_request::Of::DeviceId(scene.far.device.clone());
                wire(v1::ListBindingsRequest { of: Some(of), ..Default::default() })
            }),
            row("list bindings of a patient", STAFF, FOUND, |scene| {
                let of = v1::list_bindings_request::Of::PatientId(scene.far.patient.clone());
                wire(v1::ListBindingsRequest { of: Some(of), ..Default::default() })
            }),
        ],
        Method::ReplaceDevice => vec![
            row("replace a device of there", KEEPERS, WORKED, |scene| {
                replace(scene.far.device.clone(), scene.near.other_device.clone())
            }),
            row("replace a device by one of there", KEEPERS, WORKED, |scene| {
                replace(scene.near.device.clone(), scene.far.other_device.clone())
            }),
        ],
        _ => Vec::new(),
    }
}

fn of_the_rest(method: Method) -> Vec<Row> {
    match method {
        Method::GetEffectiveProfile => {
            vec![row("get the profile in force", STAFF, FOUND, |scene| {
                wire(v1::GetEffectiveProfileRequest { patient_id: scene.far.patient.clone() })
            })]
        }
        Method::GetProfile => vec![
            row("get the profile of a patient", STAFF, (&[Ok, NotFound], &[NotFound]), |scene| {
                wire(v1::GetProfileRequest { owner: of_patient(scene.far), ..Default::default() })
            }),
            row("get the profile of a site", STAFF, FOUND, |scene| {
                wire(v1::GetProfileRequest { owner: of_site(scene.far), ..Default::default() })
            }),
        ],
        Method::PutProfile => vec![
            row("put the profile of a patient", WORKERS, FOUND, |scene| put(of_patient(scene.far))),
            row("put the profile of a site", &[Admin], FOUND, |scene| put(of_site(scene.far))),
        ],
        Method::ListRejectedMessages => {
            vec![row("list refused messages", KEEPERS, LISTED, |scene| {
                let site_id = scene.far.site.to_owned();
                wire(v1::ListRejectedMessagesRequest { site_id, ..Default::default() })
            })]
        }
        Method::RedriveRejectedMessages => vec![row("redrive", KEEPERS, LISTED, |scene| {
            let message_ids = vec![scene.far.message.clone()];
            wire(v1::RedriveRejectedMessagesRequest { message_ids, ..Default::default() })
        })],
        Method::GetDeviceReport => vec![row("device report", STAFF, FOUND, |scene| {
            wire(v1::GetDeviceReportRequest { device_id: scene.far.device.clone() })
        })],
        Method::ListAuditEvents => {
            vec![row("list audit events of a patient", &[Auditor, Admin], LISTED, |scene| {
                let patient_id = scene.far.patient.clone();
                wire(v1::ListAuditEventsRequest { patient_id, ..Default::default() })
            })]
        }
        _ => Vec::new(),
    }
}

fn wire(request: impl Message) -> Vec<u8> {
    request.encode_to_vec()
}

fn bind(device_id: String, patient_id: String) -> Vec<u8> {
    let schedule = v1::Schedule {
        upload_interval: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        expected_intervals: Vec::new(),
    };
    wire(v1::BindDeviceRequest {
        device_id,
        patient_id,
        schedule: Some(schedule),
        ..Default::default()
    })
}

fn replace(device_id: String, new_device_id: String) -> Vec<u8> {
    wire(v1::ReplaceDeviceRequest { device_id, new_device_id, ..Default::default() })
}

fn of_patient(names: &Names) -> Option<v1::ProfileOwner> {
    let owner = v1::profile_owner::Owner::PatientId(names.patient.clone());
    Some(v1::ProfileOwner { owner: Some(owner) })
}

fn of_site(names: &Names) -> Option<v1::ProfileOwner> {
    let owner = v1::profile_owner::Owner::SiteId(names.site.to_owned());
    Some(v1::ProfileOwner { owner: Some(owner) })
}

fn put(owner: Option<v1::ProfileOwner>) -> Vec<u8> {
    wire(v1::PutProfileRequest { owner, profile: Some(rules()), ..Default::default() })
}
