-- Buckets of a minute and of an hour on plain Postgres: tables that the service keeps, and views
-- that add to them what is not in them yet. Named as on TimescaleDB.

-- Finds the readings of a batch. A block range index, because rows are stored in the order of
-- stored_at: it costs a COPY next to nothing, where a B-tree costs a fifth and more.
CREATE INDEX readings_stored_at ON pulseward.readings
    USING brin (stored_at) WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE pulseward.aggregates (
    name text        PRIMARY KEY,
    mark timestamptz NOT NULL
);

COMMENT ON TABLE pulseward.aggregates IS
    'The views of buckets, and the latest stored_at among the readings that the kept table of each '
    'sums up.';

INSERT INTO pulseward.aggregates VALUES ('readings_1min', 'epoch'), ('readings_1h', 'epoch');

-- Each batch stands here, for each of the aggregates, from the transaction that stored it to the
-- one that sums it up, so that each is summed up once, whatever comes late and whatever crashes.
-- No unique index: it could only block who stores.
CREATE TABLE pulseward.stored_batches (
    aggregate     text        NOT NULL,
    stored_at     timestamptz NOT NULL,
    reading_count integer     NOT NULL,
    days          integer[]   NOT NULL
);

CREATE INDEX stored_batches_next ON pulseward.stored_batches (aggregate, stored_at);

COMMENT ON TABLE pulseward.stored_batches IS
    'Batches of readings that are still to be summed up in the kept table of an aggregate.';
COMMENT ON COLUMN pulseward.stored_batches.days IS
    'The days in UTC at which its readings were measured, by their number since 1970-01-01.';

INSERT INTO pulseward.stored_batches
SELECT name, stored_at, count(*),
       array_agg(DISTINCT (measured_at AT TIME ZONE 'UTC')::date - DATE '1970-01-01')
FROM pulseward.readings, pulseward.aggregates
GROUP BY name, stored_at;

-- A bucket is written again while readings of it come, and none of what changes is indexed: with
-- room in its page that costs no new entry in an index.
CREATE TABLE pulseward.readings_1min_kept (
    bucket           timestamptz      NOT NULL,
    last_measured_at timestamptz      NOT NULL,
    count            bigint           NOT NULL,
    min              double precision NOT NULL,
    max              double precision NOT NULL,
    sum              double precision NOT NULL,
    last             double precision NOT NULL,
    patient_key      integer          NOT NULL,
    vital            smallint         NOT NULL,
    PRIMARY KEY (patient_key, vital, bucket)
) PARTITION BY RANGE (bucket);

CREATE TABLE pulseward.readings_1h_kept (
    LIKE pulseward.readings_1min_kept,
    PRIMARY KEY (patient_key, vital, bucket)
) PARTITION BY RANGE (bucket);
