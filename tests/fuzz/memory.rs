//! A store in memory: the fuzzer asks for millions of first uses, and none of them has to outlive the process.

use std::{collections::HashMap, sync::Mutex};

use async_trait::async_trait;
use key_ip_sentinel::{
    domain::{
        Binding, KeyDigest, KeyDigests, KeyFacts, State, Timestamp,
        event::{EventKind, Record},
    },
    store::{
        Applied, AuditQuery, Change, ChangeError, Changes, Claim, Claimed, Counts, KeyQuery, KeyRow, PepperRow,
        Reading, Rekey, Revision, Rotated, Rotation, Store, StoreError, Stored, Target,
    },
};

/// What the requests' path needs of a store: look-up and claim.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<KeyDigest, Binding>>);

fn reading(digest: KeyDigest, binding: Option<Binding>) -> Reading {
    Reading { facts: KeyFacts { binding, ..KeyFacts::default() }, as_of: Revision::default(), digest }
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("no request asks for this".to_owned()))
}

#[async_trait]
impl Store for Memory {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        let key = key.first();
        Ok(reading(key, self.0.lock().unwrap().get(&key).cloned()))
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let mut rows = self.0.lock().unwrap();
        if let Some(held) = rows.get(&claim.key.digest) {
            return Ok(Claimed::Held(reading(claim.key.digest, Some(held.clone()))));
        }
        let id = claim.key.digest.new_id();
        let networks = vec![claim.network];
        let binding = Binding {
            id,
            hint: None,
            state: State::Learned,
            networks,
            created_at: claim.now,
            open_until: None,
            expires_at: None,
        };
        rows.insert(claim.key.digest, binding.clone());
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
        Ok(Claimed::Won { reading: reading(claim.key.digest, Some(binding)), record })
    }

    async fn apply(&self, _: Change, _: &str, _: Timestamp) -> Result<Applied, ChangeError> {
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

    async fn append_audit(&self, _: Vec<Record>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn audit(&self, _: AuditQuery) -> Result<Vec<Stored>, StoreError> {
        unused()
    }

    async fn rekey(&self, _: Vec<Rekey>, _: Timestamp) -> Result<u64, StoreError> {
        unused()
    }

    async fn peppers(&self) -> Result<Vec<PepperRow>, StoreError> {
        unused()
    }

    async fn rotate(&self, _: Rotation, _: &str, _: Timestamp) -> Result<Rotated, ChangeError> {
        Ok(unused()?)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        unused()
    }
}
