-- Buckets that end an hour before the mark or earlier are taken as they are kept; the others are
-- made from the readings themselves, so that what was stored a moment ago is in them. What comes
-- later than an hour is seen once it is summed up.
--
-- The time in `TIMESTAMPTZ 'epoch'` is moved on by the service day by day, by running this again:
-- being a constant, it spares the planner the partitions of the days before.
CREATE OR REPLACE VIEW pulseward.readings_1min AS
SELECT bucket, patient_key, vital, count, min, max, sum, last, last_measured_at
FROM pulseward.readings_1min_kept
WHERE bucket < (
    SELECT date_bin('1 minute', mark - INTERVAL '1 hour', 'epoch')
    FROM pulseward.aggregates WHERE name = 'readings_1min')
UNION ALL
SELECT date_bin('1 minute', measured_at, 'epoch'), patient_key, vital,
       count(*), min(value), max(value), sum(value),
       (max(ARRAY[extract(epoch FROM measured_at)::double precision, value]))[2],
       max(measured_at)
FROM pulseward.readings
WHERE measured_at >= (
    SELECT date_bin('1 minute', mark - INTERVAL '1 hour', 'epoch')
    FROM pulseward.aggregates WHERE name = 'readings_1min')
  AND measured_at >= TIMESTAMPTZ 'epoch'
  AND absent = 0 AND vital <> 14 AND quality & 100 = 0
GROUP BY patient_key, vital, date_bin('1 minute', measured_at, 'epoch');

CREATE OR REPLACE VIEW pulseward.readings_1h AS
SELECT bucket, patient_key, vital, count, min, max, sum, last, last_measured_at
FROM pulseward.readings_1h_kept
WHERE bucket < (
    SELECT date_bin('1 hour', mark - INTERVAL '1 hour', 'epoch')
    FROM pulseward.aggregates WHERE name = 'readings_1h')
UNION ALL
SELECT date_bin('1 hour', measured_at, 'epoch'), patient_key, vital,
       count(*), min(value), max(value), sum(value),
       (max(ARRAY[extract(epoch FROM measured_at)::double precision, value]))[2],
       max(measured_at)
FROM pulseward.readings
WHERE measured_at >= (
    SELECT date_bin('1 hour', mark - INTERVAL '1 hour', 'epoch')
    FROM pulseward.aggregates WHERE name = 'readings_1h')
  AND measured_at >= TIMESTAMPTZ 'epoch'
  AND absent = 0 AND vital <> 14 AND quality & 100 = 0
GROUP BY patient_key, vital, date_bin('1 hour', measured_at, 'epoch');
