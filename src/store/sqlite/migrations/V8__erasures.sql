-- Patients who were erased. Their number stays taken, so that what is still on its way, or comes
-- back with an old backup, is known as theirs; their id is kept only until the erasure is done
-- (done_at). What mentions their id and is newer than the entry at position is about another
-- patient of the same id. The counts tell how many rows are gone so far.

CREATE TABLE erasures (
    patient_key        INTEGER PRIMARY KEY,
    patient_id         TEXT,
    requested_at       INTEGER NOT NULL,
    requested_by       TEXT    NOT NULL,
    journal_id         TEXT    NOT NULL,
    partition          INTEGER NOT NULL,
    position           INTEGER NOT NULL,
    done_at            INTEGER,
    reading_count      INTEGER NOT NULL DEFAULT 0,
    bucket_count       INTEGER NOT NULL DEFAULT 0,
    alert_count        INTEGER NOT NULL DEFAULT 0,
    alert_event_count  INTEGER NOT NULL DEFAULT 0,
    rejected_count     INTEGER NOT NULL DEFAULT 0,
    refused_row_count  INTEGER NOT NULL DEFAULT 0,
    audit_event_count  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX erasures_to_do ON erasures (requested_at, patient_key) WHERE done_at IS NULL;

-- What they wore: what a device sent in this time and was refused can only have been about them, or
-- about nobody. worn_from is null if nobody wore it before.
CREATE TABLE erased_wear (
    patient_key INTEGER NOT NULL,
    device_key  INTEGER NOT NULL,
    worn_until  INTEGER NOT NULL,
    worn_from   INTEGER,
    PRIMARY KEY (patient_key, device_key, worn_until)
) STRICT;

-- When the payload was erased, with the patient it may have been about.
ALTER TABLE rejected_messages ADD COLUMN erased_at INTEGER;
