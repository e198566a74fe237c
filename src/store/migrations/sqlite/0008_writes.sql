-- Up to when a process has written its times of last use, and when it last read.
CREATE TABLE replicas (
    name            TEXT PRIMARY KEY,
    uses_written_at INTEGER NOT NULL,
    seen_at         INTEGER NOT NULL
) STRICT;

-- As much as a claim writes, to learn whether one could be written. One row.
CREATE TABLE write_test (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    filler   BLOB NOT NULL
) STRICT;
