-- What devices send, kept as fully as it was said: beside each reading what it was before its
-- conversion, for each device what became of its numbers, and what was sent through again.

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
