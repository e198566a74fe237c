-- A key has three columns that are never derived from each other: the digest it is found by, the pepper that digest was
-- made with, and the printed id, which no new pepper changes. Ids are compared byte by byte, so that a prefix is a range.
--
-- Whoever writes to a key first takes an advisory lock on its digests, for the transaction: what is known of a key is
-- spread over four tables, and the row to lock may not exist yet.

-- One row, changed by every transaction that can make a cached fact wrong. The change log reaches back to `floor`:
-- it holds every change after it. A sequence would not do: its numbers become visible out of their order.
CREATE TABLE revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    value    bigint NOT NULL,
    floor    bigint NOT NULL CHECK (floor <= value)
);

INSERT INTO revision (value, floor) VALUES (0, 0);

CREATE TABLE changes (
    revision bigint PRIMARY KEY,
    digest   bytea NOT NULL CHECK (length(digest) = 32),
    at       timestamptz NOT NULL
);

CREATE INDEX changes_by_time ON changes (at);

CREATE TABLE peppers (
    id           text PRIMARY KEY,
    check_value  bytea NOT NULL CHECK (length(check_value) = 32),
    active       boolean NOT NULL,
    -- The audit record of its last activation.
    activated_by bigint,
    retired_at   timestamptz
);

CREATE UNIQUE INDEX one_active_pepper ON peppers (active) WHERE active;

CREATE TABLE bindings (
    key_id      text COLLATE "C" PRIMARY KEY,
    digest      bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
    pepper      text NOT NULL REFERENCES peppers (id),
    realm       text NOT NULL,
    hint        text,
    state       text NOT NULL CHECK (state IN ('provisional', 'learned', 'pinned')),
    created_at  timestamptz NOT NULL,
    -- Until when networks may join; NULL is sealed.
    open_until  timestamptz,
    -- When a provisional binding ends.
    expires_at  timestamptz CHECK ((expires_at IS NOT NULL) = (state = 'provisional')),
    -- Last allowed and last refused request; written in batches, some seconds late.
    used_at     timestamptz,
    refused_at  timestamptz,
    -- When an operator brought the binding back: as good as a use, or the archive would take it again.
    restored_at timestamptz,
    note        text
);

CREATE INDEX bindings_newest ON bindings (created_at, key_id);
CREATE INDEX bindings_by_pepper ON bindings (pepper);
CREATE INDEX bindings_by_end ON bindings (expires_at) WHERE expires_at IS NOT NULL;
-- For the archiving job: the learned bindings that nobody came for, the longest first. greatest() ignores NULL.
CREATE INDEX bindings_unused ON bindings (greatest(created_at, used_at, refused_at, restored_at))
    WHERE state = 'learned';

-- No row for a pinned binding: the key is reserved.
CREATE TABLE binding_networks (
    key_id  text COLLATE "C" NOT NULL REFERENCES bindings (key_id) ON DELETE CASCADE,
    network cidr NOT NULL,
    PRIMARY KEY (key_id, network)
);

-- GiST: "who owns it exactly" and "who owns anything inside of it" are one index.
CREATE INDEX binding_networks_by_network ON binding_networks USING gist (network inet_ops);

-- Apart from the bindings on purpose: nothing that happens to a binding may touch a ban.
CREATE TABLE bans (
    key_id     text COLLATE "C" PRIMARY KEY,
    digest     bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
    pepper     text NOT NULL REFERENCES peppers (id),
    realm      text NOT NULL,
    hint       text,
    until      timestamptz,
    reason     text,
    actor      text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE INDEX bans_newest ON bans (created_at, key_id);
CREATE INDEX bans_by_pepper ON bans (pepper);
CREATE INDEX bans_by_end ON bans (until) WHERE until IS NOT NULL;

-- What used a key in observe mode, in the order of `id`: the first would own it.
CREATE TABLE candidates (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id   text COLLATE "C" NOT NULL,
    digest   bytea NOT NULL CHECK (length(digest) = 32),
    pepper   text NOT NULL REFERENCES peppers (id),
    realm    text NOT NULL,
    hint     text,
    network  cidr NOT NULL,
    first_at timestamptz NOT NULL,
    UNIQUE (digest, network)
);

CREATE INDEX candidates_by_key_id ON candidates (key_id);
CREATE INDEX candidates_by_pepper ON candidates (pepper, key_id);

-- One row each time a key is archived.
CREATE TABLE archive (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id      text COLLATE "C" NOT NULL,
    digest      bytea NOT NULL CHECK (length(digest) = 32),
    pepper      text NOT NULL REFERENCES peppers (id),
    realm       text NOT NULL,
    hint        text,
    networks    cidr[] NOT NULL,
    created_at  timestamptz NOT NULL,
    archived_at timestamptz NOT NULL
);

CREATE INDEX archive_by_key_id ON archive (key_id);
-- With `id`, so that the last of a digest is found through it even before the table was ever analysed.
CREATE INDEX archive_by_digest ON archive (digest, id);
CREATE INDEX archive_by_pepper ON archive (pepper);

-- Every key that an operator can name; the lowest `source` knows best.
CREATE VIEW known_keys (source, key_id, digest, pepper, realm, hint) AS
    SELECT 1, key_id, digest, pepper, realm, hint FROM bindings
    UNION ALL
    SELECT 2, key_id, digest, pepper, realm, hint FROM bans
    UNION ALL
    SELECT 3, key_id, digest, pepper, realm, hint FROM candidates
    UNION ALL
    SELECT 4, key_id, digest, pepper, realm, hint FROM archive;

CREATE SEQUENCE audit_id;

-- By day, so that a day that is over is dropped whole. `audit_rest` takes what no day is made for.
CREATE TABLE audit (
    id          bigint NOT NULL DEFAULT nextval('audit_id'),
    kind        text NOT NULL,
    reason      text,
    key_id      text COLLATE "C",
    network     cidr,
    count       bigint NOT NULL CHECK (count >= 0),
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    actor       text,
    decision_id text,
    detail      text,
    -- JSON: what the record's change touched, before and after it.
    delta       text
) PARTITION BY RANGE (last_at);

CREATE TABLE audit_rest PARTITION OF audit DEFAULT;

CREATE INDEX audit_by_id ON audit (id);
CREATE INDEX audit_newest ON audit (last_at, id);
CREATE INDEX audit_of_key ON audit (key_id, last_at);
-- What a client that was refused has in its hands.
CREATE INDEX audit_by_decision ON audit (decision_id) WHERE decision_id IS NOT NULL;

-- A spool numbers its batches and sends them in that order, so that one number tells of all that came before it.
CREATE TABLE audit_spools (
    spool     text PRIMARY KEY,
    delivered bigint NOT NULL CHECK (delivered > 0),
    used_at   timestamptz NOT NULL
);
