-- How much alarms ask of a ward is counted by when alerts were raised, and by how they were answered.
-- That stands beside each alert as soon as it is known: to find it in the events of a quarter's
-- alerts would take many times as long as to count them.

ALTER TABLE alerts ADD COLUMN priority_reached   INTEGER;
ALTER TABLE alerts ADD COLUMN acknowledged_at    INTEGER;
ALTER TABLE alerts ADD COLUMN paused_at          INTEGER;
ALTER TABLE alerts ADD COLUMN condition_ended_at INTEGER;
ALTER TABLE alerts ADD COLUMN raised_paused      INTEGER;

UPDATE alerts SET
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
             max(phase = 'start' AND signal = 'paused') AS raised_paused
      FROM alert_events GROUP BY alert_id) e
WHERE e.alert_id = alerts.alert_id;

CREATE INDEX alerts_raised ON alerts (raised_at);
