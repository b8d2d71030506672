-- How much alarms ask of a ward is counted by when alerts were raised, and by how they were answered.
-- That stands beside each alert as soon as it is known: to find it in the events of a quarter's
-- alerts would take many times as long as to count them.

ALTER TABLE pulseward.alerts
    ADD COLUMN priority_reached   integer,
    ADD COLUMN acknowledged_at    timestamptz,
    ADD COLUMN paused_at          timestamptz,
    ADD COLUMN condition_ended_at timestamptz,
    ADD COLUMN raised_paused      boolean;

UPDATE pulseward.alerts a SET
    priority_reached = e.priority_reached,
    acknowledged_at = e.acknowledged_at,
    paused_at = e.paused_at,
    condition_ended_at = e.condition_ended_at,
    raised_paused = e.raised_paused
FROM (SELECT alert_id,
             max(CASE priority WHEN 'high' THEN 3 WHEN 'medium' THEN 2 ELSE 1 END)
                 AS priority_reached,
             min(determined_at) FILTER (WHERE phase = 'acknowledge') AS acknowledged_at,
             min(determined_at) FILTER (WHERE phase = 'pause') AS paused_at,
             min(determined_at) FILTER (WHERE phase = 'end') AS condition_ended_at,
             bool_or(phase = 'start' AND signal = 'paused') AS raised_paused
      FROM pulseward.alert_events GROUP BY alert_id) e
WHERE e.alert_id = a.alert_id;

CREATE INDEX alerts_raised ON pulseward.alerts (raised_at);

COMMENT ON COLUMN pulseward.alerts.priority_reached IS
    'The highest priority that it has had: 1 low, 2 medium, 3 high.';
COMMENT ON COLUMN pulseward.alerts.acknowledged_at IS
    'When it was first acknowledged, by the clock of the service.';
COMMENT ON COLUMN pulseward.alerts.paused_at IS 'When it was first paused after it was raised.';
COMMENT ON COLUMN pulseward.alerts.condition_ended_at IS
    'When the service knew that its condition had ended; ended_at is when that was measured.';
COMMENT ON COLUMN pulseward.alerts.raised_paused IS
    'Whether it was raised while its patient was paused.';
