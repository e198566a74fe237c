//! Times of last use, the archive of unused bindings, and the deletion of expired rows.

use tokio_postgres::Row;

use super::{
    audit,
    keys::{Lock, lock},
    revision::advance,
    rows::{ids, networks, step, time},
    session::Session,
};
use crate::{
    domain::{Binding, State, Timestamp, event::Record},
    store::{
        StoreError, Use,
        columns::{self, Columns},
        rules::{self, KeyIdentity},
    },
};

/// Updates rows in the order of their ids, so that concurrent batches of replicas cannot deadlock. A time that is less
/// than a minute later than the stored one is not written, because every replica would write its own row version, and
/// the archive needs only days.
pub(super) async fn note_uses(session: &mut Session, mut uses: Vec<Use>) -> Result<u64, StoreError> {
    uses.sort_unstable_by_key(|it| it.key);
    let ids: Vec<_> = uses.iter().map(|it| it.key.to_string()).collect();
    let used: Vec<_> = uses.iter().map(|it| it.used_at.map(time)).collect();
    let refused: Vec<_> = uses.iter().map(|it| it.refused_at.map(time)).collect();
    let sql = "
        WITH noted AS MATERIALIZED (
            SELECT key_id, max(noted.used_at) AS used_at, max(noted.refused_at) AS refused_at
            FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS noted (key_id, used_at, refused_at)
            GROUP BY key_id),
        held AS MATERIALIZED (
            SELECT bindings.key_id FROM bindings JOIN noted USING (key_id)
            WHERE noted.used_at >= coalesce(bindings.used_at + interval '1 minute', '-infinity')
                OR noted.refused_at >= coalesce(bindings.refused_at + interval '1 minute', '-infinity')
            ORDER BY bindings.key_id FOR NO KEY UPDATE OF bindings)
        UPDATE bindings SET used_at = greatest(bindings.used_at, noted.used_at),
            refused_at = greatest(bindings.refused_at, noted.refused_at)
        FROM noted JOIN held USING (key_id) WHERE bindings.key_id = noted.key_id
        RETURNING bindings.key_id";
    Ok(session.rows(step!(sql, ids, used, refused)).await?.len() as u64)
}

/// Checks again that the bindings are unused, because they may have been used until they were locked. Recording a use
/// takes no lock on the key, so the statement itself must check; it locks the rows in the order of their ids, as that
/// batch does. The networks are read as they were before the statement.
const ARCHIVE_ROWS: &str = "
    WITH held AS MATERIALIZED (
        SELECT key_id FROM bindings WHERE key_id = ANY ($1) ORDER BY key_id FOR UPDATE),
    gone AS (
        DELETE FROM bindings WHERE key_id IN (SELECT key_id FROM held) AND digest = ANY ($2) AND state = 'learned'
            AND greatest(created_at, used_at, refused_at, restored_at) < $3
        RETURNING key_id, digest, pepper, realm, hint, created_at, open_until),
    owned AS (
        SELECT gone.*, coalesce(
            (SELECT array_agg(network ORDER BY network::text COLLATE \"C\") FROM binding_networks AS owner
             WHERE owner.key_id = gone.key_id), '{}') AS networks
        FROM gone),
    kept AS (
        INSERT INTO archive (key_id, digest, pepper, realm, hint, networks, created_at, archived_at)
        SELECT key_id, digest, pepper, realm, hint, networks, created_at, $4 FROM owned)
    SELECT key_id, digest, pepper, realm, hint, created_at, open_until, networks::text[] FROM owned";

pub(super) async fn archive(
    session: &mut Session,
    unused_since: Timestamp,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Record>, StoreError> {
    session.begin(vec![Lock::Writers.share()]).await?;
    if !Lock::Archive.try_take(session).await? {
        return Ok(Vec::new());
    }
    // The expression of the index `bindings_unused`.
    let sql = "SELECT key_id, digest FROM bindings
        WHERE state = 'learned' AND greatest(created_at, used_at, refused_at, restored_at) < $1
        ORDER BY greatest(created_at, used_at, refused_at, restored_at) LIMIT $2";
    let rows = session.rows(step!(sql, time(unused_since), i64::from(limit))).await?;
    let ids: Vec<_> = ids(&rows)?.iter().map(ToString::to_string).collect();
    let digests = rows.iter().map(|row| row.digest(1, "bindings.digest")).collect::<Result<Vec<_>, _>>()?;
    let values = digests.iter().map(|digest| digest.as_bytes().to_vec()).collect::<Vec<_>>();
    let steps = vec![lock(digests), step!(ARCHIVE_ROWS, ids, values, time(unused_since), time(now))];
    let rows = session.send(steps).await?.pop().unwrap_or_default();
    let mut steps = Vec::new();
    let (mut records, mut changed) = (Vec::new(), Vec::new());
    for row in &rows {
        let (key, binding) = archived(row)?;
        changed.push(key.fingerprint.digest);
        let record = rules::change::archived(&key, binding, now);
        steps.push(audit::append(&record)?);
        records.push(record);
    }
    if !changed.is_empty() {
        steps.extend(advance(changed, now));
        session.send(steps).await?;
    }
    Ok(records)
}

/// Locks the keys, because an expired row may be about to be replaced, and then checks again for the same reason.
pub(super) async fn expire(session: &mut Session, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    session.begin(vec![Lock::Writers.share()]).await?;
    if !Lock::Expiry.try_take(session).await? {
        return Ok(0);
    }
    let values = || (time(before), i64::from(limit));
    let ((at, most), (same, as_many)) = (values(), values());
    let asked = vec![
        step!("SELECT key_id, digest FROM bans WHERE until < $1 ORDER BY until LIMIT $2", at, most),
        step!("SELECT key_id, digest FROM bindings WHERE expires_at < $1 ORDER BY expires_at LIMIT $2", same, as_many),
    ];
    let rows = session.send(asked).await?.concat();
    let ids: Vec<_> = ids(&rows)?.iter().map(ToString::to_string).collect();
    let digests = rows.iter().map(|row| row.digest(1, "bans.digest")).collect::<Result<Vec<_>, _>>()?;
    let steps = vec![
        lock(digests),
        step!("DELETE FROM bans WHERE key_id = ANY ($1) AND until < $2 RETURNING key_id", ids.clone(), time(before)),
        step!("DELETE FROM bindings WHERE key_id = ANY ($1) AND expires_at < $2 RETURNING key_id", ids, time(before)),
    ];
    let deleted = session.send(steps).await?;
    Ok(deleted.iter().skip(1).map(|rows| rows.len() as u64).sum())
}

fn archived(row: &Row) -> Result<(KeyIdentity, Binding), StoreError> {
    let named = columns::identity(row)?;
    let binding = Binding {
        id: named.id,
        hint: named.fingerprint.hint.clone(),
        state: State::Learned,
        networks: networks(row, 7, "binding_networks.network")?,
        created_at: row.moment(5, "bindings.created_at")?,
        open_until: row.moment_or_null(6, "bindings.open_until")?,
        expires_at: None,
    };
    Ok((named, binding))
}
