-- For the job that deletes what has ended.
CREATE INDEX bans_by_end ON bans (until) WHERE until IS NOT NULL;
CREATE INDEX bindings_by_end ON bindings (expires_at) WHERE expires_at IS NOT NULL;
