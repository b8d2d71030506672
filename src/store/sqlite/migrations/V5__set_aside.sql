-- Rows that the database refused, set aside so that they block nobody.

-- Instead of the rows themselves. The first four columns name the output of the journal that such a
-- row tells of. content is the row by its columns: JSON, blobs in hexadecimal. error_code is the
-- extended result code of SQLite, error what it said. refused_at is the stored_at of the rows that
-- were written in the same transaction. No key and no check: nothing may refuse a row here.
CREATE TABLE refused_rows (
    journal_id   TEXT    NOT NULL,
    partition    INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    output_index INTEGER NOT NULL,
    table_name   TEXT    NOT NULL,
    content      TEXT    NOT NULL,
    error_code   TEXT    NOT NULL,
    error        TEXT    NOT NULL,
    refused_at   INTEGER NOT NULL
) STRICT;

-- journal_cursor.updated_at is the stored_at of the last transaction. It grows from each to the
-- next, over restarts and when the clock steps back, so that the readings stored at or before a
-- time are exactly those of the transactions up to it. Whoever adds rows by hand moves it in the
-- same transaction, and gives them its new value.
