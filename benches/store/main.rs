//! How fast the store's follower writes readings into Postgres, beside a plain binary COPY of the
//! same rows into the same table of the same server, and what its transactions and upserts cost.
//!
//! `cargo bench --bench store [-- URL [READINGS]]`: URL is a database of a server that may be kept
//! busy (else `PULSEWARD_TEST_POSTGRES_URL`); a database of its own is made there and dropped in
//! the end. The server should sync as one for real use does (`fsync = on`).
//!
//! The rows of the plain COPY are those that the follower has stored, read back batch by batch in
//! COPY's own format: there is nothing left to do but to send them, each batch in a transaction.
//! Both begin with an empty table and after a checkpoint. The follower also upserts, in the same
//! transaction, the numbers by which each message was admitted, which the plain COPY does not: full
//! batches are measured without them, with those of 500 devices, and with those of 5,000, where
//! hardly any device occurs twice in a batch. Rates differ between machines and
//! minutes, so the two take turns, and the ratio is what counts.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod plain;
mod server;
mod ward;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pulseward::clock::SystemClock;
use pulseward::journal::Journal;
use pulseward::store::{Link, Settings, State, Writer};

use self::server::Server;
use self::ward::Numbered;

/// Half a million, in 25 full batches.
const READINGS: usize = 500_000;
/// Each of the two is measured so often; the medians are compared.
const ROUNDS: usize = 5;
/// Transactions of one message each.
const SMALL_TRANSACTIONS: usize = 1000;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let given = arguments.next().or_else(|| std::env::var("PULSEWARD_TEST_POSTGRES_URL").ok());
    let url = given.context("no URL of a Postgres was given")?;
    let readings = arguments.next().map_or(Ok(READINGS), |text| text.parse())?;

    let server = Server::prepare(&url).await?;
    println!("{}", server.described().await?);
    for numbered in Numbered::ALL {
        full_batches(&server, readings, numbered).await?;
    }
    small_transactions(&server).await?;
    upserts(&server).await?;
    server.clean_up().await
}

/// The ratio that is promised, of the readings alone and with what else their messages bring.
async fn full_batches(server: &Server, readings: usize, numbered: Numbered) -> Result<()> {
    let ward = ward::readings(readings, numbered)?;
    let settings = Settings::new(server.url()?);
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        server.empty().await?;
        rounds.follower.push(follow(&settings, &ward.journal).await?);
        anyhow::ensure!(server.count().await? == readings, "not every reading was stored");
        let batches = plain::read_back(server).await?;
        server.empty().await?;
        rounds.plain.push(plain::write(server, &batches).await?);
        rounds.batches = batches.len();
    }
    rounds.report(&format!("full batches{}", numbered.suffix()), readings);
    Ok(())
}

/// What a transaction costs when there is hardly anything in it.
async fn small_transactions(server: &Server) -> Result<()> {
    let readings = SMALL_TRANSACTIONS * ward::READINGS_PER_MESSAGE;
    let ward = ward::readings(readings, Numbered::LargeFleet)?;
    let mut settings = Settings::new(server.url()?);
    settings.batch_rows_max = ward::READINGS_PER_MESSAGE;
    settings.flush_interval = Duration::ZERO;
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        server.empty().await?;
        rounds.follower.push(follow(&settings, &ward.journal).await?);
        let batches = plain::read_back(server).await?;
        server.empty().await?;
        rounds.plain.push(plain::write(server, &batches).await?);
        rounds.batches = batches.len();
    }
    rounds.report("transactions of one message", readings);
    Ok(())
}

/// Rows that overwrite each other: every device's account, again and again.
async fn upserts(server: &Server) -> Result<()> {
    let ward = ward::accounts()?;
    let settings = Settings::new(server.url()?);
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        server.empty().await?;
        took.push(follow(&settings, &ward.journal).await?);
    }
    let rows = ward::DEVICES * ward::ACCOUNT_ROUNDS;
    println!("upserts of device_sequences: {:.0} rows/s", rate(rows, median(&mut took)));
    Ok(())
}

/// How long the follower takes from its start to the journal's end.
async fn follow(settings: &Settings, journal: &Journal) -> Result<Duration> {
    let writer = Writer::new(settings.clone(), journal.clone(), SystemClock);
    let mut state = writer.state();
    let last = journal.last();
    let begun = Instant::now();
    let done =
        |state: &State| state.cursor >= Some(last) || matches!(state.link, Link::Away { .. });
    tokio::select! {
        ended = writer.run() => ended.context("the follower ended")?,
        stored = state.wait_for(done) => {
            let link = stored?.link.clone();
            anyhow::ensure!(link == Link::Connected, "the follower does not go on: {link:?}");
        }
    }
    Ok(begun.elapsed())
}

/// What was measured, turn by turn.
#[derive(Default)]
struct Rounds {
    follower: Vec<Duration>,
    plain: Vec<Duration>,
    batches: usize,
}

impl Rounds {
    fn report(mut self, what: &str, rows: usize) {
        let (follower, plain) = (median(&mut self.follower), median(&mut self.plain));
        let each = |took: Duration| took.as_secs_f64() * 1e3 / self.batches as f64;
        println!(
            "{what}: {rows} rows in {} transactions; follower {:.0} rows/s ({:.2} ms each), plain \
             COPY {:.0} rows/s ({:.2} ms each): ratio {:.2}",
            self.batches,
            rate(rows, follower),
            each(follower),
            rate(rows, plain),
            each(plain),
            plain.as_secs_f64() / follower.as_secs_f64(),
        );
    }
}

fn median(took: &mut [Duration]) -> Duration {
    took.sort();
    took[took.len() / 2]
}

fn rate(rows: usize, took: Duration) -> f64 {
    rows as f64 / took.as_secs_f64()
}
