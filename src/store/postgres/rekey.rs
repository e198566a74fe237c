//! From a row under one pepper to the same row under another.

use std::collections::HashSet;

use super::{
    facts::{self, Found},
    keys::{Lock, lock},
    revision::advance,
    rows::{Step, step},
    session::Session,
};
use crate::{
    domain::{Fingerprint, KeyDigest, KeyId, PepperId, Timestamp},
    store::{Rekey, StoreError},
};

pub(super) async fn rekey(session: &mut Session, moves: &[Rekey], now: Timestamp) -> Result<u64, StoreError> {
    let digests: Vec<_> = moves.iter().flat_map(|Rekey { from, to }| [*from, to.digest]).collect();
    let asked = vec![Lock::Writers.share(), lock(digests.iter().copied()), facts::step_of(digests)];
    let answers = session.begin(asked).await?;
    let found = facts::found(answers.last().map_or(&[], Vec::as_slice))?;
    let (mut sound, mut taken) = (Vec::new(), HashSet::new());
    for (Rekey { from, to }, pair) in moves.iter().zip(found.chunks_exact(2)) {
        let [old, new] = pair else { continue };
        let Some(id) = old.id.filter(|_| new.id.is_none() && to.pepper == new.active) else { continue };
        if taken.insert(to.digest) && from != &to.digest {
            sound.push(Move { id, from: *from, to: to.digest });
        }
    }
    let active = found.into_iter().next().map(|found| found.active);
    if let Some(active) = active.filter(|_| !sound.is_empty()) {
        session.send(steps(&sound, &active, now)).await?;
    }
    Ok(sound.len() as u64)
}

/// Brings the row of `key`, if it is under another of its digests, to the first one; says whether it did. To be called
/// with a `key` of the active pepper, under its lock, before anything is written for it: so all rows of a key are under
/// one digest at any time.
pub(super) async fn adopt(
    session: &mut Session,
    key: &Fingerprint,
    found: &[Found],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let elsewhere = match found {
        [first, others @ ..] if first.id.is_none() => others.iter().find_map(|found| Some((found.id?, found.digest))),
        _ => None,
    };
    let Some((id, from)) = elsewhere else { return Ok(false) };
    session.send(steps(&[Move { id, from, to: key.digest }], &key.pepper, now)).await?;
    Ok(true)
}

struct Move {
    id: KeyId,
    from: KeyDigest,
    to: KeyDigest,
}

fn steps(moves: &[Move], pepper: &PepperId, now: Timestamp) -> Vec<Step> {
    let ids: Vec<_> = moves.iter().map(|it| it.id.to_string()).collect();
    let digests: Vec<_> = moves.iter().map(|it| it.to.as_bytes().to_vec()).collect();
    let of = |sql| step!(sql, ids.clone(), digests.clone(), pepper.to_string());
    let mut steps = vec![
        // In the order of a batch of uses, which takes no lock on keys.
        step!("SELECT FROM bindings WHERE key_id = ANY ($1) ORDER BY key_id FOR UPDATE", ids.clone()),
        of("UPDATE bindings SET digest = moved.digest, pepper = $3
            FROM unnest($1::text[], $2::bytea[]) AS moved (key_id, digest) WHERE bindings.key_id = moved.key_id"),
        of("UPDATE bans SET digest = moved.digest, pepper = $3
            FROM unnest($1::text[], $2::bytea[]) AS moved (key_id, digest) WHERE bans.key_id = moved.key_id"),
        of("UPDATE candidates SET digest = moved.digest, pepper = $3
            FROM unnest($1::text[], $2::bytea[]) AS moved (key_id, digest) WHERE candidates.key_id = moved.key_id"),
        of("UPDATE archive SET digest = moved.digest, pepper = $3
            FROM unnest($1::text[], $2::bytea[]) AS moved (key_id, digest) WHERE archive.key_id = moved.key_id"),
    ];
    // Caches know the key by the digest that it leaves; by the new one none knows it.
    steps.extend(advance(moves.iter().map(|it| it.from), now));
    steps
}
