-- The first schema: that of Postgres, table by table and name by name. What SQLite has no type for:
-- times are microseconds since 1970 in UTC, ids and JSON are text. The view shows times as text.

CREATE TABLE readings (
    measured_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    stored_at   INTEGER NOT NULL,
    value       REAL,
    patient_key INTEGER NOT NULL,
    device_key  INTEGER NOT NULL,
    quality     INTEGER NOT NULL,
    vital       INTEGER NOT NULL,
    absent      INTEGER NOT NULL
) STRICT;

-- No unique index: the cursor already makes each row arrive once.
CREATE INDEX readings_patient_vital_time
    ON readings (patient_key, vital, measured_at DESC);

CREATE TABLE journal_cursor (
    partition  INTEGER PRIMARY KEY,
    journal_id TEXT    NOT NULL,
    position   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE vitals (
    vital INTEGER PRIMARY KEY,
    name  TEXT    NOT NULL,
    unit  TEXT    NOT NULL
) STRICT;

CREATE TABLE sites (
    site_key     INTEGER PRIMARY KEY,
    site_id      TEXT    NOT NULL UNIQUE,
    display_name TEXT    NOT NULL,
    time_zone    TEXT    NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE patients (
    patient_key INTEGER PRIMARY KEY,
    patient_id  TEXT    NOT NULL UNIQUE,
    site_key    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE devices (
    device_key INTEGER PRIMARY KEY,
    device_id  TEXT    NOT NULL UNIQUE,
    site_key   INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE bindings (
    device_key  INTEGER NOT NULL,
    bound_from  INTEGER NOT NULL,
    bound_until INTEGER,
    patient_key INTEGER NOT NULL,
    schedule    TEXT    NOT NULL,
    PRIMARY KEY (device_key, bound_from)
) STRICT;

CREATE INDEX bindings_patient ON bindings (patient_key, bound_from);

-- Every version is kept, because alerts name the version whose limit they broke. scope_key is
-- the site's or the patient's, and 0 for everyone's default.
CREATE TABLE profiles (
    scope     TEXT    NOT NULL,
    scope_key INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    profile   TEXT    NOT NULL,
    put_at    INTEGER NOT NULL,
    put_by    TEXT    NOT NULL,
    PRIMARY KEY (scope, scope_key, version)
) STRICT;

-- Each alert as it stands after its last event.
CREATE TABLE alerts (
    alert_id     TEXT    PRIMARY KEY,
    patient_key  INTEGER NOT NULL,
    site_id      TEXT    NOT NULL,
    device_id    TEXT    NOT NULL,
    rule_id      TEXT    NOT NULL,
    rule_version INTEGER NOT NULL,
    scope        TEXT    NOT NULL,
    scope_key    INTEGER NOT NULL,
    vital        INTEGER NOT NULL,
    limit_value  REAL    NOT NULL,
    priority     TEXT    NOT NULL,
    condition    TEXT    NOT NULL,
    onset        INTEGER NOT NULL,
    raised_at    INTEGER NOT NULL,
    ended_at     INTEGER,
    revision     INTEGER NOT NULL
) STRICT;

CREATE INDEX alerts_patient ON alerts (patient_key, onset DESC);

-- Each event once, with what it made of the alert. The first four columns name the output of the
-- journal that it is.
CREATE TABLE alert_events (
    journal_id          TEXT    NOT NULL,
    partition           INTEGER NOT NULL,
    position            INTEGER NOT NULL,
    output_index        INTEGER NOT NULL,
    alert_id            TEXT    NOT NULL,
    phase               TEXT    NOT NULL,
    determined_at       INTEGER NOT NULL,
    triggered_by        TEXT    NOT NULL,
    trigger_measured_at INTEGER,
    trigger_value       REAL,
    device_id           TEXT    NOT NULL,
    rule_version        INTEGER NOT NULL,
    scope               TEXT    NOT NULL,
    scope_key           INTEGER NOT NULL,
    vital               INTEGER NOT NULL,
    limit_value         REAL    NOT NULL,
    priority_before     TEXT,
    priority            TEXT    NOT NULL,
    condition           TEXT    NOT NULL,
    revision            INTEGER NOT NULL,
    PRIMARY KEY (journal_id, partition, position, output_index)
) STRICT;

CREATE INDEX alert_events_alert ON alert_events (alert_id, revision);

-- Refused messages, and refused readings of messages (reading_index). The payload stands once, in
-- the first row of its message; the others of the same position leave it null.
CREATE TABLE rejected_messages (
    journal_id    TEXT    NOT NULL,
    partition     INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    output_index  INTEGER NOT NULL,
    received_at   INTEGER NOT NULL,
    topic         TEXT    NOT NULL,
    reading_index INTEGER,
    reason        TEXT    NOT NULL,
    detail        TEXT    NOT NULL,
    payload       BLOB,
    PRIMARY KEY (journal_id, partition, position, output_index)
) STRICT;

CREATE INDEX rejected_messages_received ON rejected_messages (received_at);

CREATE VIEW readings_named AS
SELECT strftime('%Y-%m-%dT%H:%M:%S', r.measured_at / 1000000, 'unixepoch')
           || printf('.%06dZ', r.measured_at % 1000000) AS measured_at,
       s.site_id,
       p.patient_id,
       d.device_id,
       v.name AS vital,
       r.value,
       v.unit,
       CASE WHEN v.name = 'consciousness' THEN
           CASE r.value WHEN 1 THEN 'alert' WHEN 2 THEN 'confusion' WHEN 3 THEN 'voice'
                        WHEN 4 THEN 'pain' WHEN 5 THEN 'unresponsive' END
       END AS consciousness,
       CASE r.absent WHEN 1 THEN 'unknown' WHEN 2 THEN 'sensor_off' WHEN 3 THEN 'not_a_number'
                     WHEN 4 THEN 'error' WHEN 5 THEN 'artefact' END AS absent_reason,
       concat_ws(',',
           CASE WHEN r.quality &  1 <> 0 THEN 'questionable' END,
           CASE WHEN r.quality &  2 <> 0 THEN 'implausible' END,
           CASE WHEN r.quality &  4 <> 0 THEN 'no_sensor' END,
           CASE WHEN r.quality &  8 <> 0 THEN 'late' END,
           CASE WHEN r.quality & 16 <> 0 THEN 'clock_ahead' END,
           CASE WHEN r.quality & 32 <> 0 THEN 'test' END,
           CASE WHEN r.quality & 64 <> 0 THEN 'demo' END) AS quality,
       strftime('%Y-%m-%dT%H:%M:%S', r.received_at / 1000000, 'unixepoch')
           || printf('.%06dZ', r.received_at % 1000000) AS received_at,
       strftime('%Y-%m-%dT%H:%M:%S', r.stored_at / 1000000, 'unixepoch')
           || printf('.%06dZ', r.stored_at % 1000000) AS stored_at
FROM readings r
JOIN vitals v USING (vital)
LEFT JOIN patients p USING (patient_key)
LEFT JOIN sites s ON s.site_key = p.site_key
LEFT JOIN devices d USING (device_key);
