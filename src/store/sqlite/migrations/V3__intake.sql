-- What devices send, kept as fully as it was said: beside each reading what it was before its
-- conversion, for each device what became of its numbers, and what was sent through again.

-- Dead letters: found by site and device, and sent through the intake again.
ALTER TABLE rejected_messages ADD COLUMN site_id       TEXT;
ALTER TABLE rejected_messages ADD COLUMN device_id     TEXT;
ALTER TABLE rejected_messages ADD COLUMN encoding      TEXT;
ALTER TABLE rejected_messages ADD COLUMN reading_count INTEGER NOT NULL DEFAULT 1;
-- The id of the message that was sent through again and refused as this one.
ALTER TABLE rejected_messages ADD COLUMN redriven_from TEXT;
-- When the message was sent through the intake again.
ALTER TABLE rejected_messages ADD COLUMN redriven_at   INTEGER;

-- The topic without pulseward/v1/ is site/device/kind.
UPDATE rejected_messages
SET site_id = substr(topic, 14, instr(substr(topic, 14), '/') - 1),
    device_id = substr(
        topic,
        14 + instr(substr(topic, 14), '/'),
        instr(substr(topic, 14 + instr(substr(topic, 14), '/')), '/') - 1)
WHERE (topic GLOB 'pulseward/v1/?*/?*/readings' OR topic GLOB 'pulseward/v1/?*/?*/status')
  AND substr(topic, 14) NOT GLOB '*/*/*/*'
  AND substr(topic, 14) NOT GLOB '*[^A-Za-z0-9._/-]*';

DROP INDEX rejected_messages_received;
CREATE INDEX rejected_messages_latest
    ON rejected_messages (received_at, journal_id, partition, position);
CREATE INDEX rejected_messages_device
    ON rejected_messages (device_id, received_at, journal_id, partition, position);

-- How many messages were sent through again, by the journal entries whose rows are here.
CREATE TABLE redrives (
    partition INTEGER PRIMARY KEY,
    number    INTEGER NOT NULL
) STRICT;

-- What people measure by hand stands under a device of its own, which belongs to no site.
INSERT INTO devices (device_key, device_id, site_key, created_at) VALUES (-1, 'by-hand', -1, 0);

ALTER TABLE readings ADD COLUMN original_value REAL;
ALTER TABLE readings ADD COLUMN original_unit TEXT;
ALTER TABLE readings ADD COLUMN interval_us INTEGER;
ALTER TABLE readings ADD COLUMN measurement_id INTEGER;

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
       concat_ws(',',
           CASE WHEN r.quality &   1 <> 0 THEN 'questionable' END,
           CASE WHEN r.quality &   2 <> 0 THEN 'implausible' END,
           CASE WHEN r.quality &   4 <> 0 THEN 'no_sensor' END,
           CASE WHEN r.quality &   8 <> 0 THEN 'late' END,
           CASE WHEN r.quality &  16 <> 0 THEN 'clock_ahead' END,
           CASE WHEN r.quality &  32 <> 0 THEN 'test' END,
           CASE WHEN r.quality &  64 <> 0 THEN 'demo' END,
           CASE WHEN r.quality & 128 <> 0 THEN 'amended' END,
           CASE WHEN r.quality & 256 <> 0 THEN 'clock_unset' END) AS quality,
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

-- What became of each device's readings since it was enrolled. Written when something unusual
-- happened, and otherwise once a minute while the device sends. boot_id and highest_seq are
-- unsigned: from 2^63 on they show as negative. position is the journal entry after which this was
-- so.
CREATE TABLE device_sequences (
    device_key          INTEGER PRIMARY KEY,
    boot_id             INTEGER NOT NULL,
    highest_seq         INTEGER,
    missing_count       INTEGER NOT NULL,
    accepted_count      INTEGER NOT NULL,
    duplicate_count     INTEGER NOT NULL,
    reordered_count     INTEGER NOT NULL,
    rejected_count      INTEGER NOT NULL,
    amended_count       INTEGER NOT NULL,
    restart_count       INTEGER NOT NULL,
    gap_count           INTEGER NOT NULL,
    gap_overflow_count  INTEGER NOT NULL,
    unknown_field_count INTEGER NOT NULL,
    clock_skew_seconds  REAL,
    last_seen_at        INTEGER NOT NULL,
    position            INTEGER NOT NULL
) STRICT;
