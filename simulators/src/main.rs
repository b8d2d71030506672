//! `pulseward-sim`: arguments → settings → run.
//!
//! Progress and complaints go to standard error, the summary to standard output. The exit code is
//! 0 only if everything was done.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use pulseward_sim::bench;
use pulseward_sim::encode::Encoding;
use pulseward_sim::fleet::arguments::SummaryForm;
use pulseward_sim::fleet::{self, Fleet};
use pulseward_sim::publish::Broker;
use pulseward_sim::replay::{Replay, Settings, Show, Speed, Start};
use pulseward_sim::verify;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Simulated devices for Pulseward, by MQTT and gRPC only.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish recorded vitals as devices bidmc-01, bidmc-02, … told by the files' names.
    Replay(Box<ReplayArguments>),
    /// Drive a seeded fleet with episodes and faults, and record all that goes in and comes out.
    Fleet(Box<fleet::arguments::Arguments>),
    /// Hold a recorded run against what the service has stored and raised. Exits with 1 if
    /// anything is not as it must be, with 2 if it can't be told.
    Verify(Box<verify::arguments::Arguments>),
    /// Measure the whole service on this machine, beside the same broker, disk and database without
    /// it. Fails if a target is missed.
    Bench(Box<bench::arguments::Arguments>),
}

#[derive(Debug, Args)]
struct ReplayArguments {
    /// Recordings, such as bidmc_01_Numerics.csv.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Format of the files.
    #[arg(long, value_enum)]
    format: Format,
    /// The broker: mqtt://[USER[:PASSWORD]@]HOST[:PORT].
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    mqtt: Broker,
    /// First make site, patients, devices and bindings known to the service, over gRPC.
    #[arg(long, value_name = "URL")]
    enroll: Option<String>,
    /// The site of patients and devices.
    #[arg(long, value_name = "ID", default_value = "bidmc", value_parser = site)]
    site: String,
    /// When the recordings' time 0 was: a time with an offset (2026-01-31T08:15:00Z), or now.
    /// A replay faster than life has to start in the past.
    #[arg(long, value_name = "TIME", default_value = "now")]
    start: Start,
    /// How many times faster than measured to send, or max. Measured times keep their spacing.
    #[arg(long, value_name = "N|max", default_value = "1")]
    speed: Speed,
    /// How many seconds of a recording one message carries.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=600))]
    batch: u16,
    /// How messages are encoded.
    #[arg(long, value_enum, default_value_t)]
    encoding: Encoding,
    /// Upload interval of new bindings, such as 15m: readings older than this and two minutes are
    /// late and raise no alarm. By default long enough for this replay.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    upload_interval: Option<SignedDuration>,
    /// MQTT connections over which the devices are spread.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Boot id of every device. By default told by the start, so that a re-run with the same
    /// start is recognised as one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    boot_id: Option<u64>,
    /// How long the broker may be away before the replay gives up, such as 1m.
    #[arg(long, value_name = "SPAN", default_value = "1m", value_parser = span)]
    patience: SignedDuration,
    /// Form of the closing summary.
    #[arg(long, value_enum, default_value_t)]
    summary: SummaryForm,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// BIDMC numerics: Time [s], HR, PULSE, RESP, SpO2; NaN is missing.
    Bidmc,
}

impl From<ReplayArguments> for Settings {
    fn from(arguments: ReplayArguments) -> Self {
        let Format::Bidmc = arguments.format;
        Self {
            files: arguments.files,
            broker: arguments.mqtt,
            enroll: arguments.enroll,
            site: arguments.site,
            start: arguments.start,
            speed: arguments.speed,
            batch: Duration::from_secs(arguments.batch.into()),
            encoding: arguments.encoding,
            upload_interval: arguments.upload_interval,
            connections: arguments.connections.into(),
            boot_id: arguments.boot_id,
            patience: arguments.patience.unsigned_abs(),
            show: Show::Terminal,
        }
    }
}

/// A site's id: 1 to 64 of `A-Z a-z 0-9 . _ -`, as it stands in topics.
fn site(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err("an id is 1 to 64 of A-Z a-z 0-9 . _ -".to_owned())
}

fn span(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(span) if !span.is_negative() => Ok(span),
        _ => Err(format!("{text:?} is no span such as 90s, 15m or 2h")),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done = match Arguments::parse().command {
        Command::Replay(arguments) => replay(*arguments).await.map(|()| true),
        Command::Fleet(arguments) => fleet(*arguments).await.map(|()| true),
        Command::Verify(arguments) => return verify(*arguments).await,
        Command::Bench(arguments) => bench::command::run(&arguments, asked_to_end()).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _written = writeln!(std::io::stderr(), "pulseward-sim: {}", causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes. Libraries often say their cause themselves; it is not said twice.
fn causes(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !said.contains(&cause) {
            let joint = if said.is_empty() { "" } else { ": " };
            said = format!("{said}{joint}{cause}");
        }
    }
    said
}

async fn replay(arguments: ReplayArguments) -> anyhow::Result<()> {
    let form = arguments.summary;
    let (summary, whole) = Replay::read(arguments.into())?.run(interrupted()).await?;
    write_summary(&summary, form)?;
    whole
}

async fn fleet(arguments: fleet::arguments::Arguments) -> anyhow::Result<()> {
    let form = arguments.summary;
    let summary = Fleet::new(arguments.settings()?)?.run(interrupted()).await?;
    write_summary(&summary, form)
}

/// 0 if all is as it must be, 1 if not, 2 if it can't be told.
async fn verify(arguments: verify::arguments::Arguments) -> ExitCode {
    let told = match verify::run(&arguments.into()).await {
        Ok(report) => {
            let written = writeln!(std::io::stdout(), "{}", verify::Summary(&report));
            written.map(|()| report.is_good).map_err(anyhow::Error::from)
        }
        Err(error) => Err(error.into()),
    };
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _written = writeln!(std::io::stderr(), "pulseward-sim: {}", causes(&error));
            ExitCode::from(2)
        }
    }
}

/// Completes at Ctrl-C; never, where signals can't be had.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

/// Completes when somebody asks us to end in any of the usual ways.
async fn asked_to_end() {
    let (Ok(mut terminate), Ok(mut hang_up)) =
        (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return interrupted().await;
    };
    tokio::select! {
        () = interrupted() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}

fn write_summary(
    summary: &(impl fmt::Display + Serialize),
    form: SummaryForm,
) -> anyhow::Result<()> {
    let text = match form {
        SummaryForm::Text => summary.to_string(),
        SummaryForm::Json => serde_json::to_string(summary)?,
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
