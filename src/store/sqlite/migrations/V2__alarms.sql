-- Alarms at full depth: alerts without a patient or a limit, the signal beside the condition, what
-- people did, and how each patient is watched. SQLite can't loosen a column, so both tables of
-- alerts are made anew.

ALTER TABLE patients ADD COLUMN age_group TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE patients ADD COLUMN pregnancy TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE patients ADD COLUMN paused_until INTEGER;

-- patient_key is null for an alert of a gateway (site_id is set) or of the service itself (site_id
-- is null). Live alerts are those where retrospective is 0: the others were over when they became
-- known, and never signalled.
CREATE TABLE alerts_new (
    alert_id         TEXT    PRIMARY KEY,
    kind             TEXT    NOT NULL,
    patient_key      INTEGER,
    site_id          TEXT,
    rule_id          TEXT    NOT NULL,
    onset            INTEGER NOT NULL,
    raised_at        INTEGER NOT NULL,
    retrospective    INTEGER NOT NULL,
    device_id        TEXT,
    rule_version     INTEGER NOT NULL,
    scope            TEXT    NOT NULL,
    scope_key        INTEGER NOT NULL,
    vital            INTEGER,
    limit_value      REAL,
    priority         TEXT    NOT NULL,
    condition        TEXT    NOT NULL,
    signal           TEXT    NOT NULL,
    paused_until     INTEGER,
    delayed          INTEGER NOT NULL,
    unconfirmed      INTEGER NOT NULL,
    escalation_level INTEGER NOT NULL,
    assignee         TEXT,
    covered          INTEGER NOT NULL,
    score            TEXT,
    ended_at         INTEGER,
    is_over          INTEGER NOT NULL,
    revision         INTEGER NOT NULL
) STRICT;

INSERT INTO alerts_new
SELECT alert_id, 'physiological', patient_key, site_id, rule_id, onset, raised_at, 0, device_id,
       rule_version, scope, scope_key, vital, limit_value, priority, condition,
       iif(condition = 'active', 'on', 'off'), NULL, 0, 0, 0, NULL, 0, NULL, ended_at,
       condition <> 'active', revision
FROM alerts;

DROP TABLE alerts;
ALTER TABLE alerts_new RENAME TO alerts;
CREATE INDEX alerts_patient ON alerts (patient_key, onset DESC);
CREATE INDEX alerts_open ON alerts (onset DESC) WHERE NOT is_over;

-- cause is what decided the event: reading (those in readings), or what else. actor is who asked
-- for it, if a person did: the subject of their token.
CREATE TABLE alert_events_new (
    journal_id       TEXT    NOT NULL,
    partition        INTEGER NOT NULL,
    position         INTEGER NOT NULL,
    output_index     INTEGER NOT NULL,
    alert_id         TEXT    NOT NULL,
    phase            TEXT    NOT NULL,
    determined_at    INTEGER NOT NULL,
    cause            TEXT    NOT NULL,
    readings         TEXT,
    actor            TEXT,
    note             TEXT,
    priority_before  TEXT,
    device_id        TEXT,
    rule_version     INTEGER NOT NULL,
    scope            TEXT    NOT NULL,
    scope_key        INTEGER NOT NULL,
    vital            INTEGER,
    limit_value      REAL,
    priority         TEXT    NOT NULL,
    condition        TEXT    NOT NULL,
    signal           TEXT    NOT NULL,
    paused_until     INTEGER,
    delayed          INTEGER NOT NULL,
    unconfirmed      INTEGER NOT NULL,
    escalation_level INTEGER NOT NULL,
    assignee         TEXT,
    covered          INTEGER NOT NULL,
    score            TEXT,
    ended_at         INTEGER,
    is_over          INTEGER NOT NULL,
    revision         INTEGER NOT NULL,
    PRIMARY KEY (journal_id, partition, position, output_index)
) STRICT;

-- What single readings decided is told in the form of what several decide.
INSERT INTO alert_events_new
SELECT journal_id, partition, position, output_index, alert_id, phase, determined_at,
       iif(triggered_by = 'rule_removed', 'rule_changed', triggered_by),
       CASE WHEN trigger_measured_at IS NOT NULL THEN
           json_object('kind', 'deciding_readings', 'version', 1, 'body', json_array(json_object(
               'measured_at', trigger_measured_at,
               'vital', CASE vital
                   WHEN 1 THEN 'HeartRate' WHEN 2 THEN 'PulseRate' WHEN 3 THEN 'Spo2'
                   WHEN 4 THEN 'RespiratoryRate' WHEN 5 THEN 'SystolicPressure'
                   WHEN 6 THEN 'DiastolicPressure' WHEN 7 THEN 'MeanPressure'
                   WHEN 8 THEN 'BodyTemperature' WHEN 9 THEN 'SkinTemperature'
                   WHEN 10 THEN 'BloodGlucose' WHEN 11 THEN 'Weight'
                   WHEN 12 THEN 'PerfusionIndex' WHEN 13 THEN 'OxygenFlow'
                   WHEN 14 THEN 'Consciousness' WHEN 15 THEN 'Steps' END,
               'value', json_object('Quantity', CAST(round(trigger_value * 10000) AS INTEGER)))))
       END,
       NULL, NULL, priority_before, device_id, rule_version, scope, scope_key, vital, limit_value,
       priority, condition, iif(condition = 'active', 'on', 'off'), NULL, 0, 0, 0, NULL, 0, NULL,
       NULL, condition <> 'active', revision
FROM alert_events;

DROP TABLE alert_events;
ALTER TABLE alert_events_new RENAME TO alert_events;
CREATE INDEX alert_events_alert ON alert_events (alert_id, revision);

-- How each patient is watched now: an empty list of alerts does not mean that all is well.
CREATE TABLE patient_monitoring (
    patient_key INTEGER PRIMARY KEY,
    state       TEXT    NOT NULL,
    since       INTEGER NOT NULL
) STRICT;
