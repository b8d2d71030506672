//! The program: arguments → configuration → telemetry → run.
//!
//! Exit codes: 0 done, 1 the service could not start or broke down, a profile or a sheet is wrong or
//! was refused, also in part, not every message went through again, the audit chain is broken or can't
//! be read, or there is no service to watch, 2 the arguments are wrong, or the configuration can't be
//! read or says something that is never right. What the configuration names, such as a certificate,
//! a password file or an address, is 1 when it can't be used: that may be otherwise at the next start.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use pulseward::cli::{Arguments, Command};
use pulseward::config::{self, Config};
use pulseward::service::{self, Hangups, Service};
use pulseward::store::OnGap;
use pulseward::telemetry::{LogLevelSwitch, Metrics};
use pulseward::{
    audit_admin, enroll, erase, export, profile_admin, profile_file, rejected_admin, restore,
    telemetry, watch,
};
use tokio_util::sync::CancellationToken;

/// As clap's own for wrong arguments.
const WRONG_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Serve { config: file, accept_gap } => {
            let on_gap = if accept_gap { OnGap::Accept } else { OnGap::Refuse };
            with_config(&file, |config| serve(config, &file, on_gap))
        }
        Command::Restore(options) => {
            with_config(&options.config, |config| restore(&options, &config))
        }
        #[cfg(feature = "demo")]
        Command::Demo(options) => demo(options).map(|()| ExitCode::SUCCESS),
        Command::CheckConfig { file } => with_config(&file, print_config),
        Command::Watch(options) => watch(&options),
        Command::Enroll(options) => enroll(&options),
        Command::Profile(task) => profile(&task),
        Command::Rejected(task) => rejected(&task),
        Command::Export(options) => {
            with_config(&options.config.clone(), |config| export(&options, &config))
        }
        Command::Erase(options) => erase(&options),
        Command::Audit(task) => audit(&task),
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

fn print_config(config: Config) -> anyhow::Result<()> {
    service::check(&config)?;
    answer(&format!("{config}\n"))
}

/// Prints what was asked for. Who has read enough and closed the pipe is not an error.
fn answer(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("can't print"),
        _ => Ok(()),
    }
}

fn watch(options: &watch::Options) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(watch::run(options, std::future::pending()))?;
    Ok(ExitCode::SUCCESS)
}

fn enroll(options: &enroll::Options) -> anyhow::Result<ExitCode> {
    match runtime()?.block_on(enroll::run(options, std::io::stdout())) {
        Ok(tally) if tally.failed() == 0 => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(enroll::Error::Invalid(violations)) => {
            eprintln!("{violations}\nnothing was enrolled");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

fn profile(task: &profile_admin::Task) -> anyhow::Result<ExitCode> {
    match task {
        profile_admin::Task::Check { files } => return check_profiles(files),
        profile_admin::Task::ShowDefault => answer(profile_file::ADULT)?,
        profile_admin::Task::Put(put) => answer(&runtime()?.block_on(profile_admin::put(put))?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn rejected(task: &rejected_admin::Task) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    match task {
        rejected_admin::Task::List { filters, service } => {
            let listed = rejected_admin::list(filters, service, &mut out);
            match runtime()?.block_on(listed) {
                // Who has read enough and closed the pipe is not an error.
                Err(rejected_admin::Error::Print(it)) if it.kind() == ErrorKind::BrokenPipe => {}
                listed => listed?,
            }
            Ok(ExitCode::SUCCESS)
        }
        rejected_admin::Task::Redrive(task) => {
            let summary = runtime()?.block_on(rejected_admin::redrive(task, &mut out))?;
            Ok(if summary.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn export(options: &export::Options, config: &Config) -> anyhow::Result<()> {
    let store = service::store_settings(config)?;
    let exported = runtime()?.block_on(export::run(options, &store));
    match exported {
        // Who has read enough and closed the pipe is not an error.
        Err(export::Error::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        exported => Ok(exported.map(drop)?),
    }
}

fn erase(options: &erase::Options) -> anyhow::Result<ExitCode> {
    if let (Some(file), Some(patient)) = (&options.config, &options.patient) {
        return with_config(file, |config| {
            let store = service::store_settings(&config)?;
            let counts = runtime()?.block_on(export::count(&store, patient))?;
            let lines = counts.iter().map(|(kind, count)| format!("{count} {kind}\n"));
            answer(&format!("{}nothing was deleted\n", lines.collect::<String>()))
        });
    }
    let summary = runtime()?.block_on(erase::run(options, &mut std::io::stdout()))?;
    if summary.passed_over > 0 {
        eprintln!("{} erased, {} passed over", summary.erased, summary.passed_over);
    }
    Ok(ExitCode::SUCCESS)
}

fn audit(task: &audit_admin::Task) -> anyhow::Result<ExitCode> {
    let audit_admin::Task::Verify(task) = task;
    with_config(&task.config, |config| {
        let store = service::store_settings(&config)?;
        let mut out = std::io::stdout();
        let verified = audit_admin::run(&store, task, &mut out);
        match runtime()?.block_on(verified) {
            // Who has read enough and closed the pipe is not an error.
            Err(audit_admin::Error::Print(it)) if it.kind() == ErrorKind::BrokenPipe => Ok(()),
            verified => Ok(verified?),
        }
    })
}

/// Every file is checked, also behind one that is wrong.
fn check_profiles(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut ended = ExitCode::SUCCESS;
    for file in files {
        match profile_admin::check(file) {
            Ok(words) => answer(&words)?,
            Err(profile_admin::Error::Invalid(violations)) => {
                eprintln!("{violations}");
                ended = ExitCode::FAILURE;
            }
            Err(error) => {
                eprintln!("pulseward: {:#}", anyhow::Error::new(error));
                ended = ExitCode::FAILURE;
            }
        }
    }
    Ok(ended)
}

#[cfg(feature = "demo")]
fn demo(options: pulseward::demo::Options) -> anyhow::Result<()> {
    runtime()?.block_on(pulseward::demo::run(options))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().context("can't start the runtime")
}

/// It waits for disk and database by turns, and so has this thread for itself.
fn restore(options: &restore::Options, config: &Config) -> anyhow::Result<()> {
    telemetry::install_log(&config.log)?;
    let (journal, store) = service::for_restore(config)?;
    let runtime = runtime()?;
    let handle = runtime.handle().clone();
    restore::run(options, &journal, &store, handle, &mut std::io::stdout())?;
    Ok(())
}

fn serve(config: Config, file: &Path, on_gap: OnGap) -> anyhow::Result<()> {
    let log = telemetry::install_log(&config.log)?;
    let metrics = telemetry::install_metrics()?;
    let runtime = runtime()?;
    let traces = {
        let _within = runtime.enter();
        telemetry::traces::install(&config.traces)?
    };
    let served = runtime.block_on(run(config, (file, log), on_gap, metrics));
    traces.finish();
    // Only a start that was cut short leaves something behind that still runs: it reads the
    // journal, and nobody waits for it.
    runtime.shutdown_background();
    served
}

async fn run(
    config: Config,
    (file, log): (&Path, LogLevelSwitch),
    on_gap: OnGap,
    metrics: Metrics,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let signal = service::stop_at_signal(stop.clone());
    tokio::pin!(signal);
    // Listened for from the first, as the others are: recovering from a long journal takes a while.
    let source = service::Source { file: file.to_owned(), hangups: Hangups::listen()?, log };
    let service = tokio::select! {
        biased;
        signal = &mut signal => return Ok(signal?),
        service = Service::build(&config, on_gap, metrics) => service?,
    };
    let service = service.with_start_page(&config).reloading(source, config).run(stop);
    tokio::pin!(service);
    tokio::select! {
        ended = &mut service => return Ok(ended?),
        signal = signal => signal?,
    }
    Ok(service.await?)
}
