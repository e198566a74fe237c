-- When a replica last said that it runs. One row.
CREATE TABLE running (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ran_at   timestamptz NOT NULL
);

-- Times in which none did. They do not count as time in which a key was unused.
CREATE TABLE pauses (
    ended_at  timestamptz PRIMARY KEY,
    lasted_ms bigint NOT NULL CHECK (lasted_ms > 0)
);
