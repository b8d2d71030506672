-- Patients who were erased. Their number stays taken, so that what is still on its way, or comes
-- back with an old backup, is known as theirs; their id is kept only until the erasure is done.

CREATE TABLE pulseward.erasures (
    patient_key        integer     PRIMARY KEY,
    patient_id         text,
    requested_at       timestamptz NOT NULL,
    requested_by       text        NOT NULL,
    journal_id         uuid        NOT NULL,
    partition          smallint    NOT NULL,
    position           bigint      NOT NULL,
    done_at            timestamptz,
    reading_count      bigint      NOT NULL DEFAULT 0,
    bucket_count       bigint      NOT NULL DEFAULT 0,
    alert_count        bigint      NOT NULL DEFAULT 0,
    alert_event_count  bigint      NOT NULL DEFAULT 0,
    rejected_count     bigint      NOT NULL DEFAULT 0,
    refused_row_count  bigint      NOT NULL DEFAULT 0,
    audit_event_count  bigint      NOT NULL DEFAULT 0
);

CREATE INDEX erasures_to_do ON pulseward.erasures (requested_at, patient_key) WHERE done_at IS NULL;

COMMENT ON COLUMN pulseward.erasures.patient_id IS
    'What to look for; null once the erasure is done.';
COMMENT ON COLUMN pulseward.erasures.requested_by IS
    'Who asked for it: the subject of their token.';
COMMENT ON COLUMN pulseward.erasures.position IS
    'The journal entry that erased them: what mentions their id and is newer is about another '
    'patient of the same id.';
COMMENT ON COLUMN pulseward.erasures.done_at IS
    'Null while rows are still being deleted; the counts tell how many so far.';

-- What they wore: what a device sent in this time and was refused can only have been about them, or
-- about nobody.
CREATE TABLE pulseward.erased_wear (
    patient_key integer     NOT NULL,
    device_key  integer     NOT NULL,
    worn_until  timestamptz NOT NULL,
    worn_from   timestamptz,
    PRIMARY KEY (patient_key, device_key, worn_until)
);

COMMENT ON COLUMN pulseward.erased_wear.worn_from IS 'Null if nobody wore it before.';

ALTER TABLE pulseward.rejected_messages ADD COLUMN erased_at timestamptz;

COMMENT ON COLUMN pulseward.rejected_messages.erased_at IS
    'When the payload was erased, with the patient it may have been about.';
