//! The program: arguments → configuration → telemetry → run.
//!
//! Exit codes: 0 done, 1 the service could not start or broke down, 2 the arguments or the
//! configuration are wrong.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use pulseward::cli::{Arguments, Command};
use pulseward::config::{self, Config};
use pulseward::service::{self, Service};
use pulseward::telemetry;
use tokio_util::sync::CancellationToken;

/// As clap's own for wrong arguments.
const WRONG_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Serve { config } => with_config(&config, serve),
        #[cfg(feature = "demo")]
        Command::Demo(options) => demo(options).map(|()| ExitCode::SUCCESS),
        Command::CheckConfig { file } => with_config(&file, print_config),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("pulseward: {error:#}");
        ExitCode::FAILURE
    })
}

fn with_config(
    file: &Path,
    act: impl FnOnce(Config) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    match Config::load(file) {
        Ok(config) => act(config).map(|()| ExitCode::SUCCESS),
        Err(config::Error::Invalid(violations)) => {
            eprintln!("{violations}");
            Ok(ExitCode::from(WRONG_CONFIGURATION))
        }
        Err(error) => {
            eprintln!("pulseward: {:#}", anyhow::Error::new(error));
            Ok(ExitCode::from(WRONG_CONFIGURATION))
        }
    }
}

#[expect(clippy::print_stdout, reason = "the effective configuration is what was asked for")]
fn print_config(config: Config) -> anyhow::Result<()> {
    service::check(&config)?;
    println!("{config}");
    Ok(())
}

#[cfg(feature = "demo")]
fn demo(options: pulseward::demo::Options) -> anyhow::Result<()> {
    runtime()?.block_on(pulseward::demo::run(options))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().context("can't start the runtime")
}

fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::install_log(&config.log)?;
    let metrics = telemetry::install_metrics()?;
    runtime()?.block_on(async {
        let stop = CancellationToken::new();
        let service = Service::build(&config, metrics).await?.run(stop.clone());
        tokio::pin!(service);
        tokio::select! {
            ended = &mut service => return Ok(ended?),
            signal = service::stop_at_signal(stop) => signal?,
        }
        Ok(service.await?)
    })
}
