//! How long an event takes to a clinician, to one watcher alone and to a thousand, of whom fifty
//! never read; and what a watcher costs.
//!
//! `cargo bench --bench watchers [-- WATCHERS [EVENTS]]`: the service runs here, without a broker
//! and over SQLite, and the watchers in a process of their own, each on a connection of its own over
//! loopback. An event is a note on an open alert; its time runs from the service's receipt of the
//! request to the client's receipt of the event, both by the same clock, so that it holds the
//! journal's fsync for all alike. Both rounds are of one run and one rate.
//!
//! What never reads takes no more of a stream than HTTP/2 lets the service send ahead. A burst then
//! makes all of them lag; after the time in which they might have gone on, they read what there is:
//! their streams must end with the cursor to resume from.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod crowd;
mod process;
mod ward;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pulseward::config::Config;
use pulseward::service::Service;
use pulseward::store::OnGap;
use pulseward::telemetry::install_metrics;
use tokio_util::sync::CancellationToken;

use self::process::{Crowd, rss_bytes};
use self::ward::Ward;

const WATCHERS: usize = 1_000;
/// One in so many never reads.
const ASLEEP_SHARE: usize = 20;
/// Events of a round: enough for a 99th percentile that four of them lie beyond.
const EVENTS: usize = 400;
/// Events before a round that don't count.
const WARM_UP: usize = 40;
/// Between two events of a round: busier than any ward, and no pile-up.
const PACE: Duration = Duration::from_millis(40);
/// More events than a stream's window and a watcher's queue hold.
const BURST: usize = 2_000;
/// Longer than the service lets a watcher that lags come back.
const PATIENCE: Duration = Duration::from_secs(27);
/// How much longer an event may take to a thousand than to one.
const RATIO_MAX: f64 = 5.0;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    if let [role, url] = &arguments[..]
        && role == process::ROLE
    {
        return runtime.block_on(crowd::run(url));
    }
    let number = |index: usize, default| arguments.get(index).map_or(Ok(default), |it| it.parse());
    runtime.block_on(measure(number(0, WATCHERS)?, number(1, EVENTS)?))
}

async fn measure(watchers: usize, events: usize) -> Result<()> {
    let home = tempfile::tempdir().context("making a directory")?;
    let text = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:9\"\n[store]\nurl = \"sqlite:{}\"\n\
         [journal]\ndir = {:?}\n[grpc]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
        home.path().join("readings.sqlite").display(),
        home.path().join("journal"),
    );
    let config = Config::parse("the benchmark's configuration", &text, [])?;
    let service = Service::build(&config, OnGap::Refuse, install_metrics()?).await?;
    let url = format!("http://{}", service.addresses().grpc);
    let stop = CancellationToken::new();
    let running = tokio::spawn(service.run(stop.clone()));
    let measured = rounds(&url, watchers, events).await;
    stop.cancel();
    running.await?.context("the service")?;
    measured
}

async fn rounds(url: &str, watchers: usize, events: usize) -> Result<()> {
    let asleep = watchers / ASLEEP_SHARE;
    let mut ward = Ward::with_an_alert(url).await?;
    let mut crowd = Crowd::start(url)?;

    crowd.open(1, 0).await?;
    let alone = round(&mut ward, &mut crowd, events).await?;
    println!("1 watcher:       {alone}");

    let before = rss_bytes()?;
    crowd.open(watchers - 1 - asleep, asleep).await?;
    let opened = rss_bytes()?;
    println!(
        "{watchers} watchers, {asleep} of whom never read: {}",
        growth(before, opened, watchers)
    );
    let all = round(&mut ward, &mut crowd, events).await?;
    println!("{} readers:     {all}", watchers - asleep);

    let told = ward.burst(BURST).await?;
    crowd.heard(ward.told).await?;
    println!(
        "a burst of {BURST} events at {told:.0} a second: {}",
        growth(before, rss_bytes()?, watchers)
    );
    tokio::time::sleep(PATIENCE).await;
    let (closed, others) = crowd.wake().await?;
    println!(
        "of {asleep} that never read, {closed} were closed with their cursor, {others} otherwise"
    );
    let ratio = all.p99_micros as f64 / alone.p99_micros as f64;
    println!("p99 of the readers: {ratio:.1} times that of one alone (at most {RATIO_MAX})");
    ensure!(ratio <= RATIO_MAX && closed == asleep, "not as promised");
    Ok(())
}

/// How long a number of events take to all who read.
async fn round(ward: &mut Ward, crowd: &mut Crowd, events: usize) -> Result<process::Took> {
    ward.tell(WARM_UP, PACE).await?;
    crowd.heard(ward.told).await?;
    crowd.forget().await?;
    ward.tell(events, PACE).await?;
    crowd.heard(ward.told).await?;
    crowd.took().await
}

fn growth(before: u64, after: u64, watchers: usize) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let grown = after.saturating_sub(before);
    format!(
        "the service takes {:.1} MiB, {:.1} KiB more for each watcher",
        mib(after),
        grown as f64 / 1024.0 / watchers as f64
    )
}
