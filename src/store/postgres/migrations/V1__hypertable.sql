-- `readings` where TimescaleDB is installed: a hypertable of one-day chunks.
CREATE TABLE pulseward.readings (
    measured_at timestamptz      NOT NULL,
    received_at timestamptz      NOT NULL,
    stored_at   timestamptz      NOT NULL,
    value       double precision,
    patient_key integer          NOT NULL,
    device_key  integer          NOT NULL,
    quality     integer          NOT NULL,
    vital       smallint         NOT NULL,
    absent      smallint         NOT NULL
);

SELECT create_hypertable(
    'pulseward.readings', 'measured_at',
    chunk_time_interval => INTERVAL '1 day',
    create_default_indexes => false
);
