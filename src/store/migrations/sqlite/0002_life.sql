-- The life of a binding after its first use: provisional bindings, learn windows, last use, notes; what observe mode
-- saw; and what it takes to undo a change.

-- SQLite cannot alter a CHECK. Both tables are made anew, because dropping `bindings` would empty the one that refers
-- to it.
DROP VIEW known_keys;

CREATE TABLE bindings_new (
    key_id     TEXT PRIMARY KEY,
    digest     BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    pepper     TEXT NOT NULL REFERENCES peppers (id),
    realm      TEXT NOT NULL,
    hint       TEXT,
    state      TEXT NOT NULL CHECK (state IN ('provisional', 'learned', 'pinned')),
    created_at INTEGER NOT NULL,
    -- Until when networks may join; NULL is sealed.
    open_until INTEGER,
    -- When a provisional binding ends.
    expires_at INTEGER CHECK ((expires_at IS NOT NULL) = (state = 'provisional')),
    -- Last allowed and last refused request; written in batches, some seconds late.
    used_at    INTEGER,
    refused_at INTEGER,
    -- When an operator brought the binding back: as good as a use, or the archive would take it again.
    restored_at INTEGER,
    note       TEXT
) STRICT;

CREATE TABLE binding_networks_new (
    key_id  TEXT NOT NULL REFERENCES bindings_new (key_id) ON DELETE CASCADE,
    network TEXT NOT NULL,
    PRIMARY KEY (key_id, network)
) STRICT, WITHOUT ROWID;

INSERT INTO bindings_new (key_id, digest, pepper, realm, hint, state, created_at)
    SELECT key_id, digest, pepper, realm, hint, state, created_at FROM bindings;
INSERT INTO binding_networks_new SELECT key_id, network FROM binding_networks;
DROP TABLE binding_networks;
DROP TABLE bindings;
ALTER TABLE bindings_new RENAME TO bindings;
ALTER TABLE binding_networks_new RENAME TO binding_networks;

CREATE INDEX bindings_newest ON bindings (created_at, key_id);
CREATE INDEX binding_networks_by_network ON binding_networks (network);
-- For the archiving job: the learned bindings that nobody came for, the longest first.
CREATE INDEX bindings_unused ON bindings
    (max(created_at, coalesce(used_at, 0), coalesce(refused_at, 0), coalesce(restored_at, 0)))
    WHERE state = 'learned';

-- What used a key in observe mode, in the order of `id`: the first would own it.
CREATE TABLE candidates (
    id       INTEGER PRIMARY KEY,
    key_id   TEXT NOT NULL,
    digest   BLOB NOT NULL CHECK (length(digest) = 32),
    pepper   TEXT NOT NULL REFERENCES peppers (id),
    realm    TEXT NOT NULL,
    hint     TEXT,
    network  TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    UNIQUE (digest, network)
) STRICT;

CREATE INDEX candidates_by_key_id ON candidates (key_id);

CREATE VIEW known_keys (source, key_id, digest, pepper, realm, hint) AS
    SELECT 1, key_id, digest, pepper, realm, hint FROM bindings
    UNION ALL
    SELECT 2, key_id, digest, pepper, realm, hint FROM bans
    UNION ALL
    SELECT 3, key_id, digest, pepper, realm, hint FROM candidates
    UNION ALL
    SELECT 4, key_id, digest, pepper, realm, hint FROM archive;

-- JSON: what the record's change touched, before and after it.
ALTER TABLE audit ADD COLUMN delta TEXT;
