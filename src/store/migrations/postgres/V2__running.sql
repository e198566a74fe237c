-- When a replica last reported that it runs. One row.
CREATE TABLE running (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ran_at   timestamptz NOT NULL
);

-- Times in which none did. They do not count as time in which a key was unused.
CREATE TABLE pauses (
    ended_at  timestamptz PRIMARY KEY,
    lasted_ms bigint NOT NULL CHECK (lasted_ms > 0)
);

-- A backup of a version without this table is as old as its newest use; without this row its age would be no pause.
INSERT INTO running (ran_at)
    SELECT ran_at FROM (SELECT greatest(
        (SELECT max(greatest(created_at, used_at, refused_at, restored_at)) FROM bindings),
        (SELECT max(last_at) FROM audit)
    ) AS ran_at) AS newest
    WHERE ran_at IS NOT NULL;
