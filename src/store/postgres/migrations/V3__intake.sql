-- What devices send, kept as fully as it was said: beside each reading what it was before its
-- conversion, for each device what became of its numbers, and what was sent through again.

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
