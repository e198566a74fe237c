//! Turns the writes that the rules have decided into steps.

use super::rows::{Step, Value, step, texts, time};
use crate::{
    domain::{Ban, Binding, Hint},
    store::{
        ArchivedBinding,
        rules::{KeyIdentity, Write},
    },
};

pub(super) fn steps(key: &KeyIdentity, writes: &[Write]) -> Vec<Step> {
    writes.iter().flat_map(|write| write_of(key, write)).collect()
}

fn write_of(key: &KeyIdentity, write: &Write) -> Vec<Step> {
    let (id, hint) = (key.id.to_string(), key.fingerprint.hint.as_ref());
    let step = match write {
        Write::Bind(binding) => return bind(key, binding),
        Write::Unbind => step!("DELETE FROM bindings WHERE key_id = $1", id),
        Write::Join(network) => {
            let sql = "INSERT INTO binding_networks (key_id, network) VALUES ($1, $2::text::cidr)";
            step!(sql, id, network.to_string())
        }
        Write::Seal => step!("UPDATE bindings SET open_until = NULL WHERE key_id = $1", id),
        Write::Restored(at) => step!("UPDATE bindings SET restored_at = $2 WHERE key_id = $1", id, time(*at)),
        Write::Note(note) => step!("UPDATE bindings SET note = $2 WHERE key_id = $1", id, note.clone()),
        Write::Ban(ban) => self::ban(key, ban),
        Write::Unban => step!("DELETE FROM bans WHERE key_id = $1", id),
        Write::Observed(candidate) => {
            let sql = "INSERT INTO candidates (key_id, digest, pepper, realm, hint, network, first_at)
                VALUES ($1, $2, $3, $4, $5, $6::text::cidr, $7)";
            let network = candidate.network.to_string();
            insert(sql, key, hint, vec![Box::new(network), Box::new(time(candidate.first_at))])
        }
        Write::Archived(ArchivedBinding { networks, created_at, archived_at }) => {
            let sql = "INSERT INTO archive (key_id, digest, pepper, realm, hint, networks, created_at, archived_at)
                VALUES ($1, $2, $3, $4, $5, $6::text[]::cidr[], $7, $8)";
            let [created_at, archived_at] = [created_at, archived_at].map(|at| Box::new(time(*at)) as Value);
            insert(sql, key, hint, vec![Box::new(texts(networks)), created_at, archived_at])
        }
        Write::ForgetCandidates => step!("DELETE FROM candidates WHERE key_id = $1", id),
    };
    vec![step]
}

fn bind(key: &KeyIdentity, binding: &Binding) -> Vec<Step> {
    let sql = "WITH bound AS (
            INSERT INTO bindings (key_id, digest, pepper, realm, hint, state, created_at, open_until, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (key_id) DO UPDATE SET state = excluded.state, created_at = excluded.created_at,
                open_until = excluded.open_until, expires_at = excluded.expires_at
            RETURNING key_id)
        INSERT INTO binding_networks (key_id, network)
            SELECT key_id, network::cidr FROM bound, unnest($10::text[]) AS network";
    let Binding { hint, state, networks, created_at, open_until, expires_at, .. } = binding;
    let values: Vec<Value> = vec![
        Box::new(state.as_str()),
        Box::new(time(*created_at)),
        Box::new(open_until.map(time)),
        Box::new(expires_at.map(time)),
        Box::new(texts(networks)),
    ];
    vec![
        // In a separate statement before the insert, because a statement does not see what another part of it has
        // deleted.
        step!("DELETE FROM binding_networks WHERE key_id = $1", key.id.to_string()),
        insert(sql, key, hint.as_ref(), values),
    ]
}

fn ban(key: &KeyIdentity, ban: &Ban) -> Step {
    let sql = "INSERT INTO bans (key_id, digest, pepper, realm, hint, until, reason, actor, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (key_id) DO UPDATE SET until = excluded.until, reason = excluded.reason,
            actor = excluded.actor, created_at = excluded.created_at";
    let Ban { hint, until, reason, actor, created_at, .. } = ban;
    let (reason, actor) = (Box::new(reason.clone()), Box::new(actor.clone()));
    insert(sql, key, hint.as_ref(), vec![Box::new(until.map(time)), reason, actor, Box::new(time(*created_at))])
}

/// Inserts a row into a table whose first five columns identify a key.
fn insert(
    sql: &'static str,
    KeyIdentity { id, fingerprint }: &KeyIdentity,
    hint: Option<&Hint>,
    values: Vec<Value>,
) -> Step {
    let mut step = step!(
        sql,
        id.to_string(),
        fingerprint.digest.as_bytes().to_vec(),
        fingerprint.pepper.to_string(),
        fingerprint.realm.clone(),
        hint.map(|hint| hint.as_str().to_owned()),
    );
    step.values.extend(values);
    step
}
