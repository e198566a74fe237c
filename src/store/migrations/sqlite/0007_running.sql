-- When the server last said that it runs. One row.
CREATE TABLE running (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    ran_at   INTEGER NOT NULL
) STRICT;

-- Times in which it did not. They do not count as time in which a key was unused.
CREATE TABLE pauses (
    ended_at  INTEGER PRIMARY KEY,
    lasted_ms INTEGER NOT NULL CHECK (lasted_ms > 0)
) STRICT;
