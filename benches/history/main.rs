//! How long clinicians wait for history, at a given number of stored readings: `ListReadings` for a
//! patient's day and `AggregateReadings` over thirty days, as a gRPC client sees them.
//!
//! `cargo bench --bench history [-- URL [READINGS]]`: URL is a database of a Postgres that may be
//! kept busy (else `PULSEWARD_TEST_POSTGRES_URL`); a database of its own is made there and dropped
//! in the end. 50 million readings, unless told otherwise, take some 10 GB and some minutes.
//!
//! The readings are those of a thousand patients, each with five vitals every five minutes, as
//! many days back as the number asks for. They are stored in the order in which they would have
//! come, five minutes of all patients at a time, so that a patient's day is spread over as many
//! places of the disk as in real use; only COPY is left out. The service itself then sums them up
//! and answers, without a broker. Patient and day are another for each call, and calls follow each
//! other without a rest.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod calls;
mod fleet;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use pulseward::config::Config;
use pulseward::service::Service;
use pulseward::store::OnGap;
use pulseward::telemetry::{Metrics, install_metrics};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use self::calls::Caller;
use self::fleet::Fleet;

const READINGS: u64 = 50_000_000;
/// Calls of each kind: enough for a 99th percentile that ten of them lie beyond.
const CALLS: u32 = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let given = arguments.next().or_else(|| std::env::var("PULSEWARD_TEST_POSTGRES_URL").ok());
    let url = given.context("no URL of a Postgres was given")?;
    let readings = arguments.next().map_or(Ok(READINGS), |text| text.parse())?;

    let fleet = Fleet::create(&url, readings).await?;
    println!("{}", fleet.described().await?);
    let home = tempfile::tempdir().context("making a directory")?;
    let text = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:9\"\n[store]\nurl = {:?}\n\
         [journal]\ndir = {:?}\n[grpc]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
        fleet.url(),
        home.path().join("journal"),
    );
    let config = Config::parse("the benchmark's configuration", &text, [])?;
    let metrics = install_metrics()?;
    let service = Running::start(&config, &metrics).await?;
    fleet.has_tables().await?;
    service.stop().await?;
    fleet.fill().await?;
    // A service that starts sums up at once what it finds.
    let service = Running::start(&config, &metrics).await?;
    let measured = measure(&fleet, &service.address).await;
    service.stop().await?;
    fleet.drop_database().await?;
    measured
}

/// The service, at work.
struct Running {
    address: String,
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Running {
    async fn start(config: &Config, metrics: &Metrics) -> Result<Self> {
        let service = Service::build(config, OnGap::Refuse, metrics.clone()).await?;
        let address = format!("http://{}", service.addresses().grpc);
        let stop = CancellationToken::new();
        let run = service.run(stop.clone());
        let task = tokio::spawn(async { run.await.context("the service") });
        Ok(Self { address, stop, task })
    }

    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        self.task.await?
    }
}

async fn measure(fleet: &Fleet, address: &str) -> Result<()> {
    fleet.summed_up().await?;
    let channel = Endpoint::from_shared(address.to_owned())?.connect().await?;
    let caller = Caller::new(channel, fleet);
    // What was just written is not what stands on a disk: the first calls would pay for that.
    fleet.settle().await?;
    for round in ["first", "again"] {
        println!("{round}:");
        let (day, rows) = times(|call| caller.patient_day(call)).await?;
        println!("  ListReadings, a patient's day of {rows} readings:     {day}");
        let (month, rows) = times(|call| caller.thirty_days(call)).await?;
        println!("  AggregateReadings, 30 days by the hour, {rows} buckets: {month}");
        let (month, rows) = times(|call| caller.one_vital(call)).await?;
        println!("  AggregateReadings, the same of one vital, {rows} buckets: {month}");
        let (latest, rows) = times(|call| caller.latest(call)).await?;
        println!("  GetLatestVitals, {rows} vitals: {latest}");
    }
    Ok(())
}

/// How long calls took, and how much the last one brought.
async fn times<F: Future<Output = Result<usize>>>(
    mut call: impl FnMut(u32) -> F,
) -> Result<(String, usize)> {
    let mut took = Histogram::<u64>::new(3)?;
    let mut brought = 0;
    for number in 0..CALLS {
        let begun = Instant::now();
        brought = call(number).await?;
        took.record(u64::try_from(begun.elapsed().as_nanos())?)?;
    }
    let at = |quantile| Duration::from_nanos(took.value_at_quantile(quantile));
    Ok((format!("p50 {:.1?}, p99 {:.1?}, max {:.1?}", at(0.5), at(0.99), at(1.0)), brought))
}
