//! A store in memory: the fuzzer asks for millions of first uses, and none of them has to outlive the process.

use std::{collections::HashMap, sync::Mutex};

use async_trait::async_trait;
use key_ip_sentinel::{
    domain::{
        Binding, Candidate, KeyDigest, KeyDigests, KeyFacts, State, Timestamp,
        event::{EventKind, Record},
    },
    store::{
        Applied, AuditQuery, Change, ChangeError, Changes, Chore, Claim, Claimed, CountQuery, Counts, KeyQuery, KeyRow,
        MAX_CANDIDATES, Purpose, Reading, Revision, Rotated, Rotation, Store, StoreError, Stored, Target, Tended,
    },
};

/// What the requests' path needs of a store: look-up and claim.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<KeyDigest, KeyFacts>>);

fn reading(digest: KeyDigest, facts: &KeyFacts) -> Reading {
    Reading { facts: facts.clone(), as_of: Revision::default(), digest }
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("no request asks for this".to_owned()))
}

#[async_trait]
impl Store for Memory {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        let key = key.first();
        Ok(reading(key, self.0.lock().unwrap().get(&key).unwrap_or(&KeyFacts::default())))
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let mut rows = self.0.lock().unwrap();
        let facts = rows.entry(claim.key.digest).or_default();
        let known = facts.candidates.iter().any(|candidate| candidate.network == claim.network);
        match claim.purpose {
            _ if facts.binding.is_some() => return Ok(Claimed::Held(reading(claim.key.digest, facts))),
            Purpose::Observe if known || facts.candidates.len() == MAX_CANDIDATES => {
                return Ok(Claimed::Held(reading(claim.key.digest, facts)));
            }
            Purpose::Observe => {
                facts.candidates.push(Candidate { network: claim.network, first_at: claim.now });
                return Ok(Claimed::Noted(reading(claim.key.digest, facts)));
            }
            Purpose::Own(_) => {}
        }
        let id = claim.key.digest.new_id();
        let binding = Binding {
            id,
            hint: None,
            state: State::Learned,
            networks: vec![claim.network],
            created_at: claim.now,
            open_until: None,
            expires_at: None,
        };
        *facts = KeyFacts { binding: Some(binding), ..KeyFacts::default() };
        let record = Record {
            kind: EventKind::FirstUse,
            reason: None,
            key_id: Some(id),
            network: Some(claim.network),
            count: 1,
            first_at: claim.now,
            last_at: claim.now,
            actor: None,
            decision_id: Some(claim.decision_id),
            detail: None,
            delta: None,
        };
        Ok(Claimed::Won { reading: reading(claim.key.digest, facts), record })
    }

    async fn apply(&self, _: Change, _: &str, _: Timestamp) -> Result<Applied, ChangeError> {
        Ok(unused()?)
    }

    async fn rotate(&self, _: Rotation, _: &str, _: Timestamp) -> Result<Rotated, ChangeError> {
        Ok(unused()?)
    }

    async fn changes_after(&self, _: Revision) -> Result<Changes, StoreError> {
        unused()
    }

    async fn keys(&self, _: KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
        unused()
    }

    async fn find(&self, _: Target) -> Result<KeyRow, ChangeError> {
        Ok(unused()?)
    }

    async fn audit(&self, _: AuditQuery) -> Result<Vec<Stored>, StoreError> {
        unused()
    }

    async fn tend(&self, chore: Chore) -> Result<Tended, StoreError> {
        match chore {
            Chore::Deliver { records, .. } => Ok(Tended { rows: records.len() as u64, ..Tended::default() }),
            _ => unused(),
        }
    }

    async fn counts(&self, _: CountQuery) -> Result<Counts, StoreError> {
        unused()
    }
}
