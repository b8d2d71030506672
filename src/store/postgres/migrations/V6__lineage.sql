-- Which journals the rows came from, where rows are known to be missing, and what else a lost data
-- directory is rebuilt from.

-- When the last entry whose rows are here was received. updated_at says when they were written.
ALTER TABLE pulseward.journal_cursor ADD COLUMN received_at timestamptz;

-- A journal is a data directory's history; a restore begins a new one. how is 'first' for one that
-- began on an empty database, 'restored' for one rebuilt from these rows as of the parent's
-- position, 'accepted' for one that the rows of its parent were handed to by --accept-gap.
CREATE TABLE pulseward.journals (
    journal_id        uuid        NOT NULL,
    partition         smallint    NOT NULL,
    how               text        NOT NULL,
    began_at          timestamptz NOT NULL,
    parent_journal_id uuid,
    parent_position   bigint,
    PRIMARY KEY (journal_id, partition)
);

INSERT INTO pulseward.journals (journal_id, partition, how, began_at)
SELECT journal_id, partition, 'first', updated_at FROM pulseward.journal_cursor;

-- Rows of the entries behind after_position, up to the one before before_position, are not here and
-- never will be. Between two journals nobody knows how many there were.
CREATE TABLE pulseward.gaps (
    partition        smallint    NOT NULL,
    after_journal_id uuid,
    after_position   bigint      NOT NULL,
    journal_id       uuid        NOT NULL,
    before_position  bigint      NOT NULL,
    reason           text        NOT NULL,
    missing_from     timestamptz,
    missing_until    timestamptz,
    accepted_at      timestamptz NOT NULL,
    PRIMARY KEY (partition, journal_id, before_position, accepted_at)
);

COMMENT ON COLUMN pulseward.gaps.after_journal_id IS 'Null where the database was empty.';
COMMENT ON COLUMN pulseward.gaps.missing_from IS
    'About when what is missing was received: from when the rows before it were written';
COMMENT ON COLUMN pulseward.gaps.missing_until IS
    'to when the first entry behind it was received.';

-- By which numbers each device's readings were admitted, committed with them. packed is the
-- service's own form and begins with its version; empty for a device that keeps no numbers.
CREATE TABLE pulseward.device_numbers (
    device_key         integer PRIMARY KEY,
    newest_measured_at timestamptz,
    packed             bytea   NOT NULL
) WITH (fillfactor = 70);

COMMENT ON TABLE pulseward.device_numbers IS
    'What a restore recognises by what devices send again. For people there is device_sequences.';

-- The revision in which the priority of the alert last rose: who has seen an older one has not seen
-- this alert.
ALTER TABLE pulseward.alerts ADD COLUMN risen_in integer NOT NULL DEFAULT 1;
UPDATE pulseward.alerts a SET risen_in = risen.revision
FROM (SELECT alert_id, max(revision) AS revision FROM pulseward.alert_events
      WHERE phase IN ('start', 'escalate') GROUP BY alert_id) risen
WHERE risen.alert_id = a.alert_id AND NOT a.is_over;
ALTER TABLE pulseward.alerts ALTER COLUMN risen_in DROP DEFAULT;

-- What was received last is found without an index for each row: rows stand as they came.
CREATE INDEX readings_received ON pulseward.readings USING brin (received_at);
