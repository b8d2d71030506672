//! The name of every metric, with what it says.
//!
//! A dashboard is built on these, so they change only with a version. Counters end in `_total`,
//! durations in `_seconds`, distributions of batch sizes in `_batch`. Labels have few values and
//! are never a patient or a device.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Gauge, always 1. Label `version`.
pub const BUILD_INFO: &str = "pulseward_build_info";

/// Counter. Label `outcome`.
pub const CONFIG_RELOADS_TOTAL: &str = "pulseward_config_reloads_total";
/// Gauge.
pub const CONFIG_READ_TIMESTAMP_SECONDS: &str = "pulseward_config_read_timestamp_seconds";

/// Counter. Label `qos`.
pub const MQTT_MESSAGES_TOTAL: &str = "pulseward_mqtt_messages_total";
/// Counter.
pub const MQTT_PAYLOAD_BYTES_TOTAL: &str = "pulseward_mqtt_payload_bytes_total";
/// Counter.
pub const MQTT_ACKNOWLEDGED_TOTAL: &str = "pulseward_mqtt_acknowledged_total";
/// Counter.
pub const MQTT_ACKNOWLEDGED_STALE_TOTAL: &str = "pulseward_mqtt_acknowledged_stale_total";
/// Gauge, 1 or 0. Label `client`.
pub const MQTT_CONNECTED: &str = "pulseward_mqtt_connected";
/// Counter. Label `client`.
pub const MQTT_CONNECTIONS_LOST_TOTAL: &str = "pulseward_mqtt_connections_lost_total";
/// Counter.
pub const MQTT_SESSIONS_ABSENT_TOTAL: &str = "pulseward_mqtt_sessions_absent_total";
/// Counter.
pub const MQTT_VERDICTS_PUBLISHED_TOTAL: &str = "pulseward_mqtt_verdicts_published_total";
/// Counter. Label `reason`.
pub const MQTT_VERDICTS_DROPPED_TOTAL: &str = "pulseward_mqtt_verdicts_dropped_total";

/// Counter. Label `kind`.
pub const INPUTS_TOTAL: &str = "pulseward_inputs_total";
/// Counter. Label `kind`.
pub const INPUTS_POISONED_TOTAL: &str = "pulseward_inputs_poisoned_total";
/// Counter. Label `vital`.
pub const READINGS_ADMITTED_TOTAL: &str = "pulseward_readings_admitted_total";
/// Counter. Label `reason`.
pub const REJECTS_TOTAL: &str = "pulseward_rejects_total";
/// Counter.
pub const REDRIVEN_TOTAL: &str = "pulseward_redriven_total";
/// Counter. Label `kind`.
pub const SEQUENCE_EVENTS_TOTAL: &str = "pulseward_sequence_events_total";
/// Counter. Label `outcome`.
pub const AUDIT_EVENTS_TOTAL: &str = "pulseward_audit_events_total";
/// Counter. Labels `phase`, `priority`.
pub const ALERT_EVENTS_TOTAL: &str = "pulseward_alert_events_total";
/// Counter. Label `state`.
pub const MONITORING_CHANGES_TOTAL: &str = "pulseward_monitoring_changes_total";
/// Gauge. Label `state`.
pub const PATIENTS: &str = "pulseward_patients";
/// Gauge.
pub const ALERTS_OPEN: &str = "pulseward_alerts_open";

/// Histogram.
pub const ENGINE_SECONDS: &str = "pulseward_engine_seconds";
/// Histogram.
pub const COMMIT_SECONDS: &str = "pulseward_commit_seconds";
/// Histogram.
pub const COMMIT_BATCH: &str = "pulseward_commit_batch";
/// Gauge.
pub const JOURNAL_BYTES: &str = "pulseward_journal_bytes";
/// Gauge, 1 or 0.
pub const JOURNAL_FULL: &str = "pulseward_journal_full";
/// Gauge.
pub const JOURNAL_LAST_POSITION: &str = "pulseward_journal_last_position";

/// Counter.
pub const STORE_READINGS_TOTAL: &str = "pulseward_store_readings_total";
/// Counter. Label `table`.
pub const STORE_REFUSED_ROWS_TOTAL: &str = "pulseward_store_refused_rows_total";
/// Histogram.
pub const STORE_WRITE_SECONDS: &str = "pulseward_store_write_seconds";
/// Counter.
pub const STORE_FAILURES_TOTAL: &str = "pulseward_store_failures_total";
/// Gauge, 1 or 0.
pub const STORE_CONNECTED: &str = "pulseward_store_connected";
/// Counter. Label `reason`.
pub const STORE_GAPS_ACCEPTED_TOTAL: &str = "pulseward_store_gaps_accepted_total";
/// Gauge.
pub const STORE_POSITION: &str = "pulseward_store_position";

/// Histogram. Label `task`.
pub const STORE_MAINTENANCE_SECONDS: &str = "pulseward_store_maintenance_seconds";
/// Counter. Label `task`.
pub const STORE_MAINTENANCE_FAILURES_TOTAL: &str = "pulseward_store_maintenance_failures_total";
/// Gauge. Label `task`.
pub const STORE_MAINTENANCE_DONE_TIMESTAMP_SECONDS: &str =
    "pulseward_store_maintenance_done_timestamp_seconds";

/// Gauge.
pub const HUB_POSITION: &str = "pulseward_hub_position";
/// Histogram.
pub const HUB_LAG_SECONDS: &str = "pulseward_hub_lag_seconds";
/// Gauge.
pub const WATCHERS: &str = "pulseward_watchers";
/// Counter. Label `reason`.
pub const WATCHERS_ENDED_TOTAL: &str = "pulseward_watchers_ended_total";
/// Gauge.
pub const VITALS_WATCHERS: &str = "pulseward_vitals_watchers";
/// Counter.
pub const VITALS_CONFLATED_TOTAL: &str = "pulseward_vitals_conflated_total";

/// Counter. Label `reason`.
pub const GRPC_REFUSED_TOTAL: &str = "pulseward_grpc_refused_total";
/// Counter.
pub const GRPC_REFUSED_UNRECORDED_TOTAL: &str = "pulseward_grpc_refused_unrecorded_total";
/// Gauge.
pub const TOKEN_KEYS_READ_TIMESTAMP_SECONDS: &str = "pulseward_token_keys_read_timestamp_seconds";
/// Counter.
pub const TOKEN_KEYS_FAILURES_TOTAL: &str = "pulseward_token_keys_failures_total";
/// Gauge. Label `of`.
pub const TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS: &str =
    "pulseward_tls_certificate_expiry_timestamp_seconds";
/// Counter. Label `of`.
pub const TLS_RELOADS_TOTAL: &str = "pulseward_tls_reloads_total";
/// Counter. Label `of`.
pub const TLS_RELOAD_FAILURES_TOTAL: &str = "pulseward_tls_reload_failures_total";
/// Counter. Label `reason`.
pub const GRPC_HANDSHAKES_FAILED_TOTAL: &str = "pulseward_grpc_handshakes_failed_total";

/// Tells the installed recorder what each metric says.
pub fn describe() {
    describe_gauge!(BUILD_INFO, "1, with the version of this build as its label");
    describe_mqtt();
    describe_engine();
    describe_journal();
    describe_store();
    describe_hub();
    describe_grpc();
    describe_tls();
}

fn describe_mqtt() {
    describe_counter!(MQTT_MESSAGES_TOTAL, "Messages received from the broker");
    describe_counter!(MQTT_PAYLOAD_BYTES_TOTAL, Unit::Bytes, "Their payloads");
    describe_counter!(MQTT_ACKNOWLEDGED_TOTAL, "Messages acknowledged after they were durable");
    describe_counter!(
        MQTT_ACKNOWLEDGED_STALE_TOTAL,
        "Acknowledgements of an ended connection, dropped because they would be another message's"
    );
    describe_gauge!(MQTT_CONNECTED, "Whether the link to the broker is up, by client");
    describe_counter!(MQTT_CONNECTIONS_LOST_TOTAL, "Connections to the broker that broke");
    describe_counter!(
        MQTT_SESSIONS_ABSENT_TOTAL,
        "Connections at which the broker no longer had our session, so that messages may be lost"
    );
    describe_counter!(MQTT_VERDICTS_PUBLISHED_TOTAL, "Verdicts sent to gateways");
    describe_counter!(MQTT_VERDICTS_DROPPED_TOTAL, "Verdicts not sent, by reason");
}

fn describe_engine() {
    describe_counter!(INPUTS_TOTAL, "Inputs that the engine applied, by kind");
    describe_counter!(
        INPUTS_POISONED_TOTAL,
        "Messages and commands refused unread, because the service broke down on them before"
    );
    describe_counter!(READINGS_ADMITTED_TOTAL, "Readings admitted, by vital");
    describe_counter!(REJECTS_TOTAL, "Readings and messages refused, by reason");
    describe_counter!(REDRIVEN_TOTAL, "Refused messages sent through the intake again");
    describe_counter!(
        SEQUENCE_EVENTS_TOTAL,
        "What happened to the order of devices' readings, by kind; in_order up to a minute late"
    );
    describe_counter!(AUDIT_EVENTS_TOTAL, "Calls put on record, by how they ended");
    describe_counter!(ALERT_EVENTS_TOTAL, "Alert events, by phase and priority");
    describe_counter!(
        MONITORING_CHANGES_TOTAL,
        "Changes of how patients are watched, by the state that they reached"
    );
    describe_gauge!(PATIENTS, Unit::Count, "Patients, by how they are watched now");
    describe_gauge!(ALERTS_OPEN, Unit::Count, "Alerts that are not over");
    describe_histogram!(
        ENGINE_SECONDS,
        Unit::Seconds,
        "Time of the engine for the inputs that shared one commit"
    );
}

fn describe_journal() {
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "Time of one durable commit");
    describe_histogram!(COMMIT_BATCH, Unit::Count, "Inputs that shared one commit");
    describe_gauge!(JOURNAL_BYTES, Unit::Bytes, "What the journal takes on disk");
    describe_gauge!(
        JOURNAL_FULL,
        "Whether messages are left at the broker, because only the journal's reserve is left"
    );
    describe_gauge!(JOURNAL_LAST_POSITION, "Position of the last durable entry");
}

fn describe_store() {
    describe_counter!(STORE_READINGS_TOTAL, "Readings written to the store");
    describe_counter!(
        STORE_REFUSED_ROWS_TOTAL,
        "Rows that the database refused, and that were set aside in refused_rows, by table"
    );
    describe_histogram!(STORE_WRITE_SECONDS, Unit::Seconds, "Time of one transaction of the store");
    describe_counter!(
        STORE_FAILURES_TOTAL,
        "Attempts to reach the database or to write to it that failed"
    );
    describe_counter!(
        STORE_GAPS_ACCEPTED_TOTAL,
        "Gaps in the stored rows that were accepted at this start, by reason"
    );
    describe_gauge!(STORE_CONNECTED, "Whether the database takes what it is given");
    describe_gauge!(STORE_POSITION, "Position up to which the store has written everything");
    describe_histogram!(
        STORE_MAINTENANCE_SECONDS,
        Unit::Seconds,
        "Time of one step of the database's maintenance, by task"
    );
    describe_counter!(
        STORE_MAINTENANCE_FAILURES_TOTAL,
        "Steps of the database's maintenance that failed and are tried again, by task"
    );
    describe_gauge!(
        STORE_MAINTENANCE_DONE_TIMESTAMP_SECONDS,
        Unit::Seconds,
        "When nothing was left to do for a task, since 1970"
    );
}

fn describe_hub() {
    describe_gauge!(HUB_POSITION, "Position up to which watchers have been told everything");
    describe_histogram!(
        HUB_LAG_SECONDS,
        Unit::Seconds,
        "From the receipt of an input to its arrival at the hub, for the last input of each batch"
    );
    describe_gauge!(WATCHERS, Unit::Count, "Open alert streams");
    describe_counter!(WATCHERS_ENDED_TOTAL, "Alert streams that the service ended, by reason");
    describe_gauge!(VITALS_WATCHERS, Unit::Count, "Open streams of live vitals");
    describe_counter!(
        VITALS_CONFLATED_TOTAL,
        "Readings left out of streams of live vitals, because newer ones came before they were due"
    );
}

fn describe_grpc() {
    describe_counter!(GRPC_REFUSED_TOTAL, "Calls that were not let in, by reason");
    describe_counter!(
        GRPC_REFUSED_UNRECORDED_TOTAL,
        "Those of them that were counted in the audit log rather than recorded one by one"
    );
    describe_gauge!(
        TOKEN_KEYS_READ_TIMESTAMP_SECONDS,
        Unit::Seconds,
        "When the keys of callers' tokens were read, since 1970"
    );
    describe_counter!(
        TOKEN_KEYS_FAILURES_TOTAL,
        "Attempts to read the keys of callers' tokens that failed"
    );
}

fn describe_tls() {
    describe_gauge!(
        TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS,
        Unit::Seconds,
        "When our certificate expires, since 1970: of grpc, which callers see, or of mqtt, which \
         the broker sees"
    );
    describe_counter!(TLS_RELOADS_TOTAL, "Certificates that were replaced and are used since");
    describe_counter!(
        TLS_RELOAD_FAILURES_TOTAL,
        "Certificates that were replaced by what can't be used, so that the old ones stay"
    );
    describe_counter!(
        GRPC_HANDSHAKES_FAILED_TOTAL,
        "TLS handshakes of gRPC callers that failed, by reason"
    );
}
