-- Times are milliseconds since the Unix epoch. A key has three columns that are never derived from each other: the
-- digest it is found by, the pepper that digest was made with, and the printed id, which no new pepper changes.

-- One row, changed by every transaction that can make a cached fact wrong. The change log reaches back to `floor`:
-- it holds every change after it.
CREATE TABLE revision (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    value    INTEGER NOT NULL,
    floor    INTEGER NOT NULL CHECK (floor <= value)
) STRICT;

INSERT INTO revision (only_row, value, floor) VALUES (1, 0, 0);

CREATE TABLE changes (
    revision INTEGER PRIMARY KEY,
    digest   BLOB NOT NULL CHECK (length(digest) = 32),
    at       INTEGER NOT NULL
) STRICT;

CREATE TABLE peppers (
    id          TEXT PRIMARY KEY,
    check_value BLOB NOT NULL CHECK (length(check_value) = 32),
    active      INTEGER NOT NULL CHECK (active IN (0, 1))
) STRICT;

CREATE UNIQUE INDEX one_active_pepper ON peppers (active) WHERE active = 1;

CREATE TABLE bindings (
    key_id     TEXT PRIMARY KEY,
    digest     BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    pepper     TEXT NOT NULL REFERENCES peppers (id),
    realm      TEXT NOT NULL,
    hint       TEXT,
    state      TEXT NOT NULL CHECK (state IN ('learned', 'pinned')),
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX bindings_newest ON bindings (created_at, key_id);

-- No row for a pinned binding: the key is reserved.
CREATE TABLE binding_networks (
    key_id  TEXT NOT NULL REFERENCES bindings (key_id) ON DELETE CASCADE,
    network TEXT NOT NULL,
    PRIMARY KEY (key_id, network)
) STRICT, WITHOUT ROWID;

CREATE INDEX binding_networks_by_network ON binding_networks (network);

-- Apart from the bindings on purpose: nothing that happens to a binding may touch a ban.
CREATE TABLE bans (
    key_id     TEXT PRIMARY KEY,
    digest     BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    pepper     TEXT NOT NULL REFERENCES peppers (id),
    realm      TEXT NOT NULL,
    hint       TEXT,
    until      INTEGER,
    reason     TEXT,
    actor      TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX bans_newest ON bans (created_at, key_id);

-- One row each time a key is archived; `networks` is separated by spaces.
CREATE TABLE archive (
    id          INTEGER PRIMARY KEY,
    key_id      TEXT NOT NULL,
    digest      BLOB NOT NULL CHECK (length(digest) = 32),
    pepper      TEXT NOT NULL REFERENCES peppers (id),
    realm       TEXT NOT NULL,
    hint        TEXT,
    networks    TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    archived_at INTEGER NOT NULL
) STRICT;

CREATE INDEX archive_by_key_id ON archive (key_id);
CREATE INDEX archive_by_digest ON archive (digest);

-- Every key that an operator can name; the lowest `source` knows best.
CREATE VIEW known_keys (source, key_id, digest, pepper, realm, hint) AS
    SELECT 1, key_id, digest, pepper, realm, hint FROM bindings
    UNION ALL
    SELECT 2, key_id, digest, pepper, realm, hint FROM bans
    UNION ALL
    SELECT 3, key_id, digest, pepper, realm, hint FROM archive;

CREATE TABLE audit (
    id          INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL,
    reason      TEXT,
    key_id      TEXT,
    network     TEXT,
    count       INTEGER NOT NULL CHECK (count >= 0),
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    actor       TEXT,
    decision_id TEXT,
    detail      TEXT
) STRICT;

CREATE INDEX audit_newest ON audit (last_at, id);
CREATE INDEX audit_of_key ON audit (key_id, last_at);
