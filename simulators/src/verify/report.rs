//! What `verify` found: `report.json`, whose shape `docs/simulators-report.md` describes.
//!
//! Numbers and names only; `page` and `summary` show them. Times are seconds since
//! the run began, latencies milliseconds. What is counted is named by up to [`EXAMPLES_MAX`]
//! examples.

use std::collections::BTreeMap;

use serde::Serialize;

/// The shape of the report.
pub const VERSION: u32 = 1;
/// Examples of each fault.
pub const EXAMPLES_MAX: usize = 10;

/// A count, and the first that were counted, each named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

impl Finding {
    /// Counts one.
    pub fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The shape: [`VERSION`].
    pub version: u32,
    /// Whether nothing is lost, doubled, wrong, missed, false or late.
    pub is_good: bool,
    /// What was run.
    pub run: RunFacts,
    /// What became of the readings.
    pub readings: Readings,
    /// What became of the alerts.
    pub alerts: Alerts,
    /// What each watcher was told.
    pub watchers: Vec<Watcher>,
    /// How long things took.
    pub latency: Latencies,
}

/// What was run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunFacts {
    /// Its site.
    pub site: String,
    /// Its seed.
    pub seed: u64,
    /// When it began, RFC 3339.
    pub began_at: String,
    /// How long it lasted.
    pub seconds: f64,
    /// Whether its record is whole; one of a run that was killed is not.
    pub record_is_whole: bool,
    /// Devices.
    pub devices: usize,
    /// Patients.
    pub patients: usize,
    /// Messages that were published.
    pub messages: usize,
    /// Of these, those with a PUBACK.
    pub acknowledged: usize,
    /// Of these, those to which nobody was subscribed.
    pub unheard: usize,
    /// Of the messages, those of status, which are not judged.
    pub statuses: u64,
    /// What happened when.
    pub marks: Vec<MarkAt>,
    /// When nothing could reach the service.
    pub outages: Vec<(f64, f64)>,
    /// The scenario, as it was resolved.
    pub scenario: serde_json::Value,
}

/// A line for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MarkAt {
    /// When.
    pub at: f64,
    /// What.
    pub text: String,
}

/// What became of the readings.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Readings {
    /// Readings that must be stored.
    pub must: u64,
    /// Readings that may be: nobody can know from outside.
    pub may: u64,
    /// Readings that were sent again.
    pub repeated: u64,
    /// Readings that are stored as they were sent.
    pub stored: u64,
    /// Of those that may be, those that are.
    pub may_stored: u64,
    /// Not there.
    pub lost: Finding,
    /// There more than once.
    pub doubled: Finding,
    /// There with another value.
    pub wrong_value: Finding,
    /// There at another time.
    pub wrong_time: Finding,
    /// There as another patient's.
    pub wrong_patient: Finding,
    /// There, and nobody sent it.
    pub unexpected: Finding,
    /// Received, as the store says, before it was published or long after it can have been.
    pub received_oddly: Finding,
    /// Messages of which something was refused, by reason.
    pub refused: BTreeMap<String, RefusedMessages>,
    /// Reasons for which fewer messages were refused than must have been.
    pub not_refused: Finding,
}

/// Messages of which something was refused for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RefusedMessages {
    /// That must have been.
    pub must: u64,
    /// That must or may have been.
    pub may: u64,
    /// That the store has; one that came again is there again.
    pub found: u64,
}

/// What became of the alerts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Alerts {
    /// Alerts that must be raised.
    pub must: u64,
    /// Alerts that may be: nobody can know from outside.
    pub may: u64,
    /// Alerts that were raised as they must or may.
    pub matched: u64,
    /// Not raised.
    pub missed: Finding,
    /// Raised, and had not to be.
    pub false_alerts: Finding,
    /// Raised twice, or two of one rule at once.
    pub doubled: Finding,
    /// Raised by another reading than the one that had to.
    pub wrong_start: Finding,
    /// With another onset.
    pub wrong_onset: Finding,
    /// At another priority, or with other rises and falls.
    pub wrong_priority: Finding,
    /// Still open.
    pub not_ended: Finding,
    /// Ended before the reading that had to end it.
    pub ended_early: Finding,
    /// Ended after it.
    pub ended_late: Finding,
    /// Told to no watcher, although one watched.
    pub not_told: Finding,
    /// Told later than it may take.
    pub late: Finding,
    /// Not raised because of a flood, as it must be.
    pub held_back: u64,
    /// Raised or not where nobody can know from outside.
    pub unsure: u64,
    /// By rule.
    pub rules: BTreeMap<String, RuleCount>,
}

/// What became of one rule's alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleCount {
    /// Its kind: limit, silence, or one that is not judged.
    pub kind: String,
    /// Whether it is judged.
    pub is_judged: bool,
    /// That must be raised.
    pub must: u64,
    /// That may be.
    pub may: u64,
    /// That were.
    pub raised: u64,
    /// Of these, those of the past.
    pub retrospective: u64,
    /// That were not and must.
    pub missed: u64,
    /// That were and had not to be.
    pub false_alerts: u64,
}

/// What a watcher was told.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Watcher {
    /// Its number.
    pub watcher: u32,
    /// Events of alerts.
    pub events: u64,
    /// How often its stream was cut.
    pub cuts: u64,
    /// How often it took it up where it was cut.
    pub resumed: u64,
    /// How often it began anew, with a snapshot.
    pub snapshots: u64,
    /// Responses that can't be read.
    pub unreadable: u64,
    /// Events that came twice.
    pub repeated: Finding,
    /// Events that came before an earlier one of the same patient.
    pub out_of_order: Finding,
    /// Events that never came.
    pub missing: Finding,
    /// Events of alerts that the service does not have.
    pub unknown: Finding,
}

/// How long things took.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Latencies {
    /// From the due time of the message that decides an alert to the first watcher that is told,
    /// by priority.
    pub alerts: BTreeMap<String, Percentiles>,
    /// From a message's due time to its PUBACK.
    pub puback: Percentiles,
    /// Each alert; where there are many, the slowest of each stretch of time.
    pub alert_points: Vec<AlertPoint>,
    /// PUBACKs over time.
    pub puback_series: Vec<SeriesPoint>,
    /// The curve of alerts of all priorities: percentile and milliseconds.
    pub alert_curve: Vec<(f64, f64)>,
    /// The curve of PUBACKs.
    pub puback_curve: Vec<(f64, f64)>,
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Of so many.
    pub count: u64,
    /// Half came within this.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// All but one in a hundred.
    pub p99: f64,
    /// All but one in a thousand.
    pub p999: f64,
    /// All.
    pub max: f64,
}

/// An alert that was told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertPoint {
    /// When it was due.
    pub at: f64,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Its priority.
    pub priority: String,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SeriesPoint {
    /// When it begins.
    pub at: f64,
    /// Half came within this, in milliseconds.
    pub p50: f64,
    /// All but one in a hundred.
    pub p99: f64,
    /// All.
    pub max: f64,
}

impl Report {
    /// Every kind of fault, by name.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, &Finding)> {
        let (readings, alerts) = (&self.readings, &self.alerts);
        let mut faults: Vec<(String, &Finding)> = [
            ("readings lost", &readings.lost),
            ("readings doubled", &readings.doubled),
            ("readings with a wrong value", &readings.wrong_value),
            ("readings at a wrong time", &readings.wrong_time),
            ("readings of a wrong patient", &readings.wrong_patient),
            ("readings that nobody sent", &readings.unexpected),
            ("readings received at an odd time", &readings.received_oddly),
            ("messages that were not refused", &readings.not_refused),
            ("alerts missed", &alerts.missed),
            ("false alerts", &alerts.false_alerts),
            ("alerts doubled", &alerts.doubled),
            ("alerts raised by another reading", &alerts.wrong_start),
            ("alerts with a wrong onset", &alerts.wrong_onset),
            ("alerts of a wrong priority", &alerts.wrong_priority),
            ("alerts not ended", &alerts.not_ended),
            ("alerts ended too early", &alerts.ended_early),
            ("alerts ended too late", &alerts.ended_late),
            ("alerts not told", &alerts.not_told),
            ("alerts told late", &alerts.late),
        ]
        .map(|(name, finding)| (name.to_owned(), finding))
        .into();
        for watcher in &self.watchers {
            let number = watcher.watcher;
            faults.extend([
                (format!("events repeated to watcher {number}"), &watcher.repeated),
                (format!("events out of order to watcher {number}"), &watcher.out_of_order),
                (format!("events missing to watcher {number}"), &watcher.missing),
                (format!("unknown alerts told to watcher {number}"), &watcher.unknown),
            ]);
        }
        faults
    }

    /// Decides whether all is good.
    pub(super) fn conclude(&mut self) {
        self.version = VERSION;
        self.is_good = self.faults().iter().all(|(_, finding)| finding.count == 0);
    }
}
