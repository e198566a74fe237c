-- Up to when a replica has written its times of last use, and when it last read.
CREATE TABLE replicas (
    name            text PRIMARY KEY,
    uses_written_at timestamptz NOT NULL,
    seen_at         timestamptz NOT NULL
);
