//! What a cached key costs: fills a cache with typical keys, and prints the growth of the process for each. In a process
//! of its own, whose memory is the cache's.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use async_trait::async_trait;
use key_ip_sentinel::{
    cache::Cached,
    domain::{Binding, ClientIp, Hint, KeyDigest, KeyDigests, KeyFacts, Network, State, Timestamp},
    store::{Changes, Claim, Claimed, Decisions, Reading, Revision, StoreError},
    telemetry::metrics::Metrics,
};

const KEYS: u64 = 1_000_000;
/// The default of the server.
const CACHE_BYTES: usize = 160 * 1024 * 1024;

/// A store that makes the facts of a key when it is asked, so that only the cache keeps them.
struct Made;

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("the cache is only read".to_owned()))
}

#[async_trait]
impl Decisions for Made {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        let digest = key.first();
        let facts = KeyFacts { binding: Some(typical(digest)), ..KeyFacts::default() };
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

/// What a first use makes; every second client has IPv6.
fn typical(digest: KeyDigest) -> Binding {
    let (high, _) = digest.as_bytes().split_first_chunk::<4>().unwrap();
    let bits = u32::from_be_bytes(*high);
    let ip: IpAddr = match bits % 2 {
        0 => Ipv4Addr::from_bits(bits).into(),
        _ => Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(bits) << 64).into(),
    };
    Binding {
        id: digest.new_id(),
        hint: Some(Hint::from_stored("sk-a…wxyz".to_owned())),
        state: State::Learned,
        networks: vec![Network::owning(ClientIp::new(ip))],
        created_at: Timestamp::from_millis(1_767_225_600_000 + i64::from(bits)),
        open_until: None,
        expires_at: None,
    }
}

/// SplitMix64, whose numbers are as evenly spread as those of a digest.
pub(crate) fn digest(number: u64) -> KeyDigest {
    let mut bytes = [0; 32];
    for (part, chunk) in (0u64..).zip(bytes.chunks_exact_mut(8)) {
        let mut word = (number * 4 + part + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(word ^ (word >> 31)).to_be_bytes());
    }
    KeyDigest::from_bytes(bytes)
}

/// The resident bytes of this process. The unit of the kernel is a page of 4 KiB.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

async fn load(cached: &Arc<Cached>, number: u64) {
    cached.load(digest(number).into(), |_| true, true).await.unwrap();
}

/// Prints the bytes a key.
pub(crate) fn measure() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let metrics = Metrics::new().unwrap();
        let cached = Arc::new(Cached::new(Arc::new(Made), CACHE_BYTES, metrics.store.clone(), |_| {}));
        // What the first load allocates is not the cache's.
        load(&cached, u64::MAX / 8).await;
        let before = resident();
        for number in 0..KEYS {
            load(&cached, number).await;
        }
        let grown = resident().saturating_sub(before);
        let found = (0..KEYS).filter(|number| cached.peek([digest(*number)]).is_some()).count();
        println!("{} {found}", grown / found as u64);
    });
}
