-- When the server last reported that it runs. One row.
CREATE TABLE running (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    ran_at   INTEGER NOT NULL
) STRICT;

-- Times in which it did not. They do not count as time in which a key was unused.
CREATE TABLE pauses (
    ended_at  INTEGER PRIMARY KEY,
    lasted_ms INTEGER NOT NULL CHECK (lasted_ms > 0)
) STRICT;

-- A backup of a version without this table is as old as its newest use; without this row its age would be no pause.
INSERT INTO running SELECT 1, ran_at FROM (
    SELECT max(at) AS ran_at FROM (
        SELECT max(max(created_at, coalesce(used_at, 0), coalesce(refused_at, 0), coalesce(restored_at, 0))) AS at FROM bindings
        UNION ALL SELECT max(last_at) FROM audit
    )
) WHERE ran_at IS NOT NULL;
