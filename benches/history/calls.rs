//! The calls that are measured, each for another patient and another day.

use anyhow::{Result, ensure};
use prost_types::{Duration as WireDuration, Timestamp as WireTimestamp};
use pulseward::proto::v1::vitals_service_client::VitalsServiceClient;
use pulseward::proto::v1::{AggregateReadingsRequest, GetLatestVitalsRequest, ListReadingsRequest};
use tonic::transport::Channel;

use crate::fleet::{Fleet, PATIENTS, VITALS};

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// Spreads calls over patients and days: it shares no divisor with their numbers.
const STRIDE: u32 = 7_919;
/// A day of one patient is far less.
const PAGE_SIZE: i32 = 10_000;

/// A clinician in a hurry.
pub(crate) struct Caller {
    client: VitalsServiceClient<Channel>,
    days: i64,
    until_seconds: i64,
}

impl Caller {
    pub(crate) fn new(channel: Channel, fleet: &Fleet) -> Self {
        Self {
            client: VitalsServiceClient::new(channel),
            days: i64::try_from(fleet.days()).unwrap_or(i64::MAX),
            until_seconds: fleet.until.micros() / 1_000_000,
        }
    }

    pub(crate) async fn patient_day(&self, call: u32) -> Result<usize> {
        let back = i64::from(call.wrapping_mul(STRIDE)) % self.days;
        let until = self.until_seconds - back * DAY_SECONDS;
        let request = ListReadingsRequest {
            patient_id: patient(call),
            vitals: vec![],
            from: wire(until - DAY_SECONDS),
            until: wire(until),
            page_size: PAGE_SIZE,
            page_token: String::new(),
        };
        let page = self.client.clone().list_readings(request).await?.into_inner();
        ensure!(page.next_page_token.is_empty() && !page.readings.is_empty(), "not a day's page");
        Ok(page.readings.len())
    }

    pub(crate) async fn thirty_days(&self, call: u32) -> Result<usize> {
        self.aggregate(call, VITALS.to_vec()).await
    }

    pub(crate) async fn one_vital(&self, call: u32) -> Result<usize> {
        self.aggregate(call, vec![VITALS[0]]).await
    }

    async fn aggregate(&self, call: u32, vitals: Vec<i32>) -> Result<usize> {
        let request = AggregateReadingsRequest {
            patient_id: patient(call),
            vitals,
            from: wire(self.until_seconds - 30 * DAY_SECONDS),
            until: wire(self.until_seconds),
            bucket: Some(WireDuration { seconds: 3600, nanos: 0 }),
            page_size: PAGE_SIZE,
            page_token: String::new(),
        };
        let page = self.client.clone().aggregate_readings(request).await?.into_inner();
        ensure!(page.next_page_token.is_empty() && !page.buckets.is_empty(), "not a month's page");
        Ok(page.buckets.len())
    }

    pub(crate) async fn latest(&self, call: u32) -> Result<usize> {
        let request = GetLatestVitalsRequest { patient_id: patient(call), vitals: vec![] };
        Ok(self.client.clone().get_latest_vitals(request).await?.into_inner().readings.len())
    }
}

fn patient(call: u32) -> String {
    format!("p-{}", call.wrapping_mul(STRIDE) % PATIENTS)
}

fn wire(seconds: i64) -> Option<WireTimestamp> {
    Some(WireTimestamp { seconds, nanos: 0 })
}
