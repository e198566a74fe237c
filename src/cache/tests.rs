use async_trait::async_trait;

use super::*;
use crate::{
    domain::{Ban, Binding, KeyFacts, State},
    store::{Claim, Claimed, Reading, Revision},
    telemetry::metrics::Metrics,
};

/// A store that makes the facts of a key when it is asked.
struct Made {
    reason: Option<String>,
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("the cache is only read".to_owned()))
}

#[async_trait]
impl Decisions for Made {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        let digest = key.first();
        let (id, created_at) = (digest.new_id(), Timestamp::from_millis(0));
        let binding = Binding {
            id,
            hint: None,
            state: State::Learned,
            networks: vec!["203.0.113.7".parse().unwrap()],
            created_at,
            open_until: None,
            expires_at: None,
        };
        let ban = |reason| Ban { id, hint: None, until: None, reason: Some(reason), actor: "uid:0".into(), created_at };
        let facts = KeyFacts { binding: Some(binding), ban: self.reason.clone().map(ban), candidates: Vec::new() };
        Ok(Reading { facts, as_of: Revision(0), digest })
    }

    async fn claim(&self, _: Claim) -> Result<Claimed, StoreError> {
        unused()
    }

    async fn try_claim(&self, _: Claim) -> Result<(), StoreError> {
        unused()
    }

    async fn changes_after(&self, _: Revision) -> Result<Changes, StoreError> {
        unused()
    }
}

fn cached(keys: usize, reason: Option<String>) -> Arc<Cached> {
    let capacity = keys * Cached::TYPICAL_KEY;
    Arc::new(Cached::new(Arc::new(Made { reason }), capacity, Metrics::new().unwrap().store, |_| {}))
}

/// Evenly spread, as digests are.
fn digest(number: u64) -> KeyDigest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    KeyDigest::from_bytes(bytes)
}

async fn load(cached: &Arc<Cached>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        cached.load(digest(number).into(), |_| true, true).await.unwrap();
    }
}

fn found(cached: &Cached, numbers: std::ops::Range<u64>) -> usize {
    numbers.filter(|number| cached.get([digest(*number)]).is_some()).count()
}

#[tokio::test]
async fn a_scan_does_not_evict_keys_in_use() {
    let cached = cached(4000, None);
    load(&cached, 0..1000).await;
    assert_eq!(found(&cached, 0..1000), 1000);
    load(&cached, 1000..41_000).await;
    assert_eq!(found(&cached, 0..1000), 1000);
    assert!(found(&cached, 1000..41_000) <= 3000);
}

#[tokio::test]
async fn heavy_keys_take_the_place_of_several_typical_ones() {
    let typical = cached(1000, None);
    load(&typical, 0..2000).await;
    let kept = found(&typical, 0..2000);
    assert!((900..=1000).contains(&kept), "{kept}");

    let banned = cached(1000, Some("x".repeat(10 * Cached::TYPICAL_KEY)));
    load(&banned, 0..2000).await;
    let kept = found(&banned, 0..2000);
    assert!((50..=91).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_digest_that_only_begins_as_that_of_a_cached_key_is_not_found() {
    let cached = cached(1000, None);
    let mut bytes = *digest(1).as_bytes();
    bytes[31] ^= 1;
    let other = KeyDigest::from_bytes(bytes);
    load(&cached, 1..2).await;
    assert!(cached.get([other]).is_none() && cached.get([digest(1)]).is_some());
    cached.load(other.into(), |_| true, true).await.unwrap();
    assert!(cached.get([digest(1)]).is_none(), "their index is the same");
    assert_eq!(cached.get([digest(1), other]).map(|entry| entry.digest), Some(other));
}
