//! What the tests over the wire share: the real `sentinel`, a real Envoy, PostgreSQL and Redis, an upstream that
//! remembers, and clients that can say what no well-behaved client says.
//!
//! ```ignore
//! let sentinel = sentinel().set("store.failsafe", "\"open\"").start().await;
//! let answer = sentinel.check().key("sk-0123456789").from("203.0.113.7").send().await;
//! assert_eq!(answer.reason(), "first_use");
//! ```
//!
//! A tool that is missing (Envoy, PostgreSQL, strace) fails the test and names `make setup`; nothing is ever skipped.
#![allow(dead_code, unused_imports, reason = "every test binary uses its own part of this module")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test that cannot go on panics")]

pub(crate) mod admin;
pub(crate) mod answer;
pub(crate) mod backup;
pub(crate) mod certificates;
pub(crate) mod check;
pub(crate) mod cut;
pub(crate) mod daemon;
pub(crate) mod database;
pub(crate) mod edge;
pub(crate) mod envoy;
pub(crate) mod grpc;
pub(crate) mod http2;
pub(crate) mod http_client;
pub(crate) mod log;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod sentinel;
pub(crate) mod snapshot;
pub(crate) mod switch;
pub(crate) mod told;
pub(crate) mod upstream;

use std::time::{Duration, Instant};

pub(crate) use answer::Answer;
pub(crate) use check::{Check, Encoding};
pub(crate) use sentinel::{CALLER_TOKEN, Home, PEPPER, Sentinel, sentinel};

/// How long anything may take before a test gives up. Generous: it bounds a hang, it does not measure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Polls until `probe` has a value; panics with `what` when it does not come. For what sends no signal: another process, a
/// file, a metric, a row.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Bounds a future that must end by itself.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
}

/// SplitMix64: repeatable randomness for tests whose failure must be repeatable.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
