-- `readings` on plain Postgres: range partitions by UTC day, which the writer makes ahead.
-- There is no default partition: making a day's partition would have to lock and scan it.
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
) PARTITION BY RANGE (measured_at);
