-- Rotation: a pepper that nothing is under any more keeps its name, so that the audit can be read.
ALTER TABLE peppers ADD COLUMN retired_at INTEGER;

-- For counting, at every start and retirement, what is left under a pepper.
CREATE INDEX bindings_by_pepper ON bindings (pepper);
CREATE INDEX bans_by_pepper ON bans (pepper);
CREATE INDEX candidates_by_pepper ON candidates (pepper, key_id);
CREATE INDEX archive_by_pepper ON archive (pepper);
