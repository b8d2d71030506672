//! Requests that go on record: which call each is of, and what it is about.
//!
//! Ids, times and counts as they were asked for; what is no id is left out, and no text of a person
//! is taken along.

use std::str::FromStr;

use super::timestamp;
use crate::engine::audit::{About, Method};
use crate::grpc::calls::Audited;
use crate::position::MessageId;
use crate::proto::v1;
use crate::proto::v1::list_bindings_request::Of;
use crate::proto::v1::list_devices_request::WornBy;
use crate::proto::v1::profile_owner::Owner;
use crate::vitals::{DeviceId, PatientId};

/// Messages of one call that are named.
const MESSAGES_NAMED_MAX: usize = 3;

macro_rules! audited {
    ($($request:ident of $method:ident => |$it:pat_param| $about:expr;)*) => {
        $(
            impl Audited for v1::$request {
                const METHOD: Method = Method::$method;

                fn about(&self) -> About {
                    let $it = self;
                    $about
                }
            }
        )*
    };
}

audited! {
    WatchAlertsRequest of WatchAlerts => |it| watched(it);
    ListAlertsRequest of ListAlerts => |it| listed_alerts(it);
    GetAlarmBurdenRequest of GetAlarmBurden => |it| burden(it);
    GetAlertRequest of GetAlert => |it| alert(&it.alert_id);
    AcknowledgeAlertRequest of AcknowledgeAlert => |it| alert(&it.alert_id);
    PauseAlertRequest of PauseAlert => |it| alert(&it.alert_id);
    ResetAlertRequest of ResetAlert => |it| alert(&it.alert_id);
    AssignAlertRequest of AssignAlert => |it| alert(&it.alert_id);
    AddAlertNoteRequest of AddAlertNote => |it| alert(&it.alert_id);

    WatchVitalsRequest of WatchVitals => |it| live(it);
    GetLatestVitalsRequest of GetLatestVitals => |it| About {
        text: counted(it.vitals.len(), "vital").trim_start().to_owned(),
        ..patient(&it.patient_id)
    };
    AggregateReadingsRequest of AggregateReadings => |it| About {
        text: span(it.from, it.until) + &counted(it.vitals.len(), "vital"),
        ..patient(&it.patient_id)
    };
    ListReadingsRequest of ListReadings => |it| About {
        text: joined([span(it.from, it.until), counted(it.vitals.len(), "vital")]),
        ..patient(&it.patient_id)
    };
    RecordReadingsRequest of RecordReadings => |it| patient(&it.patient_id);

    CreateSiteRequest of CreateSite => |it| site(&it.site_id);
    GetSiteRequest of GetSite => |it| site(&it.site_id);
    CreatePatientRequest of CreatePatient => |it| About {
        patients: ids([&it.patient_id]),
        ..site(&it.site_id)
    };
    UpdatePatientRequest of UpdatePatient => |it| patient(&it.patient_id);
    GetPatientRequest of GetPatient => |it| patient(&it.patient_id);
    TransferPatientRequest of TransferPatient => |it| patient(&it.patient_id);
    PausePatientRequest of PausePatient => |it| patient(&it.patient_id);
    ErasePatientRequest of ErasePatient => |it| patient(&it.patient_id);
    GetErasureRequest of GetErasure => |it| About {
        text: format!("of patient number {}", it.patient_number),
        ..About::default()
    };
    CreateDeviceRequest of CreateDevice => |it| About {
        site: id(&it.site_id),
        ..device(&it.device_id)
    };
    GetDeviceRequest of GetDevice => |it| device(&it.device_id);
    BindDeviceRequest of BindDevice => |it| About {
        patients: ids([&it.patient_id]),
        ..device(&it.device_id)
    };
    UnbindDeviceRequest of UnbindDevice => |it| device(&it.device_id);
    ReplaceDeviceRequest of ReplaceDevice => |it| device(&it.device_id);
    ListSitesRequest of ListSites => |_| About::default();
    ListPatientsRequest of ListPatients => |it| listed(&it.site_id, &it.id_prefix);
    ListDevicesRequest of ListDevices => |it| About {
        patients: match &it.worn_by {
            Some(WornBy::PatientId(of)) => ids([of]),
            Some(WornBy::Nobody(_)) | None => Vec::new(),
        },
        ..listed(&it.site_id, &it.id_prefix)
    };
    ListBindingsRequest of ListBindings => |it| match &it.of {
        Some(Of::DeviceId(of)) => device(of),
        Some(Of::PatientId(of)) => patient(of),
        None => About::default(),
    };

    GetProfileRequest of GetProfile => |it| About {
        text: versioned(it),
        ..owner(it.owner.as_ref())
    };
    GetEffectiveProfileRequest of GetEffectiveProfile => |it| patient(&it.patient_id);
    PutProfileRequest of PutProfile => |it| owner(it.owner.as_ref());

    ListRejectedMessagesRequest of ListRejectedMessages => |it| About {
        site: id(&it.site_id),
        text: rejected(it),
        ..About::default()
    };
    RedriveRejectedMessagesRequest of RedriveRejectedMessages => |it| About {
        text: messages(&it.message_ids),
        ..About::default()
    };
    GetDeviceReportRequest of GetDeviceReport => |it| device(&it.device_id);

    ListAuditEventsRequest of ListAuditEvents => |it| About {
        text: span(it.from, it.until),
        ..patient(&it.patient_id)
    };
}

fn id<Id: FromStr>(text: &str) -> Option<Id> {
    text.parse().ok()
}

fn ids<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<PatientId> {
    texts.into_iter().filter_map(|text| id(text)).collect()
}

fn patient(text: &String) -> About {
    About { patients: ids([text]), ..About::default() }
}

fn device(text: &str) -> About {
    let device: Option<DeviceId> = id(text);
    let text = device.as_ref().map(|device| format!("device {device}")).unwrap_or_default();
    About { device, text, ..About::default() }
}

fn site(text: &str) -> About {
    About { site: id(text), ..About::default() }
}

/// Only one that could be an id, because it may be any text.
fn alert(text: &str) -> About {
    let alert: Option<uuid::Uuid> = id(text);
    let text = alert.map(|alert| format!("alert {alert}")).unwrap_or_default();
    About { text, ..About::default() }
}

fn owner(owner: Option<&v1::ProfileOwner>) -> About {
    match owner.and_then(|owner| owner.owner.as_ref()) {
        Some(Owner::SiteId(of)) => site(of),
        Some(Owner::PatientId(of)) => patient(of),
        Some(Owner::Everyone(_)) => About { text: "everyone's".to_owned(), ..About::default() },
        None => About::default(),
    }
}

/// A filter of one site is about that; one of several says how many.
fn watched(request: &v1::WatchAlertsRequest) -> About {
    filtered(request.filter.as_ref())
}

fn listed_alerts(request: &v1::ListAlertsRequest) -> About {
    let about = filtered(request.filter.as_ref());
    let which = match (request.open_only, request.over_only) {
        (true, false) => "open",
        (false, true) => "over",
        _ => "",
    };
    let rules = counted(request.rule_ids.len(), "rule");
    let text = joined([which.to_owned(), about.text, rules, span(request.from, request.until)]);
    About { text, ..about }
}

fn burden(request: &v1::GetAlarmBurdenRequest) -> About {
    let about = at_sites(&request.site_ids);
    let text = joined([about.text, span(request.from, request.until)]);
    About { text, ..about }
}

fn filtered(filter: Option<&v1::AlertFilter>) -> About {
    let Some(filter) = filter else { return About::default() };
    About { patients: ids(&filter.patient_ids), ..at_sites(&filter.site_ids) }
}

/// One site is named, several are counted.
fn at_sites(site_ids: &[String]) -> About {
    let site = match site_ids {
        [only] => id(only),
        _ => None,
    };
    let text = counted(if site.is_some() { 0 } else { site_ids.len() }, "site");
    About { site, text, ..About::default() }
}

/// What a prefix may be the beginning of is an id too.
fn listed(site_id: &str, id_prefix: &str) -> About {
    let begins: Option<PatientId> = id(id_prefix);
    let text = begins.map(|prefix| format!("ids that begin with {prefix}")).unwrap_or_default();
    About { text, ..site(site_id) }
}

fn versioned(request: &v1::GetProfileRequest) -> String {
    let version = match request.version {
        0 => String::new(),
        version => format!("version {version}"),
    };
    joined([owner(request.owner.as_ref()).text, version])
}

fn live(request: &v1::WatchVitalsRequest) -> About {
    let site = match request.site_ids.as_slice() {
        [only] => id(only),
        _ => None,
    };
    let sites = if site.is_some() { 0 } else { request.site_ids.len() };
    let text = joined([counted(sites, "site"), counted(request.vitals.len(), "vital")]);
    About { patients: ids(&request.patient_ids), site, text, ..About::default() }
}

fn rejected(request: &v1::ListRejectedMessagesRequest) -> String {
    let payloads = if request.with_payload { "with payloads" } else { "" };
    let device = device(&request.device_id).text;
    joined([device, span(request.from, request.until), payloads.to_owned()])
}

fn messages(texts: &[String]) -> String {
    let named = texts.iter().filter_map(|text| id::<MessageId>(text));
    let named: Vec<_> = named.take(MESSAGES_NAMED_MAX).map(|message| message.to_string()).collect();
    joined([counted(texts.len(), "message"), named.join(", ")])
}

/// From when to when, as far as it was said.
fn span(from: Option<prost_types::Timestamp>, until: Option<prost_types::Timestamp>) -> String {
    let part = |word: &str, time: Option<prost_types::Timestamp>| {
        time.and_then(timestamp).map(|time| format!("{word} {time}")).unwrap_or_default()
    };
    joined([part("from", from), part("until", until)])
}

/// Those parts that say something.
fn joined<const N: usize>(parts: [String; N]) -> String {
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => String::new(),
        1 => format!("1 {what}"),
        more => format!("{more} {what}s"),
    }
}
