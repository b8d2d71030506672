-- Which journals the rows came from, where rows are known to be missing, and what else a lost data
-- directory is rebuilt from.

-- When the last entry whose rows are here was received. updated_at says when they were written.
ALTER TABLE journal_cursor ADD COLUMN received_at INTEGER;

-- A journal is a data directory's history; a restore begins a new one. how is 'first' for one that
-- began on an empty database, 'restored' for one rebuilt from these rows as of the parent's
-- position, 'accepted' for one that the rows of its parent were handed to by --accept-gap.
CREATE TABLE journals (
    journal_id        TEXT    NOT NULL,
    partition         INTEGER NOT NULL,
    how               TEXT    NOT NULL,
    began_at          INTEGER NOT NULL,
    parent_journal_id TEXT,
    parent_position   INTEGER,
    PRIMARY KEY (journal_id, partition)
) STRICT;

INSERT INTO journals (journal_id, partition, how, began_at)
SELECT journal_id, partition, 'first', updated_at FROM journal_cursor;

-- Rows of the entries behind after_position, up to the one before before_position, are not here and
-- never will be. Between two journals nobody knows how many there were. after_journal_id is null
-- where the database was empty; what is missing was received between the two times, as far as that
-- is known.
CREATE TABLE gaps (
    partition        INTEGER NOT NULL,
    after_journal_id TEXT,
    after_position   INTEGER NOT NULL,
    journal_id       TEXT    NOT NULL,
    before_position  INTEGER NOT NULL,
    reason           TEXT    NOT NULL,
    missing_from     INTEGER,
    missing_until    INTEGER,
    accepted_at      INTEGER NOT NULL,
    PRIMARY KEY (partition, journal_id, before_position, accepted_at)
) STRICT;

-- By which numbers each device's readings were admitted, committed with them. packed is the
-- service's own form and begins with its version; empty for a device that keeps no numbers. For
-- people there is device_sequences.
CREATE TABLE device_numbers (
    device_key         INTEGER PRIMARY KEY,
    newest_measured_at INTEGER,
    packed             BLOB    NOT NULL
) STRICT;

-- The revision in which the priority of the alert last rose: who has seen an older one has not seen
-- this alert.
ALTER TABLE alerts ADD COLUMN risen_in INTEGER NOT NULL DEFAULT 1;
UPDATE alerts SET risen_in = coalesce(
    (SELECT max(revision) FROM alert_events e
     WHERE e.alert_id = alerts.alert_id AND phase IN ('start', 'escalate')), 1)
WHERE NOT is_over;
