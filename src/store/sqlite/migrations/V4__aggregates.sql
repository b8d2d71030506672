-- Buckets of a minute and of an hour: tables that the service keeps, and views that add to them
-- what is not in them yet. Named as in Postgres, where a comment tells what is in them.
-- A bucket is named by the microseconds since 1970 at which it begins.

-- The views of buckets, and the latest stored_at among the readings that the kept table of each
-- sums up.
CREATE TABLE aggregates (
    name TEXT    PRIMARY KEY,
    mark INTEGER NOT NULL
) STRICT;

INSERT INTO aggregates VALUES ('readings_1min', 0), ('readings_1h', 0);

-- Each batch stands here, for each of the aggregates, from the transaction that stored it to the
-- one that sums it up, so that each is summed up once, whatever comes late and whatever crashes:
-- the readings of that stored_at within these row ids.
CREATE TABLE stored_batches (
    aggregate     TEXT    NOT NULL,
    stored_at     INTEGER NOT NULL,
    reading_count INTEGER NOT NULL,
    first_rowid   INTEGER NOT NULL,
    last_rowid    INTEGER NOT NULL
) STRICT;

CREATE INDEX stored_batches_next ON stored_batches (aggregate, stored_at);

INSERT INTO stored_batches
SELECT name, stored_at, count(*), min(r.rowid), max(r.rowid)
FROM readings r, aggregates
GROUP BY name, stored_at;

CREATE TABLE readings_1min_kept (
    bucket           INTEGER NOT NULL,
    patient_key      INTEGER NOT NULL,
    vital            INTEGER NOT NULL,
    count            INTEGER NOT NULL,
    min              REAL    NOT NULL,
    max              REAL    NOT NULL,
    sum              REAL    NOT NULL,
    last             REAL    NOT NULL,
    last_measured_at INTEGER NOT NULL,
    PRIMARY KEY (patient_key, vital, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE readings_1h_kept (
    bucket           INTEGER NOT NULL,
    patient_key      INTEGER NOT NULL,
    vital            INTEGER NOT NULL,
    count            INTEGER NOT NULL,
    min              REAL    NOT NULL,
    max              REAL    NOT NULL,
    sum              REAL    NOT NULL,
    last             REAL    NOT NULL,
    last_measured_at INTEGER NOT NULL,
    PRIMARY KEY (patient_key, vital, bucket)
) STRICT, WITHOUT ROWID;

-- Buckets that end an hour before the mark or earlier are taken as they are kept; the others are
-- made from the readings themselves, so that what was stored a moment ago is in them. What comes
-- later than an hour is seen once it is summed up.
CREATE VIEW readings_1min AS
SELECT bucket, patient_key, vital, count, min, max, sum, last, last_measured_at
FROM readings_1min_kept
WHERE bucket < (
    SELECT (mark - 3600000000) / 60000000 * 60000000
    FROM aggregates WHERE name = 'readings_1min')
UNION ALL
SELECT measured_at / 60000000 * 60000000, patient_key, vital,
       count(*), min(value), max(value), sum(value),
       CAST(substr(max(printf('%020d%s', measured_at, value)), 21) AS REAL),
       max(measured_at)
FROM readings
WHERE measured_at >= (
    SELECT (mark - 3600000000) / 60000000 * 60000000
    FROM aggregates WHERE name = 'readings_1min')
  AND absent = 0 AND vital <> 14 AND quality & 100 = 0
GROUP BY patient_key, vital, measured_at / 60000000 * 60000000;

CREATE VIEW readings_1h AS
SELECT bucket, patient_key, vital, count, min, max, sum, last, last_measured_at
FROM readings_1h_kept
WHERE bucket < (
    SELECT (mark - 3600000000) / 3600000000 * 3600000000
    FROM aggregates WHERE name = 'readings_1h')
UNION ALL
SELECT measured_at / 3600000000 * 3600000000, patient_key, vital,
       count(*), min(value), max(value), sum(value),
       CAST(substr(max(printf('%020d%s', measured_at, value)), 21) AS REAL),
       max(measured_at)
FROM readings
WHERE measured_at >= (
    SELECT (mark - 3600000000) / 3600000000 * 3600000000
    FROM aggregates WHERE name = 'readings_1h')
  AND absent = 0 AND vital <> 14 AND quality & 100 = 0
GROUP BY patient_key, vital, measured_at / 3600000000 * 3600000000;

-- The same as before, in words that the command line shell of older versions knows too.
DROP VIEW readings_named;
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
       substr(
           iif(r.quality &   1 <> 0, ',questionable', '')
           || iif(r.quality &   2 <> 0, ',implausible', '')
           || iif(r.quality &   4 <> 0, ',no_sensor', '')
           || iif(r.quality &   8 <> 0, ',late', '')
           || iif(r.quality &  16 <> 0, ',clock_ahead', '')
           || iif(r.quality &  32 <> 0, ',test', '')
           || iif(r.quality &  64 <> 0, ',demo', '')
           || iif(r.quality & 128 <> 0, ',amended', '')
           || iif(r.quality & 256 <> 0, ',clock_unset', ''),
           2) AS quality,
       strftime('%Y-%m-%dT%H:%M:%S', r.received_at / 1000000, 'unixepoch')
           || printf('.%06dZ', r.received_at % 1000000) AS received_at,
       strftime('%Y-%m-%dT%H:%M:%S', r.stored_at / 1000000, 'unixepoch')
           || printf('.%06dZ', r.stored_at % 1000000) AS stored_at,
       r.original_value,
       r.original_unit,
       r.interval_us / 1e6 AS interval_seconds,
       r.measurement_id
FROM readings r
JOIN vitals v USING (vital)
LEFT JOIN patients p USING (patient_key)
LEFT JOIN sites s ON s.site_key = p.site_key
LEFT JOIN devices d USING (device_key);
