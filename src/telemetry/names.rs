//! The catalogue of metrics: each one's name, type, unit and labels, and what it says.
//!
//! This is the only place where a metric is made known. A dashboard is built on these names, so they
//! change only with a version. Counters end in `_total`, durations in `_seconds`, distributions of
//! batch sizes in `_batch`. Labels have few values and are never a patient or a device.

use super::catalogue::{Kind, Label, Metric, Values};
use crate::engine::alerts::Phase;
use crate::engine::audit::Outcome;
use crate::engine::output::{MonitoringState, RejectReason};
use crate::vitals::{Priority, Vital};

/// Makes of each row a constant with its name, and a row of [`ALL`].
macro_rules! catalogue {
    ($($chapter:literal {
        $($(#[doc = $says:literal])+
        $constant:ident = $name:literal: $kind:ident of $unit:literal
            $({ $($label:ident: $values:expr),+ })?;)+
    })+) => {
        $($($(#[doc = $says])+
        pub const $constant: &str = $name;)+)+

        /// Every metric, by chapters.
        pub const ALL: &[Metric] = &[$($(Metric::new(
            $chapter,
            ($name, concat!($($says),+)),
            (Kind::$kind, $unit),
            &[$($(Label { name: stringify!($label), values: $values }),+)?],
        ),)+)+];
    };
}

/// The names of all values of an enumeration.
macro_rules! names_of {
    ($kind:ty) => {{
        const NAMES: [&str; <$kind>::ALL.len()] = {
            let mut names = [""; <$kind>::ALL.len()];
            let mut index = 0;
            while index < names.len() {
                names[index] = <$kind>::ALL[index].name();
                index += 1;
            }
            names
        };
        Values::These(&NAMES)
    }};
}

const INPUT_KINDS: Values = Values::These(&[
    "started",
    "settings",
    "tick",
    "link",
    "publish",
    "command",
    "reconcile",
    "poisoned",
    "intake",
    "access",
    "audit_head",
    "restored",
]);
const SEQUENCE_KINDS: Values =
    Values::These(&["in_order", "reordered", "duplicate", "amended", "restarted", "gap"]);
/// The source of messages, and the way back for verdicts.
const CLIENTS: Values = Values::These(&["source", "verdicts"]);
const TABLES: Values = Values::These(&[
    "readings",
    "sites",
    "patients",
    "devices",
    "bindings",
    "profiles",
    "alerts",
    "alert_events",
    "patient_monitoring",
    "rejected_messages",
    "redrives",
    "device_sequences",
    "device_numbers",
    "audit_events",
    "erasures",
    "erased_wear",
]);
const MAINTENANCE_TASKS: Values = Values::These(&[
    "partitions",
    "policies",
    "aggregate_1min",
    "aggregate_1h",
    "expire_readings",
    "expire_1min",
    "expire_1h",
    "expire_rejected",
    "erase",
]);
const CALL_REFUSALS: Values = Values::These(&[
    "TOKEN_MISSING",
    "TOKEN_INVALID",
    "TOKEN_EXPIRED",
    "TOKEN_NOT_YET_VALID",
    "TOKEN_ISSUER",
    "TOKEN_AUDIENCE",
    "TOKEN_CLAIMS",
    "CERTIFICATE_MISSING",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_NOT_LISTED",
    "CERTIFICATE_AMBIGUOUS",
    "KEYS_UNAVAILABLE",
    "ORIGIN_NOT_ALLOWED",
    "TOO_MANY_CALLS",
]);
const VERDICTS_DROPPED: Values = Values::These(&[
    "overrun",
    "queue_full",
    "expired",
    "larger_than_the_broker_takes",
    "stopped",
    "refused",
]);
/// Those that follow the journal.
const FOLLOWERS: Values = Values::These(&["store", "hub", "vitals_hub", "verdicts", "tally"]);
/// Whose certificate: that which callers see, or that which the broker sees.
const CERTIFICATES: Values = Values::These(&["grpc", "http", "mqtt", "store"]);
const HANDSHAKE_FAILURES: Values =
    Values::These(&["timed_out", "crowded_out", "certificate", "broken"]);

catalogue! {
    "The service" {
        /// 1, with the version of this build as its label.
        BUILD_INFO = "pulseward_build_info": Gauge of "1" { version: Values::Text("of the build") };
        /// How often the configuration was read again while the service ran: put in force, as far as
        /// it may change then, or refused because it was wrong.
        CONFIG_RELOADS_TOTAL = "pulseward_config_reloads_total": Counter of "times"
            { outcome: Values::These(&["read", "refused"]) };
        /// When the configuration in force was read.
        CONFIG_READ_TIMESTAMP_SECONDS = "pulseward_config_read_timestamp_seconds":
            GaugeOnceKnown of "seconds since 1970";
        /// When this process began to serve.
        STARTED_TIMESTAMP_SECONDS = "pulseward_started_timestamp_seconds":
            GaugeOnceKnown of "seconds since 1970";
        /// Whether `/readyz` answers 200.
        READY = "pulseward_ready": Gauge of "1 or 0";
        /// From the receipt of a message to the end of a stage, for the messages of the last minute:
        /// applied by the engine, durable in the journal, offered to every alert stream, and (only
        /// messages with readings) stored in the database. NaN while there are none.
        STAGE_LATENCY_SECONDS = "pulseward_stage_latency_seconds": Summary of "seconds"
            { stage: Values::These(&["applied", "committed", "streamed", "stored"]) };
        /// Entries of the journal that a follower has not done with. How far the store is the
        /// database says: NaN until it has said so for the first time.
        FOLLOWER_LAG_ENTRIES = "pulseward_follower_lag_entries": Gauge of "entries"
            { follower: FOLLOWERS };
        /// For how long the oldest of these has waited since its receipt; of those that the journal
        /// no longer has, the oldest that it has. NaN while that is not known.
        FOLLOWER_LAG_SECONDS = "pulseward_follower_lag_seconds": Gauge of "seconds"
            { follower: FOLLOWERS };
        /// Age, since its receipt, of the oldest reading that is in the journal and not in the
        /// database; 0 if there is none. NaN while that is not known, as until the database has
        /// said for the first time how far it is.
        OLDEST_UNSTORED_READING_SECONDS = "pulseward_oldest_unstored_reading_age_seconds":
            Gauge of "seconds";
        /// Age, since its receipt, of the oldest input that was taken in and is not durable yet; 0
        /// if there is none.
        UNCOMMITTED_SECONDS = "pulseward_uncommitted_age_seconds": Gauge of "seconds";
    }

    "The broker" {
        /// Messages received from the broker.
        MQTT_MESSAGES_TOTAL = "pulseward_mqtt_messages_total": Counter of "messages"
            { qos: Values::These(&["0", "1", "2"]) };
        /// Their payloads.
        MQTT_PAYLOAD_BYTES_TOTAL = "pulseward_mqtt_payload_bytes_total": Counter of "bytes";
        /// Messages acknowledged after they were durable.
        MQTT_ACKNOWLEDGED_TOTAL = "pulseward_mqtt_acknowledged_total": Counter of "messages";
        /// Acknowledgements of an ended connection, dropped because they would be another message's.
        MQTT_ACKNOWLEDGED_STALE_TOTAL = "pulseward_mqtt_acknowledged_stale_total":
            Counter of "messages";
        /// Whether the link to the broker is up.
        MQTT_CONNECTED = "pulseward_mqtt_connected": Gauge of "1 or 0" { client: CLIENTS };
        /// Connections to the broker that broke.
        MQTT_CONNECTIONS_LOST_TOTAL = "pulseward_mqtt_connections_lost_total":
            Counter of "connections" { client: CLIENTS };
        /// Connections at which the broker no longer had our session, so that messages may be lost.
        MQTT_SESSIONS_ABSENT_TOTAL = "pulseward_mqtt_sessions_absent_total":
            Counter of "connections";
        /// Verdicts sent to gateways.
        MQTT_VERDICTS_PUBLISHED_TOTAL = "pulseward_mqtt_verdicts_published_total":
            Counter of "verdicts";
        /// Verdicts not sent.
        MQTT_VERDICTS_DROPPED_TOTAL = "pulseward_mqtt_verdicts_dropped_total":
            Counter of "verdicts" { reason: VERDICTS_DROPPED };
    }

    "What came in, and what was made of it" {
        /// Inputs that the engine applied.
        INPUTS_TOTAL = "pulseward_inputs_total": Counter of "inputs" { kind: INPUT_KINDS };
        /// Messages and commands refused unread, because the service broke down on them before.
        INPUTS_POISONED_TOTAL = "pulseward_inputs_poisoned_total": Counter of "inputs"
            { kind: Values::These(&["publish", "command"]) };
        /// Readings admitted.
        READINGS_ADMITTED_TOTAL = "pulseward_readings_admitted_total": Counter of "readings"
            { vital: names_of!(Vital) };
        /// Readings and messages refused.
        REJECTS_TOTAL = "pulseward_rejects_total": Counter of "refusals"
            { reason: names_of!(RejectReason) };
        /// Refused messages sent through the intake again.
        REDRIVEN_TOTAL = "pulseward_redriven_total": Counter of "messages";
        /// What happened to the order of devices' readings; in_order up to a minute late.
        SEQUENCE_EVENTS_TOTAL = "pulseward_sequence_events_total": Counter of "events"
            { kind: SEQUENCE_KINDS };
        /// Calls put on record, by how they ended.
        AUDIT_EVENTS_TOTAL = "pulseward_audit_events_total": Counter of "events"
            { outcome: names_of!(Outcome) };
    }

    "Alerts and patients" {
        /// What happened to alerts.
        ALERT_EVENTS_TOTAL = "pulseward_alert_events_total": Counter of "events"
            { phase: names_of!(Phase), priority: names_of!(Priority) };
        /// Alerts that are not over.
        ALERTS_OPEN = "pulseward_alerts_open": Gauge of "alerts" { priority: names_of!(Priority) };
        /// Patients, by how they are watched now.
        PATIENTS = "pulseward_patients": Gauge of "patients" { state: names_of!(MonitoringState) };
        /// Changes of how patients are watched, by the state that they reached.
        MONITORING_CHANGES_TOTAL = "pulseward_monitoring_changes_total": Counter of "changes"
            { state: names_of!(MonitoringState) };
    }

    "The journal" {
        /// Time of the engine for the inputs that shared one commit.
        ENGINE_SECONDS = "pulseward_engine_seconds": Histogram of "seconds";
        /// Time of one durable commit.
        COMMIT_SECONDS = "pulseward_commit_seconds": Histogram of "seconds";
        /// Inputs that shared one commit.
        COMMIT_BATCH = "pulseward_commit_batch": Histogram of "inputs";
        /// What the journal takes on disk.
        JOURNAL_BYTES = "pulseward_journal_bytes": Gauge of "bytes";
        /// What it may take: `[journal] max_bytes`.
        JOURNAL_LIMIT_BYTES = "pulseward_journal_limit_bytes": GaugeOnceKnown of "bytes";
        /// Whether so little is left, of that or of the file system, that everything is given up
        /// which neither a restart nor the database needs.
        JOURNAL_LOW = "pulseward_journal_low": Gauge of "1 or 0";
        /// Whether messages are left at the broker, because only the journal's reserve is left.
        JOURNAL_FULL = "pulseward_journal_full": Gauge of "1 or 0";
        /// Position of the last durable entry.
        JOURNAL_LAST_POSITION = "pulseward_journal_last_position": GaugeOnceKnown of "position";
    }

    "The database" {
        /// Whether the database takes what it is given.
        STORE_CONNECTED = "pulseward_store_connected": Gauge of "1 or 0";
        /// Position up to which the store has written everything.
        STORE_POSITION = "pulseward_store_position": GaugeOnceKnown of "position";
        /// Readings written to the store.
        STORE_READINGS_TOTAL = "pulseward_store_readings_total": Counter of "readings";
        /// Rows that the database refused, and that were set aside in `refused_rows`.
        STORE_REFUSED_ROWS_TOTAL = "pulseward_store_refused_rows_total": Counter of "rows"
            { table: TABLES };
        /// Time of one transaction of the store.
        STORE_WRITE_SECONDS = "pulseward_store_write_seconds": Histogram of "seconds";
        /// Attempts to reach the database or to write to it that failed.
        STORE_FAILURES_TOTAL = "pulseward_store_failures_total": Counter of "attempts";
        /// Gaps in the stored rows that were accepted at this start.
        STORE_GAPS_ACCEPTED_TOTAL = "pulseward_store_gaps_accepted_total": Counter of "gaps"
            { reason: Values::These(&["aged_out", "other_journal"]) };
        /// Time of one step of the database's maintenance.
        STORE_MAINTENANCE_SECONDS = "pulseward_store_maintenance_seconds": Histogram of "seconds"
            { task: MAINTENANCE_TASKS };
        /// Steps of the database's maintenance that failed and are tried again.
        STORE_MAINTENANCE_FAILURES_TOTAL = "pulseward_store_maintenance_failures_total":
            Counter of "steps" { task: MAINTENANCE_TASKS };
        /// When nothing was left to do for a task.
        STORE_MAINTENANCE_DONE_TIMESTAMP_SECONDS =
            "pulseward_store_maintenance_done_timestamp_seconds":
            GaugeOnceKnown of "seconds since 1970" { task: MAINTENANCE_TASKS };
    }

    "Watchers" {
        /// Open alert streams.
        WATCHERS = "pulseward_watchers": Gauge of "streams";
        /// Alert streams whose queue overflowed, so that they had to take up from the journal.
        WATCHERS_OVERRUN_TOTAL = "pulseward_watchers_overrun_total": Counter of "overflows";
        /// Alert streams that the service ended, because their reader took nothing for too long.
        WATCHERS_ENDED_TOTAL = "pulseward_watchers_ended_total": Counter of "streams"
            { reason: Values::These(&["lagged"]) };
        /// Position up to which watchers have been told everything.
        HUB_POSITION = "pulseward_hub_position": GaugeOnceKnown of "position";
        /// From the receipt of an input to its arrival at the hub, for the last input of each batch.
        HUB_LAG_SECONDS = "pulseward_hub_lag_seconds": Histogram of "seconds";
        /// Open streams of live vitals.
        VITALS_WATCHERS = "pulseward_vitals_watchers": Gauge of "streams";
        /// Streams of live vitals that the service ended, because nobody read them.
        VITALS_WATCHERS_ENDED_TOTAL = "pulseward_vitals_watchers_ended_total": Counter of "streams"
            { reason: Values::These(&["unread"]) };
        /// Readings left out of streams of live vitals, because newer ones came before they were due.
        VITALS_CONFLATED_TOTAL = "pulseward_vitals_conflated_total": Counter of "readings";
    }

    "Callers and certificates" {
        /// Calls that were not let in.
        GRPC_REFUSED_TOTAL = "pulseward_grpc_refused_total": Counter of "calls"
            { reason: CALL_REFUSALS };
        /// Those of them that were counted in the audit log rather than recorded one by one.
        GRPC_REFUSED_UNRECORDED_TOTAL = "pulseward_grpc_refused_unrecorded_total":
            Counter of "calls";
        /// When the keys of callers' tokens were read.
        TOKEN_KEYS_READ_TIMESTAMP_SECONDS = "pulseward_token_keys_read_timestamp_seconds":
            GaugeOnceKnown of "seconds since 1970";
        /// Attempts to read the keys of callers' tokens that failed.
        TOKEN_KEYS_FAILURES_TOTAL = "pulseward_token_keys_failures_total": Counter of "attempts";
        /// When our certificate expires: of grpc, which callers see, of http, which browsers see, of
        /// mqtt, which the broker sees, or of store, which the database sees.
        TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS =
            "pulseward_tls_certificate_expiry_timestamp_seconds":
            GaugeOnceKnown of "seconds since 1970" { of: CERTIFICATES };
        /// Certificates that were replaced and are used since.
        TLS_RELOADS_TOTAL = "pulseward_tls_reloads_total": Counter of "replacements"
            { of: CERTIFICATES };
        /// Certificates that were replaced by what can't be used, so that the old ones stay.
        TLS_RELOAD_FAILURES_TOTAL = "pulseward_tls_reload_failures_total":
            Counter of "replacements" { of: CERTIFICATES };
        /// TLS handshakes of gRPC callers that failed.
        GRPC_HANDSHAKES_FAILED_TOTAL = "pulseward_grpc_handshakes_failed_total":
            Counter of "handshakes" { reason: HANDSHAKE_FAILURES };
        /// TLS handshakes at the port of health and the ward page that failed.
        HTTP_HANDSHAKES_FAILED_TOTAL = "pulseward_http_handshakes_failed_total":
            Counter of "handshakes" { reason: HANDSHAKE_FAILURES };
        /// What was turned away at the port of health and the ward page because there was too much
        /// of its kind: connections that had waited longest, calls of pages, questions about health.
        HTTP_CROWDED_OUT_TOTAL = "pulseward_http_crowded_out_total": Counter of "connections, requests"
            { of: Values::These(&["connections", "calls", "health"]) };
    }
}

/// The row of a metric.
#[must_use]
pub fn row(name: &str) -> Option<&'static Metric> {
    ALL.iter().find(|metric| metric.name == name)
}

/// Tells the installed recorder what each metric says, and begins those at 0 that are there from the
/// start.
pub fn begin() {
    ALL.iter().for_each(Metric::begin);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_told_once_and_say_what_they_are() {
        let mut seen = BTreeSet::new();
        for metric in ALL {
            let (name, kind) = (metric.name, metric.kind);
            assert!(seen.insert(name), "{name} is told twice");
            assert!(name.starts_with("pulseward_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name} is a {kind:?}");
            let is_in_seconds = metric.unit.starts_with("seconds");
            assert_eq!(name.ends_with("_seconds"), is_in_seconds, "{name} is in {}", metric.unit);
            assert!(!metric.says().is_empty() && !metric.says().contains('|'), "{name}");
        }
    }

    #[test]
    fn no_label_tells_of_a_patient_or_a_device() {
        for label in ALL.iter().flat_map(|metric| metric.labels) {
            for forbidden in ["patient", "device", "site", "user", "peer", "topic"] {
                assert!(!label.name.contains(forbidden), "{}", label.name);
            }
            assert!(label.name != "le" && label.name != "quantile", "Prometheus' own");
        }
    }
}
