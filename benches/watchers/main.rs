//! How long an event takes to a clinician, to one watcher alone and to a thousand, of whom fifty
//! never read; and what a watcher costs.
//!
//! `cargo bench --bench watchers [-- WATCHERS [EVENTS]]`: the service runs here, without a broker
//! and over SQLite, and the watchers in a process of their own, over loopback: each on a connection
//! of its own, and again twenty on one, as behind a proxy. Beside them stands what the machine takes
//! for as many bytes on as many connections without gRPC. An event is a note on an open alert; its time runs from the service's receipt of the
//! request to the client's receipt of the event, both by the same clock, so that it holds the
//! journal's fsync for all alike. All rounds are of one run and one rate.
//!
//! What never reads takes no more of a stream than HTTP/2 lets the service send ahead. A burst then
//! makes all of them lag; after the time in which they might have gone on, they read what there is:
//! their streams must end with the cursor to resume from.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod bare;
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

use self::bare::Bare;
use self::process::{Crowd, Took, cpu_micros, rss_bytes};
use self::ward::Ward;

const WATCHERS: usize = 1_000;
/// One in so many never reads.
const ASLEEP_SHARE: usize = 20;
/// Streams on a connection, where they share one.
const SHARED_BY: usize = 20;
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
/// Where bytes alone take longer than that: how much longer than they.
const BARE_RATIO_MAX: f64 = 2.0;

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
    let mut ward = Ward::with_an_alert(url).await?;
    let own = own_connections(url, &mut ward, watchers, events).await?;
    let shared = shared_connections(url, &mut ward, watchers, events).await?;
    let bare = bare_connections(url, watchers, events).await?;
    let times = |took: Took, of: Took| took.p99_micros as f64 / of.p99_micros as f64;
    for (name, took) in [("a connection each", own.all), ("a connection for twenty", shared)] {
        let (alone, bytes) = (times(took, own.alone), times(took, bare));
        println!(
            "{name}: p99 {alone:.1} times that of one watcher alone (at most {RATIO_MAX}), {bytes:.1} \
             times that of bytes alone (at most {BARE_RATIO_MAX}, where those take longer)"
        );
    }
    println!("bytes alone: {:.1} times one watcher alone", times(bare, own.alone));
    let is_fast = times(own.all, own.alone) <= RATIO_MAX
        || times(bare, own.alone) > RATIO_MAX && times(own.all, bare) <= BARE_RATIO_MAX;
    ensure!(is_fast && own.are_closed, "not as promised");
    Ok(())
}

/// What came of the watchers with a connection each.
struct Own {
    alone: Took,
    all: Took,
    /// Whether those that never read were closed with their cursor.
    are_closed: bool,
}

async fn own_connections(
    url: &str,
    ward: &mut Ward,
    watchers: usize,
    events: usize,
) -> Result<Own> {
    let asleep = watchers / ASLEEP_SHARE;
    let mut crowd = Crowd::start(url)?;
    crowd.open(1, 0, 1).await?;
    let alone = round("1 watcher", ward, &mut crowd, events).await?;

    let before = rss_bytes()?;
    crowd.open(watchers - 1 - asleep, asleep, 1).await?;
    let grown = growth(before, rss_bytes()?, watchers);
    println!("{watchers} watchers, {asleep} of whom never read: {grown}");
    let all = round("a connection each", ward, &mut crowd, events).await?;

    let told = ward.burst(BURST).await?;
    crowd.heard(ward.told).await?;
    let grown = growth(before, rss_bytes()?, watchers);
    println!("a burst of {BURST} events at {told:.0} a second: {grown}");
    tokio::time::sleep(PATIENCE).await;
    let (closed, others) = crowd.wake().await?;
    println!("of {asleep} asleep, {closed} were closed with their cursor, {others} otherwise");
    Ok(Own { alone, all, are_closed: closed == asleep })
}

/// The same, where a proxy in front of the service, or a dashboard's server, carries the streams of
/// twenty over one connection.
async fn shared_connections(
    url: &str,
    ward: &mut Ward,
    watchers: usize,
    events: usize,
) -> Result<Took> {
    let asleep = watchers / ASLEEP_SHARE;
    let mut crowd = Crowd::start(url)?;
    crowd.is_told(ward.told).await?;
    crowd.open(watchers - asleep, asleep, SHARED_BY).await?;
    round("a connection for twenty", ward, &mut crowd, events).await
}

/// How long bytes alone take to as many.
async fn bare_connections(url: &str, watchers: usize, events: usize) -> Result<Took> {
    let count = watchers - watchers / ASLEEP_SHARE;
    let mut crowd = Crowd::start(url)?;
    let bare = Bare::bind().await?;
    let address = bare.address()?;
    let accepting = tokio::spawn(bare.accept(count));
    crowd.open_bare(address, count).await?;
    let mut bare = accepting.await??;
    bare.tell(WARM_UP, PACE).await?;
    crowd.heard(bare.told).await?;
    crowd.forget().await?;
    let cpu = cpu_micros()?;
    bare.tell(events, PACE).await?;
    crowd.heard(bare.told).await?;
    told("bare connections", crowd.took().await?, cpu_micros()? - cpu)
}

/// How long a number of events take to all who read.
async fn round(name: &str, ward: &mut Ward, crowd: &mut Crowd, events: usize) -> Result<Took> {
    ward.tell(WARM_UP, PACE).await?;
    crowd.heard(ward.told).await?;
    crowd.forget().await?;
    let cpu = cpu_micros()?;
    ward.tell(events, PACE).await?;
    crowd.heard(ward.told).await?;
    told(name, crowd.took().await?, cpu_micros()? - cpu)
}

fn told(name: &str, took: Took, cpu_micros: u64) -> Result<Took> {
    let each = cpu_micros as f64 / took.count as f64;
    println!("{name}: {took}, {each:.1} us of this process's time for each");
    Ok(took)
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
