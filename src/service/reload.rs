//! SIGHUP: the configuration is read again while the service runs.
//!
//! Promises: a configuration that is wrong changes nothing and is named line by line; of one that is
//! right, [`LIVE`] is in force as soon as the log says so, and everything else that it changes is
//! named as waiting for the next start, so that nobody believes in a change that did not happen; nor
//! in a level of the log in whose place `RUST_LOG` stands. The log is told at the louder of the two
//! levels, if one changes. What is in force together agrees with itself: it is checked as a start would.
//!
//! The bounds of ingest become an input like any other: a replay heeds them where they changed.
//!
//! It does not read what other files hold. Certificates and keys of tokens are looked at every few
//! seconds anyway, and passwords for each connection.

use std::path::PathBuf;

use metrics::{counter, gauge};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Error, settings};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, ByteSize, Config, LogLevel};
use crate::partition;
use crate::telemetry::{self, LogLevelSwitch, names, with_causes};

/// What changes while the service runs.
pub const LIVE: [&str; 4] =
    ["ingest.batch_readings_max", "ingest.payload_bytes_max", "ingest.reading_age_max", LEVEL];

/// The key in whose place `RUST_LOG` may stand.
const LEVEL: &str = "log.level";

/// Requests to read the configuration again, from the moment when this was made: before it, SIGHUP
/// ends the process.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Listens for SIGHUP. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the system does not let us listen for signals.
    pub fn listen() -> Result<Self, Error> {
        signal(SignalKind::hangup()).map(Self).map_err(Error::Signals)
    }
}

/// Where a service's configuration comes from, and what of it is not the service's own.
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// When to read it again.
    pub hangups: Hangups,
    /// The level of the log.
    pub log: LogLevelSwitch,
}

/// The stage that reads it again.
pub(super) struct Reloader {
    source: Source,
    in_force: Config,
    /// What the broker was told at the start that we take.
    payload_bytes_max: ByteSize,
    partition: partition::Handle,
}

/// What a configuration that was read again leads to.
struct Plan {
    /// What is in force from now on.
    next: Config,
    /// What of it changes.
    live: Vec<String>,
    /// What waits for the next start.
    waiting: Vec<String>,
}

impl Reloader {
    pub(super) fn new(source: Source, in_force: Config, partition: partition::Handle) -> Self {
        let payload_bytes_max = in_force.ingest.payload_bytes_max;
        note_read();
        Self { source, in_force, payload_bytes_max, partition }
    }

    /// Reads the configuration again whenever it is asked to, until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = self.source.hangups.0.recv() => {}
            }
            // A change that is under way when the service stops is carried out or not, as it comes.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.reload() => {}
            }
        }
    }

    async fn reload(&mut self) {
        let file = self.source.file.display().to_string();
        match self.read() {
            Ok(plan) => self.put_in_force(&file, plan).await,
            Err(reason) => {
                counted("refused");
                error!(
                    file,
                    reason, "the configuration was read again and is wrong: nothing has changed"
                );
            }
        }
    }

    /// What the file says now, as far as it differs, or everything that is wrong with it.
    fn read(&self) -> Result<Plan, String> {
        let read = Config::load(&self.source.file).map_err(|error| match error {
            config::Error::Invalid(violations) => violations.to_string(),
            error => with_causes(&error),
        })?;
        plan(&self.in_force, read, self.payload_bytes_max)
    }

    async fn put_in_force(&mut self, file: &str, plan: Plan) {
        if self.in_force.ingest != plan.next.ingest {
            let bounds = settings::ingest(&plan.next.ingest);
            // Closed, the service is stopping, and there is nothing more to bound.
            if self.partition.configure(bounds).await.is_err() {
                return;
            }
        }
        let levels = (self.in_force.log.level, plan.next.log.level);
        let rust_log = telemetry::level_override();
        set_level(&self.source.log, levels, || tell(file, &plan, rust_log.as_deref()));
        self.in_force = plan.next;
        counted("read");
        note_read();
    }
}

/// Changes the log from one level to the other, and tells while the louder of the two holds: what
/// confirms the change is not to be the first that it leaves out.
fn set_level(log: &LogLevelSwitch, (from, to): (LogLevel, LogLevel), tell: impl Fn()) {
    let grows_quieter = to < from;
    if grows_quieter {
        tell();
    }
    if let Err(error) = log.set(to) {
        error!(reason = with_causes(&error), "the log goes on as it was");
    }
    if !grows_quieter {
        tell();
    }
}

/// What of `read` changes now, and what at the next start.
fn plan(in_force: &Config, read: Config, payload_bytes_max: ByteSize) -> Result<Plan, String> {
    let mut next = in_force.clone();
    next.ingest = read.ingest.clone();
    next.log.level = read.log.level;
    // Larger payloads the broker would discard unseen, as it was told at the start.
    if read.ingest.payload_bytes_max > payload_bytes_max {
        next.ingest.payload_bytes_max = in_force.ingest.payload_bytes_max;
    }
    next.check_anew().map_err(|violations| {
        format!("with what only changes at the next start, it contradicts itself: {violations}")
    })?;
    Ok(Plan { live: in_force.changes(&next), waiting: next.changes(&read), next })
}

/// `rust_log` stands in the place of the level, if it is set.
fn tell(file: &str, plan: &Plan, rust_log: Option<&str>) {
    let Plan { live, waiting, .. } = plan;
    if live.is_empty() && waiting.is_empty() {
        return info!(file, "the configuration was read again and says the same");
    }
    let rust_log = rust_log.filter(|_| live.iter().any(|key| key == LEVEL));
    let in_force = live.iter().filter(|key| rust_log.is_none() || *key != LEVEL);
    let in_force = in_force.map(String::as_str).collect::<Vec<_>>().join(" ");
    let waiting_for_start = (!waiting.is_empty()).then(|| waiting.join(" "));
    let what_not = match (&waiting_for_start, rust_log) {
        (None, None) => return info!(file, in_force, "the configuration was read again"),
        (Some(_), None) => "what waits for the next start has not changed",
        (None, Some(_)) => "RUST_LOG stays in the place of log.level",
        (Some(_), Some(_)) => {
            "RUST_LOG stays in the place of log.level, and what waits for the next start has not \
             changed"
        }
    };
    let waiting_for_start = waiting_for_start.as_deref();
    let message = format!("the configuration was read again; {what_not}");
    warn!(file, in_force, waiting_for_start, rust_log, "{message}");
}

fn counted(outcome: &'static str) {
    counter!(names::CONFIG_RELOADS_TOTAL, "outcome" => outcome).increment(1);
}

/// What is in force was read now.
fn note_read() {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a gauge in seconds")]
    let now = SystemClock.now().micros() as f64 / 1e6;
    gauge!(names::CONFIG_READ_TIMESTAMP_SECONDS).set(now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;
    use crate::telemetry::captured::Captured;

    fn config(text: &str) -> Config {
        Config::parse("test", text, []).expect("valid")
    }

    /// What a change from one text to the other puts in force, and what it leaves waiting.
    fn planned(before: &str, after: &str) -> Result<(Vec<String>, Vec<String>), String> {
        let in_force = config(before);
        let most = in_force.ingest.payload_bytes_max;
        plan(&in_force, config(after), most).map(|plan| (plan.live, plan.waiting))
    }

    #[test]
    fn what_can_change_changes_and_the_rest_is_named() {
        let after = "[ingest]\nbatch_readings_max = 5\nreading_age_max = \"100h\"\n\
                     [log]\nlevel = \"debug\"\nformat = \"json\"\n[mqtt]\nclient_id = \"other\"\n";
        let (live, waiting) = planned("", after).expect("agrees");
        assert_eq!(live, ["ingest.batch_readings_max", "ingest.reading_age_max", "log.level"]);
        assert_eq!(waiting, ["log.format", "mqtt.client_id"]);
        assert!(live.iter().all(|key| LIVE.contains(&key.as_str())));
    }

    #[test]
    fn payloads_larger_than_the_broker_was_told_wait_for_the_next_start() {
        let smaller = planned("", "[ingest]\npayload_bytes_max = \"64KiB\"\n").expect("agrees");
        assert_eq!(smaller, (vec!["ingest.payload_bytes_max".to_owned()], vec![]));
        let larger = planned("", "[ingest]\npayload_bytes_max = \"2MiB\"\n").expect("agrees");
        assert_eq!(larger, (vec![], vec!["ingest.payload_bytes_max".to_owned()]));
    }

    #[test]
    fn what_contradicts_what_stays_in_force_is_refused_as_a_whole() {
        // Agrees with itself, but not with the session that the broker keeps for us now.
        let after = "[mqtt]\nsession_expiry = \"1h\"\n[ingest]\nreading_age_max = \"2h\"\n";
        let refused = planned("", after).expect_err("the broker keeps messages for a day");
        assert!(refused.contains("ingest.reading_age_max"), "{refused}");
        assert!(planned("[mqtt]\nsession_expiry = \"1h\"\n", after).is_ok());
    }

    #[test]
    fn a_change_of_the_level_is_confirmed_whether_it_gets_louder_or_quieter() {
        use LogLevel::{Debug, Error, Info, Warn};
        for (from, to) in [(Info, Error), (Info, Warn), (Error, Info), (Warn, Debug), (Info, Info)]
        {
            let log = Captured::begin(LogFormat::Text, from);
            let level =
                |level| format!("[log]\nlevel = {:?}\n", format!("{level:?}").to_lowercase());
            let plan = plan(&config(&level(from)), config(&level(to)), ByteSize(1 << 20));
            let plan = plan.expect("agrees");
            set_level(&log.switch, (from, to), || tell("pulseward.toml", &plan, None));
            let lines = log.text();
            assert_eq!(lines.matches("was read again").count(), 1, "{from:?} to {to:?}: {lines}");
            info!("afterwards");
            assert_eq!(log.text().contains("afterwards"), to >= Info, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn a_level_in_whose_place_another_stands_is_not_said_to_be_in_force() {
        let told = |after: &str, rust_log| {
            let log = Captured::begin(LogFormat::Text, LogLevel::Info);
            let plan = plan(&config(""), config(after), ByteSize(1 << 20)).expect("agrees");
            tell("pulseward.toml", &plan, rust_log);
            log.text()
        };
        let both = "[ingest]\nbatch_readings_max = 5\n[log]\nlevel = \"debug\"\n";
        let lines = told(both, Some("pulseward::mqtt=debug"));
        assert!(lines.contains("in_force=\"ingest.batch_readings_max\""), "{lines}");
        assert!(lines.contains("RUST_LOG stays in the place of log.level"), "{lines}");
        assert!(lines.contains("rust_log=\"pulseward::mqtt=debug\""), "{lines}");
        let format_too = format!("{both}format = \"json\"\n");
        let lines = told(&format_too, Some("warn"));
        assert!(lines.contains("waiting_for_start=\"log.format\""), "{lines}");
        let lines = told("[ingest]\nbatch_readings_max = 5\n", Some("warn"));
        assert!(!lines.contains("RUST_LOG") && !lines.contains("rust_log"), "{lines}");
        assert!(told(both, None).contains("batch_readings_max log.level\""));
    }

    #[test]
    fn every_key_that_may_change_is_one_of_the_configuration() {
        let printed = Config::default().to_string();
        let printed: toml::Table = toml::from_str(&printed).expect("it prints as TOML");
        for key in LIVE {
            let (section, key) = key.split_once('.').expect("section.key");
            assert!(printed[section].get(key).is_some(), "{section}.{key}");
        }
    }
}
