-- Alerts are listed latest onset first, whoever's they are.

CREATE INDEX alerts_onset ON pulseward.alerts (onset DESC, alert_id DESC);
