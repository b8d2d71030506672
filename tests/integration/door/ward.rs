//! Two sites that must not know of each other, with the same things in each; and what things that
//! there are not would be called.

use jiff::{SignedDuration, Timestamp};
use prost::Message;
use pulseward::engine::audit::Method;
use pulseward::proto::v1;
use pulseward_sim::encode::{self, Encoding};
use pulseward_sim::sample::{Batch, Sample, Vital};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::raw::call;
use crate::support::house::House;
use crate::support::publishing::publish;
use crate::support::sql::Sql;
use crate::support::tokens::Issuer;
use crate::support::wait::{wait_for, wait_until};

/// The site of callers.
pub(super) const NEAR: &str = "north";
/// The site of others.
pub(super) const FAR: &str = "south";
/// What is nowhere: as long as the other, so that answers may be compared byte for byte.
pub(super) const NOWHERE: &str = "ghost";

/// What the things of a site are called.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) site: &'static str,
    pub(super) patient: String,
    /// One that may be erased.
    pub(super) leaving: String,
    pub(super) device: String,
    pub(super) other_device: String,
    pub(super) alert: String,
    pub(super) etag: String,
    /// The number of a patient who was erased.
    pub(super) erased: u32,
    /// A message that was refused.
    pub(super) message: String,
}

impl Names {
    /// Those of things that there are not. Numbers and ids are as long as those that there are.
    fn of(site: &'static str) -> Self {
        Self {
            site,
            patient: format!("p-{site}"),
            leaving: format!("leaving-{site}"),
            device: format!("d-{site}"),
            other_device: format!("e-{site}"),
            alert: Uuid::from_u128(7).to_string(),
            etag: "1".to_owned(),
            erased: 9,
            message: String::new(),
        }
    }
}

/// The house with both sites, and an administrator of all.
pub(super) struct Ward {
    pub(super) house: House,
    pub(super) issuer: Issuer,
    pub(super) channel: Channel,
    pub(super) near: Names,
    pub(super) far: Names,
    pub(super) nowhere: Names,
    root: String,
}

impl Ward {
    pub(super) async fn start() -> Self {
        let issuer = Issuer::new();
        let mut environment = issuer.environment();
        // Each attempt is to be on record by itself, and none is to be refused for their number.
        environment.push(("PULSEWARD_AUTH__REFUSALS_RECORDED_PER_MINUTE", "60000".to_owned()));
        environment.push(("PULSEWARD_GRPC__CALLS_BURST_MAX", "1000000".to_owned()));
        let house = House::start_under(Sql::sqlite(), environment, Vec::new()).await;
        let url = house.grpc_url().await;
        let channel = Endpoint::from_shared(url).expect("an address").connect_lazy();
        let root = issuer.token("root", "admin", &["*"]);
        let [near, far, nowhere] = [NEAR, FAR, NOWHERE].map(Names::of);
        let mut ward = Self { house, issuer, channel, near, far, nowhere, root };
        for site in [NEAR, FAR] {
            ward.furnish(&Names::of(site)).await;
        }
        ward.near = ward.found(NEAR).await;
        ward.far = ward.found(FAR).await;
        ward.nowhere.message = nowhere_like(&ward.far.message);
        ward
    }

    async fn ask<A: Message + Default>(&self, method: Method, request: impl Message) -> A {
        let answer = call(&self.channel, method, request.encode_to_vec(), Some(&self.root)).await;
        let answer = answer.unwrap_or_else(|status| panic!("{method:?}: {status}"));
        A::decode(answer.as_slice()).expect("an answer")
    }

    async fn furnish(&self, names: &Names) {
        let site_id = names.site.to_owned();
        let _: v1::Site = self
            .ask(
                Method::CreateSite,
                v1::CreateSiteRequest {
                    site_id: site_id.clone(),
                    display_name: site_id.clone(),
                    time_zone: "UTC".into(),
                    request_id: String::new(),
                },
            )
            .await;
        for patient_id in [names.patient.clone(), names.leaving.clone(), gone(names.site)] {
            let request = v1::CreatePatientRequest {
                patient_id,
                site_id: site_id.clone(),
                ..Default::default()
            };
            let _: v1::Patient = self.ask(Method::CreatePatient, request).await;
        }
        for device_id in [names.device.clone(), names.other_device.clone()] {
            let request = v1::CreateDeviceRequest {
                device_id,
                site_id: site_id.clone(),
                ..Default::default()
            };
            let _: v1::Device = self.ask(Method::CreateDevice, request).await;
        }
        let _: v1::ProfileVersion = self.ask(Method::PutProfile, profile_of_site(names.site)).await;
        let _: v1::RecordReadingsResponse =
            self.ask(Method::RecordReadings, fast_pulse(&names.patient, 1)).await;
        publish(&self.house.broker.url(), vec![of_nobody(names.site)]).await;
    }

    /// What the service called the things of a site.
    async fn found(&self, site: &'static str) -> Names {
        let alert = self.alert(site).await;
        let message = self.message(site).await;
        let patient_id = gone(site);
        let erase = v1::ErasePatientRequest {
            confirm_patient_id: patient_id.clone(),
            patient_id,
            ..Default::default()
        };
        let erased: v1::Erasure = self.ask(Method::ErasePatient, erase).await;
        let erased = erased.patient_number;
        let stored = format!("SELECT count(*) FROM erasures WHERE patient_key = {erased}");
        wait_until("the erasure to be stored", async || self.house.sql.number(&stored).await == 1)
            .await;
        Names { alert: alert.alert_id, etag: alert.etag, message, erased, ..Names::of(site) }
    }

    async fn alert(&self, site: &str) -> v1::Alert {
        let request = v1::WatchAlertsRequest::default();
        wait_for("the alert to be open", async || {
            let first: v1::WatchAlertsResponse =
                self.ask(Method::WatchAlerts, request.clone()).await;
            let Some(v1::watch_alerts_response::Message::Snapshot(snapshot)) = first.message else {
                panic!("a snapshot comes first")
            };
            snapshot.alerts.into_iter().find(|alert| alert.site_id == site)
        })
        .await
    }

    async fn message(&self, site: &str) -> String {
        let request =
            v1::ListRejectedMessagesRequest { site_id: site.to_owned(), ..Default::default() };
        wait_for("the refused message to be listed", async || {
            let page: v1::ListRejectedMessagesResponse =
                self.ask(Method::ListRejectedMessages, request.clone()).await;
            page.messages.into_iter().next().map(|message| message.message_id)
        })
        .await
    }
}

/// The id of a message that the same journal never held.
fn nowhere_like(message: &str) -> String {
    let (journal, _) = message.split_at(message.len() - 16);
    format!("{journal}00000000000fffff")
}

/// One who is erased before anybody comes.
fn gone(site: &str) -> String {
    format!("gone-{site}")
}

fn span(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

pub(super) fn ago(seconds: i64) -> Option<prost_types::Timestamp> {
    let at = Timestamp::now() - SignedDuration::from_secs(seconds);
    Some(prost_types::Timestamp { seconds: at.as_second(), nanos: 0 })
}

/// One rule: a pulse over 120, told by a single reading.
pub(super) fn rules() -> v1::Profile {
    let level = v1::LimitLevel {
        priority: v1::Priority::High.into(),
        limit: 120.0,
        sustained: Some(v1::Sustained { delay: span(0), max_gap: span(60) }),
        spot: Some(v1::Spot { n: 1, of: 1, within: span(3600) }),
        ..v1::LimitLevel::default()
    };
    let limit = v1::LimitRule {
        vital: v1::Vital::PulseRate.into(),
        side: v1::Side::Above.into(),
        levels: vec![level],
        ..v1::LimitRule::default()
    };
    let rule = v1::Rule {
        rule_id: "pulse-high".into(),
        kind: Some(v1::rule::Kind::Limit(limit)),
        ..v1::Rule::default()
    };
    v1::Profile { rules: vec![rule] }
}

fn profile_of_site(site: &str) -> v1::PutProfileRequest {
    let owner = v1::profile_owner::Owner::SiteId(site.to_owned());
    v1::PutProfileRequest {
        owner: Some(v1::ProfileOwner { owner: Some(owner) }),
        profile: Some(rules()),
        ..Default::default()
    }
}

/// A pulse of 200, so many seconds ago.
pub(super) fn fast_pulse(patient: &str, seconds_ago: i64) -> v1::RecordReadingsRequest {
    let reading = v1::Reading {
        measured: ago(seconds_ago).map(v1::reading::Measured::MeasuredAt),
        vital: v1::Vital::PulseRate.into(),
        value: Some(v1::reading::Value::Quantity(200.0)),
        ..v1::Reading::default()
    };
    v1::RecordReadingsRequest {
        patient_id: patient.to_owned(),
        readings: vec![reading],
        request_id: String::new(),
    }
}

/// What a device sent that nobody knows.
fn of_nobody(site: &str) -> pulseward_sim::publish::Message {
    let now = Timestamp::now();
    let sample = Sample { measured_at: now, vital: Vital::HeartRate, value: 70.0 };
    let device = format!("x-{site}").into();
    let batch = Batch { device, boot_id: 1, first_seq: 1, samples: vec![sample] };
    encode::message(site, batch, Encoding::Protobuf, now)
}
