-- The audit's delivery: each batch of records is appended once, however often it is sent.

-- A spool numbers its batches and sends them in that order, so that one number tells of all that came before it.
CREATE TABLE audit_spools (
    spool     TEXT PRIMARY KEY,
    delivered INTEGER NOT NULL CHECK (delivered > 0),
    used_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
