//! What it costs that nobody is answered what is not on record: `GetSite` and `GetLatestVitals` as
//! gRPC clients see them, one at a time and many at once.
//!
//! `cargo bench --bench reads [-- CALLS]`. The service stores into SQLite and has no broker. Each
//! read waits for one commit of the journal, which those that are under way at the same time share.
//! What is the sync to the disk of it shows against the same service with its journal in memory
//! (`/dev/shm`, where there is one), and what is all else against the health check, which asks nobody
//! and is not put on record. The three are measured in turns.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use pulseward::config::Config;
use pulseward::proto::v1;
use pulseward::proto::v1::registry_service_client::RegistryServiceClient;
use pulseward::proto::v1::vitals_service_client::VitalsServiceClient;
use pulseward::service::Service;
use pulseward::store::OnGap;
use pulseward::telemetry::install_metrics;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Calls of each kind, caller and round, unless told otherwise: enough for a 99th percentile.
const CALLS: u32 = 500;
const CALLERS: [usize; 2] = [1, 32];
const ROUNDS: usize = 2;
const PATIENT: &str = "p-1";
const SITE: &str = "north";

/// What is called.
#[derive(Clone, Copy, Debug)]
enum Call {
    Health,
    GetSite,
    GetLatestVitals,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let calls = arguments.next().map_or(Ok(CALLS), |text| text.parse())?;
    let memory = Path::new("/dev/shm");
    let metrics = install_metrics()?;
    let homes = [("disk", std::env::temp_dir()), ("memory", memory.to_owned())];
    for (place, parent) in homes.into_iter().filter(|(_, parent)| parent.exists()) {
        let home = tempfile::TempDir::new_in(&parent).context("making a directory")?;
        let store = tempfile::tempdir().context("making a directory")?;
        let text = format!(
            "[mqtt]\nurl = \"mqtt://127.0.0.1:9\"\n[store]\nurl = \"sqlite:{}\"\n\
             [journal]\ndir = {:?}\n[grpc]\nlisten = \"127.0.0.1:0\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n",
            store.path().join("readings.sqlite").display(),
            home.path().join("journal"),
        );
        let config = Config::parse("the benchmark's configuration", &text, [])?;
        let service = Service::build(&config, OnGap::Refuse, metrics.clone()).await?;
        let address = format!("http://{}", service.addresses().grpc);
        let stop = CancellationToken::new();
        let running = tokio::spawn(service.run(stop.clone()));
        let measured = measure(place, &address, calls).await;
        stop.cancel();
        running.await?.context("the service")?;
        measured?;
    }
    Ok(())
}

async fn measure(place: &str, address: &str, calls: u32) -> Result<()> {
    let channel = Endpoint::from_shared(address.to_owned())?.connect().await?;
    enroll(channel.clone()).await?;
    for _ in 0..ROUNDS {
        for callers in CALLERS {
            for call in [Call::Health, Call::GetSite, Call::GetLatestVitals] {
                let took = times(address, call, callers, calls).await?;
                let at = |quantile| Duration::from_nanos(took.value_at_quantile(quantile));
                println!(
                    "journal on {place:6}, {callers:2} callers, {call:?}: p50 {:.2?}, p99 {:.2?}",
                    at(0.5),
                    at(0.99)
                );
            }
        }
    }
    Ok(())
}

async fn enroll(channel: Channel) -> Result<()> {
    let mut registry = RegistryServiceClient::new(channel.clone());
    let (site_id, time_zone) = (SITE.to_owned(), "UTC".to_owned());
    let display_name = site_id.clone();
    let request_id = String::new();
    let site = v1::CreateSiteRequest { site_id, display_name, time_zone, request_id };
    registry.create_site(site).await?;
    let (patient_id, site_id) = (PATIENT.to_owned(), SITE.to_owned());
    let patient = v1::CreatePatientRequest { patient_id, site_id, request_id: String::new() };
    registry.create_patient(patient).await?;
    let latest = v1::GetLatestVitalsRequest { patient_id: PATIENT.to_owned(), vitals: vec![] };
    let mut vitals = VitalsServiceClient::new(channel);
    // Until the store has heard of the patient.
    while vitals.get_latest_vitals(latest.clone()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// How long calls took, from as many connections as there are callers.
async fn times(address: &str, call: Call, callers: usize, calls: u32) -> Result<Histogram<u64>> {
    let mut calling = JoinSet::new();
    for _ in 0..callers {
        let channel = Endpoint::from_shared(address.to_owned())?.connect().await?;
        calling.spawn(async move {
            let mut took = Histogram::<u64>::new(3)?;
            for _ in 0..calls {
                let begun = Instant::now();
                ask(channel.clone(), call).await?;
                took.record(u64::try_from(begun.elapsed().as_nanos())?)?;
            }
            anyhow::Ok(took)
        });
    }
    let mut all = Histogram::<u64>::new(3)?;
    for took in calling.join_all().await {
        all.add(took?)?;
    }
    Ok(all)
}

async fn ask(channel: Channel, call: Call) -> Result<()> {
    match call {
        Call::Health => {
            let request = HealthCheckRequest { service: String::new() };
            HealthClient::new(channel).check(request).await?;
        }
        Call::GetSite => {
            let request = v1::GetSiteRequest { site_id: SITE.to_owned() };
            RegistryServiceClient::new(channel).get_site(request).await?;
        }
        Call::GetLatestVitals => {
            let patient_id = PATIENT.to_owned();
            let request = v1::GetLatestVitalsRequest { patient_id, vitals: vec![] };
            VitalsServiceClient::new(channel).get_latest_vitals(request).await?;
        }
    }
    Ok(())
}
