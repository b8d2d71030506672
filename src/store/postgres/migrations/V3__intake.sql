-- What devices send, kept as fully as it was said: beside each reading what it was before its
-- conversion, for each device what became of its numbers, and what was sent through again.

-- Dead letters: found by site and device, and sent through the intake again.
ALTER TABLE pulseward.rejected_messages
    ADD COLUMN site_id       text,
    ADD COLUMN device_id     text,
    ADD COLUMN encoding      text,
    ADD COLUMN reading_count integer NOT NULL DEFAULT 1,
    ADD COLUMN redriven_from text,
    ADD COLUMN redriven_at   timestamptz;

ALTER TABLE pulseward.rejected_messages ALTER COLUMN reading_count DROP DEFAULT;

UPDATE pulseward.rejected_messages
SET site_id = split_part(topic, '/', 3), device_id = split_part(topic, '/', 4)
WHERE topic ~ '^pulseward/v1/[A-Za-z0-9._-]{1,64}/[A-Za-z0-9._-]{1,64}/(readings|status)$';

DROP INDEX pulseward.rejected_messages_received;
CREATE INDEX rejected_messages_latest
    ON pulseward.rejected_messages (received_at, journal_id, partition, position);
CREATE INDEX rejected_messages_device
    ON pulseward.rejected_messages (device_id, received_at, journal_id, partition, position);

COMMENT ON COLUMN pulseward.rejected_messages.site_id IS
    'As the topic names it; null where the topic is none of the contract''s.';
COMMENT ON COLUMN pulseward.rejected_messages.reading_count IS
    'How many refused readings the row stands for, from reading_index on.';
COMMENT ON COLUMN pulseward.rejected_messages.redriven_from IS
    'The id of the message that was sent through again and refused as this one.';
COMMENT ON COLUMN pulseward.rejected_messages.redriven_at IS
    'When the message was sent through the intake again; null if it was not.';

-- How many messages were sent through again, by the journal entries whose rows are here.
CREATE TABLE pulseward.redrives (
    partition smallint PRIMARY KEY,
    number    bigint   NOT NULL
);

-- What people measure by hand stands under a device of its own, which belongs to no site.
INSERT INTO pulseward.devices (device_key, device_id, site_key, created_at)
VALUES (-1, 'by-hand', -1, 'epoch');

ALTER TABLE pulseward.readings
    ADD COLUMN original_value double precision,
    ADD COLUMN original_unit  text,
    ADD COLUMN interval_us    bigint,
    ADD COLUMN measurement_id bigint;

COMMENT ON COLUMN pulseward.readings.original_value IS
    'What arrived, in original_unit; null unless it was converted.';
COMMENT ON COLUMN pulseward.readings.original_unit IS
    'UCUM code of original_value.';
COMMENT ON COLUMN pulseward.readings.interval_us IS
    'For quantities over time: the microseconds before measured_at that it is about.';
COMMENT ON COLUMN pulseward.readings.measurement_id IS
    'The same for readings of one device that were taken together; null for one alone.';
COMMENT ON COLUMN pulseward.readings.quality IS
    'Bits: 1 questionable, 2 implausible, 4 no sensor, 8 late, 16 clock ahead, 32 test, 64 demo, '
    '128 amended, 256 clock unset.';

CREATE OR REPLACE VIEW pulseward.readings_named AS
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
           CASE WHEN r.quality &   1 <> 0 THEN 'questionable' END,
           CASE WHEN r.quality &   2 <> 0 THEN 'implausible' END,
           CASE WHEN r.quality &   4 <> 0 THEN 'no_sensor' END,
           CASE WHEN r.quality &   8 <> 0 THEN 'late' END,
           CASE WHEN r.quality &  16 <> 0 THEN 'clock_ahead' END,
           CASE WHEN r.quality &  32 <> 0 THEN 'test' END,
           CASE WHEN r.quality &  64 <> 0 THEN 'demo' END,
           CASE WHEN r.quality & 128 <> 0 THEN 'amended' END,
           CASE WHEN r.quality & 256 <> 0 THEN 'clock_unset' END) AS quality,
       r.received_at,
       r.stored_at,
       r.original_value,
       r.original_unit,
       r.interval_us / 1e6 AS interval_seconds,
       r.measurement_id
FROM pulseward.readings r
JOIN pulseward.vitals v USING (vital)
LEFT JOIN pulseward.patients p USING (patient_key)
LEFT JOIN pulseward.sites s ON s.site_key = p.site_key
LEFT JOIN pulseward.devices d USING (device_key);

CREATE TABLE pulseward.device_sequences (
    device_key          integer PRIMARY KEY,
    boot_id             bigint NOT NULL,
    highest_seq         bigint,
    missing_count       bigint NOT NULL,
    accepted_count      bigint NOT NULL,
    duplicate_count     bigint NOT NULL,
    reordered_count     bigint NOT NULL,
    rejected_count      bigint NOT NULL,
    amended_count       bigint NOT NULL,
    restart_count       bigint NOT NULL,
    gap_count           bigint NOT NULL,
    gap_overflow_count  bigint NOT NULL,
    unknown_field_count bigint NOT NULL,
    clock_skew_seconds  double precision,
    last_seen_at        timestamptz NOT NULL,
    position            bigint NOT NULL
);

COMMENT ON TABLE pulseward.device_sequences IS
    'What became of each device''s readings since it was enrolled. Written when something unusual '
    'happened, and otherwise once a minute while the device sends.';
COMMENT ON COLUMN pulseward.device_sequences.boot_id IS
    'The start it counts in now; 0 if it keeps no numbers. Unsigned: from 2^63 on it shows as '
    'negative. So does highest_seq.';
COMMENT ON COLUMN pulseward.device_sequences.missing_count IS
    'Numbers of this start below highest_seq that have not come.';
COMMENT ON COLUMN pulseward.device_sequences.clock_skew_seconds IS
    'How far its clock is ahead of the service''s; null while unknown.';
COMMENT ON COLUMN pulseward.device_sequences.position IS
    'The journal entry after which this was so.';
