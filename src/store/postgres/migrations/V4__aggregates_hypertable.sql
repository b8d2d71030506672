-- Buckets of a minute and of an hour on TimescaleDB: continuous aggregates that also show what is
-- not materialized yet. When they are refreshed, when chunks go to the columnstore and when they
-- are dropped is told by policies, which follow the configuration and so are not made here.
CREATE MATERIALIZED VIEW pulseward.readings_1min
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket(INTERVAL '1 minute', measured_at) AS bucket,
       patient_key,
       vital,
       count(*)                 AS count,
       min(value)               AS min,
       max(value)               AS max,
       sum(value)               AS sum,
       last(value, measured_at) AS last,
       max(measured_at)         AS last_measured_at
FROM pulseward.readings
WHERE absent = 0 AND vital <> 14 AND quality & 100 = 0
GROUP BY 1, 2, 3
WITH NO DATA;

CREATE MATERIALIZED VIEW pulseward.readings_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket(INTERVAL '1 hour', measured_at) AS bucket,
       patient_key,
       vital,
       count(*)                 AS count,
       min(value)               AS min,
       max(value)               AS max,
       sum(value)               AS sum,
       last(value, measured_at) AS last,
       max(measured_at)         AS last_measured_at
FROM pulseward.readings
WHERE absent = 0 AND vital <> 14 AND quality & 100 = 0
GROUP BY 1, 2, 3
WITH NO DATA;

-- The older of the two names that versions know the columnstore by; each version knows it.
ALTER TABLE pulseward.readings SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'patient_key, vital',
    timescaledb.compress_orderby = 'measured_at'
);
