-- Who did and read what: every call that read or changed something, or tried to, in a chain of
-- digests, so that whoever knows the last digest can tell whether anything before was changed
-- (pulseward audit verify). The first four columns name the output of the journal that it is;
-- number counts without gaps in each partition.
--
-- subject is empty and role null where the caller is not known. site_id is that of all whom it was
-- about, null if there are several or none is known.
--
-- patients, patient_count, detail and salt stand in the chain by their commitment alone, so that
-- they can be erased: an erasure sets all four to null. patients is a list of ids.
CREATE TABLE audit_events (
    journal_id    TEXT    NOT NULL,
    partition     INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    output_index  INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    subject       TEXT    NOT NULL,
    role          TEXT,
    peer          TEXT    NOT NULL,
    method        TEXT    NOT NULL,
    outcome       TEXT    NOT NULL,
    reason        TEXT    NOT NULL,
    site_id       TEXT,
    patients      TEXT,
    patient_count INTEGER,
    detail        TEXT,
    salt          BLOB,
    commitment    BLOB    NOT NULL,
    digest        BLOB    NOT NULL,
    PRIMARY KEY (journal_id, partition, position, output_index)
) STRICT;

CREATE INDEX audit_events_number ON audit_events (partition, number);
CREATE INDEX audit_events_latest ON audit_events (at, partition, number);
CREATE INDEX audit_events_subject ON audit_events (subject, at, partition, number);
-- SQLite can't index the elements of a list. Almost every event is about one patient; those about
-- several are few and have an index of their own.
CREATE INDEX audit_events_patient ON audit_events (patients ->> 0, at, partition, number);
CREATE INDEX audit_events_several
    ON audit_events (at, partition, number) WHERE json_array_length(patients) > 1;
