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
CREATE TABLE pulseward.audit_events (
    journal_id    uuid        NOT NULL,
    partition     smallint    NOT NULL,
    position      bigint      NOT NULL,
    output_index  integer     NOT NULL,
    number        bigint      NOT NULL,
    at            timestamptz NOT NULL,
    subject       text        NOT NULL,
    role          text,
    peer          text        NOT NULL,
    method        text        NOT NULL,
    outcome       text        NOT NULL,
    reason        text        NOT NULL,
    site_id       text,
    patients      jsonb,
    patient_count integer,
    detail        text,
    salt          bytea,
    commitment    bytea       NOT NULL,
    digest        bytea       NOT NULL,
    PRIMARY KEY (journal_id, partition, position, output_index)
);

CREATE INDEX audit_events_number ON pulseward.audit_events (partition, number);
CREATE INDEX audit_events_latest ON pulseward.audit_events (at, partition, number);
CREATE INDEX audit_events_subject ON pulseward.audit_events (subject, at, partition, number);
CREATE INDEX audit_events_patients ON pulseward.audit_events USING gin (patients jsonb_path_ops);
