//! Limits how many keys a network may claim, so that a flood of random keys cannot fill the store.
//!
//! A budget is a leaky bucket in the form of GCRA (ITU-T I.371): one number, the time at which the bucket will be
//! empty. Budgets are per process, not shared: an attacker can claim up to N times as many keys with N replicas, but a
//! claim never waits for another replica.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::{
    decision::Exhausted,
    domain::{ClientIp, Network},
    settings::{ClaimLimits, Rate},
};

/// The most networks with a bucket; the least used are evicted, and have a full budget again. A claim that a wider network
/// refuses makes no bucket for a narrower one, so no network evicts more buckets than it may claim keys.
const NETWORKS: usize = 65_536;

/// How many `/64` budgets a wider IPv6 network has. Without it, a customer's `/48` would have 65,536 budgets. A customer
/// gets a `/56` or a `/48` (RFC 6177), a provider a `/32`.
const WIDER_IPV6: [(u8, u32); 2] = [(32, 64), (48, 4)];

/// The claim budgets of this process.
pub(super) struct Limiter {
    origin: Instant,
    networks: Cache<Network, Arc<Bucket>>,
    global: Arc<Bucket>,
}

/// When the bucket will be empty, in nanoseconds since the limiter's origin.
#[derive(Debug, Default)]
struct Bucket(AtomicU64);

/// The charge for a claim that may still fail: refunded on drop, unless [`Charge::keep`] was called.
#[must_use]
#[derive(Debug)]
pub(super) struct Charge(Vec<(Arc<Bucket>, u64)>);

impl Limiter {
    /// Starts with full budgets. `now` must not be after the first charge.
    pub(super) fn new(now: Instant) -> Self {
        Self { origin: now, networks: Cache::new(NETWORKS), global: Arc::default() }
    }

    /// Charges one claim from `ip` to the budgets of its networks and the global one, or to none.
    pub(super) fn charge(&self, limits: &ClaimLimits, ip: ClientIp, now: Instant) -> Result<Charge, Exhausted> {
        let mut charge = Charge(Vec::new());
        if limits.exempt.iter().any(|network| network.contains(ip)) {
            return Ok(charge);
        }
        let now = nanos(now.saturating_duration_since(self.origin));
        if let Some(rate) = limits.per_network {
            for (prefix, budgets) in WIDER_IPV6.into_iter().filter(|_| ip.ip().is_ipv6()) {
                let rate = Rate { claims: rate.claims.saturating_mul(budgets), ..rate };
                charge.add(self.bucket(Network::with_prefix(ip, prefix)), rate, now)?;
            }
            charge.add(self.bucket(Network::owning(ip)), rate, now)?;
        }
        if let Some(rate) = limits.global {
            charge.add(Arc::clone(&self.global), rate, now)?;
        }
        Ok(charge)
    }

    fn bucket(&self, network: Network) -> Arc<Bucket> {
        match self.networks.get_or_insert_with(&network, || Ok::<_, std::convert::Infallible>(Arc::default())) {
            Ok(bucket) => bucket,
            Err(never) => match never {},
        }
    }
}

impl Bucket {
    fn take(&self, rate: Rate, now: u64) -> Result<(), Exhausted> {
        let (cost, capacity) = (cost(rate), nanos(rate.per));
        let mut wait = None;
        let charged = |empty_at: u64| {
            // A reload may have made the rate faster: what was charged at the old rate is at most a full bucket now.
            let empty_at = empty_at.min(now.saturating_add(capacity));
            let next = empty_at.max(now).saturating_add(cost);
            wait = (next - now).checked_sub(capacity).filter(|wait| *wait > 0);
            Some(if wait.is_some() { empty_at } else { next })
        };
        // Relaxed: the number guards no other data.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged);
        match wait {
            None => Ok(()),
            Some(wait) => Err(Exhausted { retry_after: Duration::from_nanos(wait) }),
        }
    }

    fn refund(&self, cost: u64) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| Some(at.saturating_sub(cost)));
    }
}

impl Charge {
    /// A charge of nothing.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// On failure the caller drops the charge, which refunds what was taken from other budgets.
    fn add(&mut self, bucket: Arc<Bucket>, rate: Rate, now: u64) -> Result<(), Exhausted> {
        bucket.take(rate, now)?;
        self.0.push((bucket, cost(rate)));
        Ok(())
    }

    /// Keeps the charge, because the claim was made.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        for (bucket, cost) in &self.0 {
            bucket.refund(*cost);
        }
    }
}

/// What one claim costs, in nanoseconds.
fn cost(rate: Rate) -> u64 {
    (nanos(rate.per) / u64::from(rate.claims.max(1))).max(1)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn per_minute(claims: u32) -> ClaimLimits {
        ClaimLimits { per_network: Some(Rate { claims, per: MINUTE }), ..ClaimLimits::default() }
    }

    fn ip(text: &str) -> ClientIp {
        text.parse().unwrap()
    }

    #[test]
    fn a_budget_may_be_spent_at_once_and_refills_steadily() {
        let start = Instant::now();
        let (limiter, options) = (Limiter::new(start), per_minute(30));
        for claim in 0..30 {
            limiter.charge(&options, ip("203.0.113.7"), start).unwrap_or_else(|_| panic!("claim {claim}")).keep();
        }
        let spent = limiter.charge(&options, ip("203.0.113.7"), start).unwrap_err();
        assert_eq!(spent.retry_after, Duration::from_secs(2));
        limiter.charge(&options, ip("203.0.113.8"), start).unwrap().keep();
        let later = start + spent.retry_after;
        limiter.charge(&options, ip("203.0.113.7"), later).unwrap().keep();
        limiter.charge(&options, ip("203.0.113.7"), later).unwrap_err();
    }

    #[test]
    fn a_raised_rate_applies_at_once() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        let day = ClaimLimits { per_network: Some(Rate { claims: 1, per: 1440 * MINUTE }), ..ClaimLimits::default() };
        limiter.charge(&day, ip("203.0.113.7"), start).unwrap().keep();
        limiter.charge(&day, ip("203.0.113.7"), start).unwrap_err();
        let spent = limiter.charge(&per_minute(60), ip("203.0.113.7"), start).unwrap_err();
        assert_eq!(spent.retry_after, Duration::from_secs(1));
        limiter.charge(&per_minute(60), ip("203.0.113.7"), start + MINUTE).unwrap().keep();
    }

    #[test]
    fn an_ipv6_budget_is_per_64() {
        let start = Instant::now();
        let (limiter, options) = (Limiter::new(start), per_minute(1));
        limiter.charge(&options, ip("2001:db8::1"), start).unwrap().keep();
        limiter.charge(&options, ip("2001:db8::ffff:2"), start).unwrap_err();
        limiter.charge(&options, ip("2001:db8:0:1::1"), start).unwrap().keep();
    }

    /// Otherwise a customer's /48 would claim 65,536 times as many keys as one address.
    #[test]
    fn an_ipv6_customer_has_four_budgets_and_a_provider_sixty_four() {
        let start = Instant::now();
        let claims = |limiter: &Limiter, addresses: &mut dyn Iterator<Item = String>| {
            let charge = |text: String| limiter.charge(&per_minute(30), ip(&text), start).map(Charge::keep);
            addresses.filter(|text| charge(text.clone()).is_ok()).count()
        };
        let limiter = Limiter::new(start);
        assert_eq!(claims(&limiter, &mut (0..1_000).map(|net| format!("2001:db8:1:{net:x}::1"))), 4 * 30);
        assert_eq!(claims(&limiter, &mut (0..31).map(|host| format!("2001:db8:2::{host:x}"))), 30);
        let limiter = Limiter::new(start);
        let mut networks = (0..4_000).map(|net| format!("2001:db8:{net:x}::1"));
        assert_eq!(claims(&limiter, &mut networks), 64 * 30);
        assert_eq!(claims(&limiter, &mut (0..5).map(|net| format!("2001:db9:{net:x}::1"))), 5);
        // A claim that the wider budget refused was not charged to the /64.
        let later = start + Duration::from_secs(1);
        assert!(limiter.charge(&per_minute(30), ip("2001:db8:f000::1"), later).is_ok());
    }

    #[test]
    fn a_failed_claim_is_refunded() {
        let start = Instant::now();
        let both = ClaimLimits { global: Some(Rate { claims: 1, per: MINUTE }), ..per_minute(2) };
        let limiter = Limiter::new(start);
        drop(limiter.charge(&both, ip("203.0.113.7"), start).unwrap());
        limiter.charge(&both, ip("203.0.113.7"), start).unwrap().keep();
        limiter.charge(&both, ip("203.0.113.7"), start).unwrap_err();
        // The claim that exceeded the global budget was refunded to the network.
        let alone = per_minute(2);
        limiter.charge(&alone, ip("203.0.113.7"), start).unwrap().keep();
        limiter.charge(&alone, ip("203.0.113.7"), start).unwrap_err();
    }

    #[test]
    fn exempt_networks_and_absent_budgets_have_no_limit() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        let exempt = ClaimLimits { exempt: vec!["203.0.113.0/24".parse().unwrap()], ..per_minute(1) };
        for _ in 0..10 {
            limiter.charge(&exempt, ip("203.0.113.7"), start).unwrap().keep();
            limiter.charge(&ClaimLimits::default(), ip("198.51.100.9"), start).unwrap().keep();
        }
    }

    /// Otherwise one customer's /48 would evict the budgets of all other networks, which would be full again.
    #[test]
    fn a_claim_that_a_wider_network_refuses_makes_no_bucket() {
        let start = Instant::now();
        let (limiter, options) = (Limiter::new(start), per_minute(30));
        let claim = |net: u32| limiter.charge(&options, ip(&format!("2001:db8:1:{net:x}::1")), start).map(Charge::keep);
        assert_eq!((0..5_000).filter(|net| claim(*net).is_ok()).count(), 4 * 30);
        assert_eq!(limiter.networks.len(), 4 * 30 + 2);
    }

    #[test]
    fn memory_is_bounded_by_the_number_of_networks() {
        let start = Instant::now();
        let (limiter, options) = (Limiter::new(start), per_minute(1));
        for number in 0..200_000u32 {
            let ip = ClientIp::new(std::net::Ipv4Addr::from(number).into());
            limiter.charge(&options, ip, start).unwrap().keep();
        }
        assert!(limiter.networks.len() <= NETWORKS, "{}", limiter.networks.len());
    }
}
