-- Everything else of the first schema. No foreign keys: rows arrive in the journal's order, which
-- already is consistent, and a check that could refuse a row would only block the follower.

-- No unique index: it would cost most of the insert rate, and the cursor already makes each row
-- arrive once.
CREATE INDEX readings_patient_vital_time
    ON pulseward.readings (patient_key, vital, measured_at DESC);

COMMENT ON TABLE pulseward.readings IS
    'Every admitted reading once. People may prefer the view readings_named.';
COMMENT ON COLUMN pulseward.readings.value IS
    'In the unit that vitals names; a level of consciousness as its number; null when absent.';
COMMENT ON COLUMN pulseward.readings.absent IS
    '0 when there is a value, else why the sensor gave none.';
COMMENT ON COLUMN pulseward.readings.quality IS
    'Bits: 1 questionable, 2 implausible, 4 no sensor, 8 late, 16 clock ahead, 32 test, 64 demo.';

CREATE TABLE pulseward.journal_cursor (
    partition  smallint    PRIMARY KEY,
    journal_id uuid        NOT NULL,
    position   bigint      NOT NULL,
    updated_at timestamptz NOT NULL
);

COMMENT ON TABLE pulseward.journal_cursor IS
    'The last journal entry whose rows are here. Changed only together with those rows.';

CREATE TABLE pulseward.vitals (
    vital smallint PRIMARY KEY,
    name  text     NOT NULL,
    unit  text     NOT NULL
);

CREATE TABLE pulseward.sites (
    site_key     integer     PRIMARY KEY,
    site_id      text        NOT NULL UNIQUE,
    display_name text        NOT NULL,
    time_zone    text        NOT NULL,
    created_at   timestamptz NOT NULL
);

CREATE TABLE pulseward.patients (
    patient_key integer     PRIMARY KEY,
    patient_id  text        NOT NULL UNIQUE,
    site_key    integer     NOT NULL,
    created_at  timestamptz NOT NULL
);

CREATE TABLE pulseward.devices (
    device_key integer     PRIMARY KEY,
    device_id  text        NOT NULL UNIQUE,
    site_key   integer     NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE pulseward.bindings (
    device_key  integer     NOT NULL,
    bound_from  timestamptz NOT NULL,
    bound_until timestamptz,
    patient_key integer     NOT NULL,
    schedule    jsonb       NOT NULL,
    PRIMARY KEY (device_key, bound_from)
);

CREATE INDEX bindings_patient ON pulseward.bindings (patient_key, bound_from);

-- Every version is kept, because alerts name the version whose limit they broke. scope_key is
-- the site's or the patient's, and 0 for everyone's default.
CREATE TABLE pulseward.profiles (
    scope     text        NOT NULL,
    scope_key integer     NOT NULL,
    version   integer     NOT NULL,
    profile   jsonb       NOT NULL,
    put_at    timestamptz NOT NULL,
    put_by    text        NOT NULL,
    PRIMARY KEY (scope, scope_key, version)
);

-- Each alert as it stands after its last event.
CREATE TABLE pulseward.alerts (
    alert_id     uuid             PRIMARY KEY,
    patient_key  integer          NOT NULL,
    site_id      text             NOT NULL,
    device_id    text             NOT NULL,
    rule_id      text             NOT NULL,
    rule_version integer          NOT NULL,
    scope        text             NOT NULL,
    scope_key    integer          NOT NULL,
    vital        smallint         NOT NULL,
    limit_value  double precision NOT NULL,
    priority     text             NOT NULL,
    condition    text             NOT NULL,
    onset        timestamptz      NOT NULL,
    raised_at    timestamptz      NOT NULL,
    ended_at     timestamptz,
    revision     integer          NOT NULL
);

CREATE INDEX alerts_patient ON pulseward.alerts (patient_key, onset DESC);

-- Each event once, with what it made of the alert. The first four columns name the output of the
-- journal that it is.
CREATE TABLE pulseward.alert_events (
    journal_id          uuid             NOT NULL,
    partition           smallint         NOT NULL,
    position            bigint           NOT NULL,
    output_index        integer          NOT NULL,
    alert_id            uuid             NOT NULL,
    phase               text             NOT NULL,
    determined_at       timestamptz      NOT NULL,
    triggered_by        text             NOT NULL,
    trigger_measured_at timestamptz,
    trigger_value       double precision,
    device_id           text             NOT NULL,
    rule_version        integer          NOT NULL,
    scope               text             NOT NULL,
    scope_key           integer          NOT NULL,
    vital               smallint         NOT NULL,
    limit_value         double precision NOT NULL,
    priority_before     text,
    priority            text             NOT NULL,
    condition           text             NOT NULL,
    revision            integer          NOT NULL,
    PRIMARY KEY (journal_id, partition, position, output_index)
);

CREATE INDEX alert_events_alert ON pulseward.alert_events (alert_id, revision);

-- Refused messages, and refused readings of messages (reading_index). The payload stands once, in
-- the first row of its message; the others of the same position leave it null.
CREATE TABLE pulseward.rejected_messages (
    journal_id    uuid        NOT NULL,
    partition     smallint    NOT NULL,
    position      bigint      NOT NULL,
    output_index  integer     NOT NULL,
    received_at   timestamptz NOT NULL,
    topic         text        NOT NULL,
    reading_index bigint,
    reason        text        NOT NULL,
    detail        text        NOT NULL,
    payload       bytea,
    PRIMARY KEY (journal_id, partition, position, output_index)
);

CREATE INDEX rejected_messages_received ON pulseward.rejected_messages (received_at);

CREATE VIEW pulseward.readings_named AS
SELECT r.measured_at,
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
       r.received_at,
       r.stored_at
FROM pulseward.readings r
JOIN pulseward.vitals v USING (vital)
LEFT JOIN pulseward.patients p USING (patient_key)
LEFT JOIN pulseward.sites s ON s.site_key = p.site_key
LEFT JOIN pulseward.devices d USING (device_key);
