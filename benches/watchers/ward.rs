//! What is watched: one patient with one open alert, on which notes are written.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use prost_types::{Duration as WireDuration, Timestamp as WireTimestamp};
use pulseward::clock::{Clock as _, SystemClock};
use pulseward::proto::v1;
use pulseward::proto::v1::alert_service_client::AlertServiceClient;
use pulseward::proto::v1::profile_service_client::ProfileServiceClient;
use pulseward::proto::v1::registry_service_client::RegistryServiceClient;
use pulseward::proto::v1::vitals_service_client::VitalsServiceClient;
use tonic::transport::{Channel, Endpoint};

/// As long as people's notes are.
const NOTE: &str =
    "Seen at the bedside, comfortable, oxygen mask refitted; will look again at four.";
const RULE: &str = "hr-high";
/// Notes under way at once in a burst: they share commits.
const AT_ONCE: usize = 32;

pub(crate) struct Ward {
    alerts: AlertServiceClient<Channel>,
    alert_id: String,
    /// Events so far that every watcher is told of who was there from the beginning.
    pub(crate) told: usize,
}

impl Ward {
    pub(crate) async fn with_an_alert(url: &str) -> Result<Self> {
        let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
        let mut registry = RegistryServiceClient::new(channel.clone());
        let (site_id, patient_id) = ("ward".to_owned(), "p-1".to_owned());
        let site = v1::CreateSiteRequest { site_id: site_id.clone(), ..Default::default() };
        registry.create_site(site).await?;
        let patient_id_of = patient_id.clone();
        let patient =
            v1::CreatePatientRequest { patient_id: patient_id_of, site_id, ..Default::default() };
        registry.create_patient(patient).await?;
        ProfileServiceClient::new(channel.clone()).put_profile(profile()).await?;
        let record = v1::RecordReadingsRequest {
            patient_id,
            readings: vec![reading()],
            ..Default::default()
        };
        VitalsServiceClient::new(channel.clone()).record_readings(record).await?;
        let mut alerts = AlertServiceClient::new(channel);
        let request = v1::ListAlertsRequest { open_only: true, ..Default::default() };
        let open = alerts.list_alerts(request).await?.into_inner().alerts;
        let alert = open.into_iter().find(|alert| alert.rule_id == RULE);
        let alert_id = alert.context("the reading raises an alert")?.alert_id;
        Ok(Self { alerts, alert_id, told: 0 })
    }

    /// So many events, one after the other at this pace.
    pub(crate) async fn tell(&mut self, events: usize, pace: Duration) -> Result<()> {
        let mut rhythm = tokio::time::interval(pace);
        for _ in 0..events {
            rhythm.tick().await;
            self.alerts.add_alert_note(self.note()).await?;
            self.told += 1;
        }
        Ok(())
    }

    /// So many events as fast as they go; how many a second that was.
    pub(crate) async fn burst(&mut self, events: usize) -> Result<f64> {
        let begun = Instant::now();
        let notes = stream::iter(std::iter::repeat_n(self.note(), events));
        let alerts = &self.alerts;
        let sent = notes.map(|note| async move { alerts.clone().add_alert_note(note).await });
        sent.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await?;
        self.told += events;
        Ok(events as f64 / begun.elapsed().as_secs_f64())
    }

    fn note(&self) -> v1::AddAlertNoteRequest {
        let (alert_id, note) = (self.alert_id.clone(), NOTE.to_owned());
        v1::AddAlertNoteRequest { alert_id, note, ..Default::default() }
    }
}

fn profile() -> v1::PutProfileRequest {
    let span = |seconds| Some(WireDuration { seconds, nanos: 0 });
    let level = v1::LimitLevel {
        priority: v1::Priority::High.into(),
        limit: 120.0,
        spot: Some(v1::Spot { n: 1, of: 1, within: span(3600) }),
        ..Default::default()
    };
    let limit = v1::LimitRule {
        vital: v1::Vital::HeartRate.into(),
        side: v1::Side::Above.into(),
        levels: vec![level],
        ..Default::default()
    };
    let rule = v1::Rule {
        rule_id: RULE.to_owned(),
        kind: Some(v1::rule::Kind::Limit(limit)),
        ..Default::default()
    };
    let owner = v1::profile_owner::Owner::Everyone(v1::profile_owner::Everyone {});
    v1::PutProfileRequest {
        owner: Some(v1::ProfileOwner { owner: Some(owner) }),
        profile: Some(v1::Profile { rules: vec![rule] }),
        ..Default::default()
    }
}

fn reading() -> v1::Reading {
    let seconds = SystemClock.now().micros() / 1_000_000;
    v1::Reading {
        measured: Some(v1::reading::Measured::MeasuredAt(WireTimestamp { seconds, nanos: 0 })),
        vital: v1::Vital::HeartRate.into(),
        value: Some(v1::reading::Value::Quantity(150.0)),
        ..Default::default()
    }
}
