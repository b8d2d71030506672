-- Rows that the database refused, set aside so that they block nobody.

-- No key and no check: nothing may refuse a row here. What the first four columns and table_name
-- name is unique all the same.
CREATE TABLE pulseward.refused_rows (
    journal_id   uuid        NOT NULL,
    partition    smallint    NOT NULL,
    position     bigint      NOT NULL,
    output_index integer     NOT NULL,
    table_name   text        NOT NULL,
    content      json        NOT NULL,
    error_code   text        NOT NULL,
    error        text        NOT NULL,
    refused_at   timestamptz NOT NULL
);

COMMENT ON TABLE pulseward.refused_rows IS
    'Rows that the database refused, instead of the rows themselves. The first four columns name '
    'the output of the journal that such a row tells of.';
COMMENT ON COLUMN pulseward.refused_rows.content IS
    'The row, by its columns. Patients'' data, like the row.';
COMMENT ON COLUMN pulseward.refused_rows.error_code IS
    'SQLSTATE.';
COMMENT ON COLUMN pulseward.refused_rows.error IS
    'What the server said; it may quote the row.';
COMMENT ON COLUMN pulseward.refused_rows.refused_at IS
    'The stored_at of the rows that were written in the same transaction.';

COMMENT ON COLUMN pulseward.journal_cursor.updated_at IS
    'The stored_at of the last transaction. It grows from each to the next, over restarts and when '
    'the clock steps back, so that the rows stored at or before a time are exactly those of the '
    'transactions up to it. Whoever adds rows by hand moves it in the same transaction, and gives '
    'them its new value.';
COMMENT ON COLUMN pulseward.readings.stored_at IS
    'When the row was written; the same for all rows of a transaction, and greater than in any '
    'transaction before.';
