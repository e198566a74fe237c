//! A store in memory: the fuzzer asks for millions of first uses, and none of them has to outlive the process.

use std::{collections::HashMap, sync::Mutex};

use async_trait::async_trait;
use key_ip_sentinel::{
    domain::{
        Binding, KeyDigest, KeyFacts, State, Timestamp,
        event::{EventKind, Record},
    },
    store::{
        Applied, AuditQuery, BatchId, Change, ChangeError, Changes, Claim, Claimed, Counts, KeyQuery, KeyRow, Reading,
        Revision, Store, StoreError, Stored, Target,
    },
};

/// What the requests' path needs of a store: look-up and claim.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<KeyDigest, Binding>>);

fn reading(binding: Option<Binding>) -> Reading {
    Reading { facts: KeyFacts { binding, ..KeyFacts::default() }, as_of: Revision::default() }
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("no request asks for this".to_owned()))
}

#[async_trait]
impl Store for Memory {
    async fn lookup(&self, key: &KeyDigest) -> Result<Reading, StoreError> {
        Ok(reading(self.0.lock().unwrap().get(key).cloned()))
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let mut rows = self.0.lock().unwrap();
        if let Some(held) = rows.get(&claim.key.digest) {
            return Ok(Claimed::Held(reading(Some(held.clone()))));
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
        Ok(Claimed::Won { reading: reading(Some(binding)), record })
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

    async fn append_audit(&self, _: BatchId, _: Vec<Record>) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn prune_audit(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        unused()
    }

    async fn audit(&self, _: AuditQuery) -> Result<Vec<Stored>, StoreError> {
        unused()
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        unused()
    }
}
