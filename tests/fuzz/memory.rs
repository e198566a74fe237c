//! A store in memory: the fuzzer asks for millions of first uses, and none of them has to outlive the process.

use std::{collections::HashMap, sync::Mutex};

use async_trait::async_trait;
use key_ip_sentinel::{
    domain::{
        Binding, Candidate, KeyDigest, KeyDigests, KeyFacts, State, Timestamp,
        event::{EventKind, Record},
        running::{Pause, Replica},
    },
    store::{
        BatchId, Changes, Claim, Claimed, Decisions, ExportedKey, Imported, KnownPepper, MAX_CANDIDATES, Purpose,
        Reading, Rekey, Revision, StoreError, Upkeep, Use,
    },
};

/// What the requests' path needs of a store: look-up and claim, and the audit's end.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<KeyDigest, KeyFacts>>);

fn reading(digest: KeyDigest, facts: &KeyFacts) -> Reading {
    Reading { facts: facts.clone(), as_of: Revision::default(), digest }
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("no request asks for this".to_owned()))
}

#[async_trait]
impl Decisions for Memory {
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

    async fn try_claim(&self, _: Claim) -> Result<(), StoreError> {
        Ok(())
    }

    async fn changes_after(&self, _: Revision) -> Result<Changes, StoreError> {
        unused()
    }
}

#[async_trait]
impl Upkeep for Memory {
    async fn deliver(&self, _: BatchId, records: Vec<Record>) -> Result<u64, StoreError> {
        Ok(records.len() as u64)
    }

    async fn note_uses(&self, _: Vec<Use>) -> Result<u64, StoreError> {
        unused()
    }

    async fn prune_audit(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        unused()
    }

    async fn tick(&self, _: Timestamp) -> Result<Vec<Pause>, StoreError> {
        unused()
    }

    async fn uses_written(&self, _: Timestamp) -> Result<(), StoreError> {
        unused()
    }

    async fn replicas(&self, _: Timestamp, _: Timestamp) -> Result<Vec<Replica>, StoreError> {
        unused()
    }

    async fn archive(&self, _: Timestamp, _: u32, _: Timestamp) -> Result<Vec<Record>, StoreError> {
        unused()
    }

    async fn expire(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        unused()
    }

    async fn rekey(&self, _: Vec<Rekey>, _: Timestamp) -> Result<u64, StoreError> {
        unused()
    }

    async fn import(
        &self,
        _: Vec<ExportedKey>,
        _: Vec<KnownPepper>,
        _: &str,
        _: Timestamp,
    ) -> Result<Imported, StoreError> {
        unused()
    }
}
