//! What the service tells about itself: log lines on standard error, and metrics.
//!
//! Logs are for people, metrics for machines; neither ever holds a payload, a vital or a name, and
//! no patient or device is the label of a metric. Nothing is sent anywhere: the log is the process
//! supervisor's to keep, and metrics are rendered when somebody asks [`crate::http`] for them.

#[cfg(test)]
pub(crate) mod captured;
pub mod catalogue;
pub mod names;
pub mod stages;
pub mod traces;

use std::io::IsTerminal as _;
use std::sync::Arc;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Subscriber;
use tracing_log::{LogTracer, log};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::reload;

use crate::config::{Log, LogFormat, LogLevel};

/// Why the service can't tell about itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `RUST_LOG` says something else than directives.
    #[error("can't understand the log directives in RUST_LOG")]
    Directives(#[source] tracing_subscriber::filter::FromEnvError),
    /// This process logs already.
    #[error("can't install the log")]
    Log(#[source] tracing::subscriber::SetGlobalDefaultError),
    /// This process takes the libraries' log already.
    #[error("can't take the log of libraries")]
    LibrariesLog(#[source] log::SetLoggerError),
    /// The log is no longer there to be changed.
    #[error("can't change the log's level")]
    LogLevel(#[source] reload::Error),
    /// This process measures already.
    #[error("can't install the metrics")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
}

/// The level of this process's log, which may change while it runs. Clones are the same.
#[derive(Clone)]
pub struct LogLevelSwitch {
    set: Arc<SetFilter>,
}

type SetFilter = dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync;

impl LogLevelSwitch {
    /// Logs from this level on, unless [`level_override`] says otherwise.
    ///
    /// # Errors
    /// When `RUST_LOG` is not understood, or the log is gone.
    pub fn set(&self, level: LogLevel) -> Result<(), Error> {
        (self.set)(filter(level)?).map_err(Error::LogLevel)
    }
}

/// What `RUST_LOG` says in the place of the configured level, all of it: modules that it does not name
/// log nothing then. `None` if it is not set, or empty.
#[must_use]
pub fn level_override() -> Option<String> {
    std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|directives| !directives.is_empty())
}

/// Installs the log of this process: lines on standard error, coloured on a terminal. `RUST_LOG`
/// stands in the place of the level ([`level_override`]). What libraries warn of is taken along: the
/// storage engine tells the first error of its background work there and nowhere else.
///
/// # Errors
/// When `RUST_LOG` is not understood, or this process has a log already.
pub fn install_log(settings: &Log) -> Result<LogLevelSwitch, Error> {
    install(settings, std::io::stderr().is_terminal(), std::io::stderr)
}

/// [`install_log`], but into a file: for who draws on the terminal.
///
/// # Errors
/// As [`install_log`].
#[cfg(feature = "demo")]
pub(crate) fn install_log_into(
    settings: &Log,
    file: std::fs::File,
) -> Result<LogLevelSwitch, Error> {
    install(settings, false, Arc::new(file))
}

fn install<W>(settings: &Log, colours: bool, writer: W) -> Result<LogLevelSwitch, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter(settings.level)?;
    let (subscriber, switch) = log_subscriber(settings.format, filter, colours, writer);
    tracing::subscriber::set_global_default(subscriber).map_err(Error::Log)?;
    let libraries = LogTracer::builder().with_max_level(log::LevelFilter::Warn).init();
    libraries.map_err(Error::LibrariesLog)?;
    Ok(switch)
}

fn filter(level: LogLevel) -> Result<EnvFilter, Error> {
    EnvFilter::builder()
        .with_default_directive(level_filter(level).into())
        .from_env()
        .map_err(Error::Directives)
}

fn log_subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    colours: bool,
    writer: W,
) -> (Box<dyn Subscriber + Send + Sync>, LogLevelSwitch)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => {
            let lines = lines.with_ansi(colours).with_filter_reloading();
            let handle = lines.reload_handle();
            let set = Arc::new(move |filter| handle.reload(filter));
            (Box::new(lines.finish()), LogLevelSwitch { set })
        }
        LogFormat::Json => {
            let lines = lines.json().with_filter_reloading();
            let handle = lines.reload_handle();
            let set = Arc::new(move |filter| handle.reload(filter));
            (Box::new(lines.finish()), LogLevelSwitch { set })
        }
    }
}

const fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// The metrics of this process, ready to be rendered. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
    stages: Arc<stages::Stages>,
}

/// From the engine's share of a commit to a database that is away, in seconds. Fixed buckets add up over restarts
/// and instances, as quantiles do not.
const SECONDS_BUCKETS: [f64; 15] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// How many things went into one batch.
const BATCH_BUCKETS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0];

/// Installs the metrics of this process, describes each, and begins at 0 what can.
///
/// # Errors
/// When this process has metrics already.
pub fn install_metrics() -> Result<Metrics, Error> {
    let handle = metrics_builder()?.install_recorder().map_err(Error::Metrics)?;
    names::begin();
    metrics::gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let stages = Arc::new(stages::Stages::new());
    stages.install();
    Ok(Metrics { handle, stages })
}

fn metrics_builder() -> Result<PrometheusBuilder, Error> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_batch".to_owned()), &BATCH_BUCKETS)
        })
        .map_err(Error::Metrics)
}

impl Metrics {
    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render() + &self.stages.render()
    }

    /// Folds what was measured since into the histograms. Without it they would grow for as long
    /// as nobody renders them.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Metrics that belong to no process, and the recorder that fills them.
    #[cfg(test)]
    pub(crate) fn detached() -> (Self, metrics_exporter_prometheus::PrometheusRecorder) {
        let recorder = metrics_builder().expect("buckets are not empty").build_recorder();
        let stages = Arc::new(stages::Stages::new());
        (Self { handle: recorder.handle(), stages }, recorder)
    }
}

/// An error with all its causes, in one line; what an error repeats of its cause is said once.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        if !line.ends_with(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::captured::Captured;
    use super::*;

    #[test]
    fn a_json_line_keeps_facts_as_fields() {
        let log = Captured::begin(LogFormat::Json, LogLevel::Info);
        tracing::info!(listener = "http", "listening");
        let line: serde_json::Value = serde_json::from_str(&log.text()).expect("one JSON object");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["fields"]["message"], "listening");
        assert_eq!(line["fields"]["listener"], "http");
    }

    #[test]
    fn a_text_line_is_for_people_and_the_level_is_heeded() {
        let log = Captured::begin(LogFormat::Text, LogLevel::Warn);
        tracing::warn!(part = "store", "away");
        tracing::info!("not shown");
        let text = log.text();
        assert!(text.contains("WARN"), "{text}");
        assert!(text.contains("away part=\"store\""), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn the_level_changes_while_lines_are_written() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = Captured::begin(format, LogLevel::Warn);
            for (level, line) in
                [(LogLevel::Debug, "shown"), (LogLevel::Info, "no"), (LogLevel::Debug, "again")]
            {
                log.switch.set(level).expect("the log is there");
                tracing::debug!("{line}");
            }
            let lines = log.text();
            assert!(lines.contains("shown") && lines.contains("again"), "{lines}");
            assert_eq!(lines.lines().count(), 2, "{lines}");
        }
    }

    #[test]
    fn durations_are_counted_in_buckets_and_described() {
        let (rendered, recorder) = Metrics::detached();
        metrics::with_local_recorder(&recorder, || {
            names::begin();
            metrics::histogram!(names::COMMIT_SECONDS).record(0.003);
            metrics::counter!(names::REJECTS_TOTAL, "reason" => "too_old").increment(2);
        });
        rendered.upkeep();
        let text = rendered.render();
        assert!(text.contains("pulseward_commit_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("pulseward_commit_seconds_bucket{le=\"0.0025\"} 0"), "{text}");
        assert!(text.contains("pulseward_rejects_total{reason=\"too_old\"} 2"), "{text}");
        assert!(text.contains("# HELP pulseward_rejects_total Readings and messages"), "{text}");
    }
}
