-- Alarms at full depth: alerts without a patient or a limit, the signal beside the condition, what
-- people did, and how each patient is watched.

ALTER TABLE pulseward.patients
    ADD COLUMN age_group    text NOT NULL DEFAULT 'unknown',
    ADD COLUMN pregnancy    text NOT NULL DEFAULT 'unknown',
    ADD COLUMN paused_until timestamptz;

ALTER TABLE pulseward.alerts
    ALTER COLUMN patient_key DROP NOT NULL,
    ALTER COLUMN site_id     DROP NOT NULL,
    ALTER COLUMN device_id   DROP NOT NULL,
    ALTER COLUMN vital       DROP NOT NULL,
    ALTER COLUMN limit_value DROP NOT NULL,
    ADD COLUMN kind             text     NOT NULL DEFAULT 'physiological',
    ADD COLUMN retrospective    boolean  NOT NULL DEFAULT false,
    ADD COLUMN signal           text     NOT NULL DEFAULT 'off',
    ADD COLUMN paused_until     timestamptz,
    ADD COLUMN delayed          boolean  NOT NULL DEFAULT false,
    ADD COLUMN unconfirmed      boolean  NOT NULL DEFAULT false,
    ADD COLUMN escalation_level smallint NOT NULL DEFAULT 0,
    ADD COLUMN assignee         text,
    ADD COLUMN covered          integer  NOT NULL DEFAULT 0,
    ADD COLUMN score            jsonb,
    ADD COLUMN is_over          boolean  NOT NULL DEFAULT true;

UPDATE pulseward.alerts SET signal = 'on', is_over = false WHERE condition = 'active';

ALTER TABLE pulseward.alerts
    ALTER COLUMN kind             DROP DEFAULT,
    ALTER COLUMN retrospective    DROP DEFAULT,
    ALTER COLUMN signal           DROP DEFAULT,
    ALTER COLUMN delayed          DROP DEFAULT,
    ALTER COLUMN unconfirmed      DROP DEFAULT,
    ALTER COLUMN escalation_level DROP DEFAULT,
    ALTER COLUMN covered          DROP DEFAULT,
    ALTER COLUMN is_over          DROP DEFAULT;

CREATE INDEX alerts_open ON pulseward.alerts (onset DESC) WHERE NOT is_over;

COMMENT ON COLUMN pulseward.alerts.retrospective IS
    'Raised by late readings only: over when it became known, never signalled. Live alerts are '
    'those where this is false.';
COMMENT ON COLUMN pulseward.alerts.patient_key IS
    'Null for an alert of a gateway (site_id is set) or of the service itself (site_id is null).';
COMMENT ON COLUMN pulseward.alerts.signal IS
    'Whom it has reached: off, on, acknowledged, paused (until paused_until), latched.';
COMMENT ON COLUMN pulseward.alerts.is_over IS
    'Its condition has ended and no signal waits to be reset.';

ALTER TABLE pulseward.alert_events RENAME COLUMN triggered_by TO cause;
ALTER TABLE pulseward.alert_events
    ALTER COLUMN device_id   DROP NOT NULL,
    ALTER COLUMN vital       DROP NOT NULL,
    ALTER COLUMN limit_value DROP NOT NULL,
    ADD COLUMN readings         jsonb,
    ADD COLUMN actor            text,
    ADD COLUMN note             text,
    ADD COLUMN signal           text     NOT NULL DEFAULT 'off',
    ADD COLUMN paused_until     timestamptz,
    ADD COLUMN delayed          boolean  NOT NULL DEFAULT false,
    ADD COLUMN unconfirmed      boolean  NOT NULL DEFAULT false,
    ADD COLUMN escalation_level smallint NOT NULL DEFAULT 0,
    ADD COLUMN assignee         text,
    ADD COLUMN covered          integer  NOT NULL DEFAULT 0,
    ADD COLUMN score            jsonb,
    ADD COLUMN ended_at         timestamptz,
    ADD COLUMN is_over          boolean  NOT NULL DEFAULT true;

-- What single readings decided is told in the form of what several decide.
UPDATE pulseward.alert_events e SET
    cause = CASE cause WHEN 'rule_removed' THEN 'rule_changed' ELSE cause END,
    signal = CASE condition WHEN 'active' THEN 'on' ELSE 'off' END,
    is_over = condition <> 'active',
    readings = CASE WHEN trigger_measured_at IS NOT NULL THEN
        jsonb_build_object('kind', 'deciding_readings', 'version', 1, 'body', jsonb_build_array(
            jsonb_build_object(
                'measured_at', (extract(epoch FROM trigger_measured_at) * 1000000)::bigint,
                'vital', (SELECT replace(initcap(replace(name, '_', ' ')), ' ', '')
                          FROM pulseward.vitals v WHERE v.vital = e.vital),
                'value', jsonb_build_object('Quantity', round(trigger_value * 10000)::bigint))))
    END;

ALTER TABLE pulseward.alert_events
    DROP COLUMN trigger_measured_at,
    DROP COLUMN trigger_value,
    ALTER COLUMN signal           DROP DEFAULT,
    ALTER COLUMN delayed          DROP DEFAULT,
    ALTER COLUMN unconfirmed      DROP DEFAULT,
    ALTER COLUMN escalation_level DROP DEFAULT,
    ALTER COLUMN covered          DROP DEFAULT,
    ALTER COLUMN is_over          DROP DEFAULT;

COMMENT ON COLUMN pulseward.alert_events.cause IS
    'What decided it: reading (those in readings), or what else.';
COMMENT ON COLUMN pulseward.alert_events.actor IS
    'Who asked for it, if a person did: the subject of their token.';

-- How each patient is watched now: an empty list of alerts does not mean that all is well.
CREATE TABLE pulseward.patient_monitoring (
    patient_key integer     PRIMARY KEY,
    state       text        NOT NULL,
    since       timestamptz NOT NULL
);
