//! The decision: who may use a key.
//!
//! The order of the rules is the order of the code below (`PRODUCT`: bans before the binding; what only a claim needs
//! is judged only where a claim would be made). No wire format, no driver, no metric.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::{
    domain::{ApiKey, ClientIp, KeyFacts, KeyHasher, KeyId, Network, Reason, Standing, Timestamp, event::DecisionId},
    store::{Claim, Claimed, StoreError, cached::Cached, view::View},
};

/// What to do while the store is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failsafe {
    /// Deny what cannot be decided.
    Closed,
    /// Allow it, unbound, as `failsafe_open`.
    Open,
}

/// What to do with a request without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Deny it.
    Deny,
    /// Allow it: the route has anonymous parts.
    Allow,
}

/// The engine's settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// `credentials.missing`.
    pub missing: Missing,
    /// `store.failsafe`.
    pub failsafe: Failsafe,
    /// `store.stale_grace`.
    pub stale_grace: Duration,
    /// `client_ip.unclaimable`.
    pub unclaimable: Vec<Network>,
}

/// What the edge found in a Check request.
#[derive(Debug)]
pub struct Request {
    /// Who asks.
    pub ip: ClientIp,
    /// With which key.
    pub key: Option<ApiKey>,
    /// For the audit.
    pub decision_id: DecisionId,
}

/// An answer.
#[derive(Debug)]
pub enum Decision {
    /// Let the request through.
    Allow(Permit),
    /// Refuse it.
    Deny(Denial),
}

/// Proof that the engine allowed a request. Its fields are private to this file, so nothing else can make one, and an
/// allowing answer cannot be written without one.
#[derive(Debug)]
pub struct Permit {
    reason: Reason,
    key_id: Option<KeyId>,
}

impl Permit {
    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The key, if the request had one.
    pub fn key_id(&self) -> Option<KeyId> {
        self.key_id
    }
}

/// A refusal; anyone may make one.
#[derive(Debug)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The key, where one was found.
    pub key_id: Option<KeyId>,
}

/// Decides.
pub struct Engine {
    hasher: KeyHasher,
    cached: Arc<Cached>,
    view: Arc<View>,
    options: Options,
}

impl Engine {
    /// An engine over `cached`.
    pub fn new(hasher: KeyHasher, cached: Arc<Cached>, view: Arc<View>, options: Options) -> Self {
        Self { hasher, cached, view, options }
    }

    /// Decides `request`, which arrived at `now`, before `deadline`.
    ///
    /// A cached key is decided without an await; the deadline's timer starts only where the store is asked.
    pub async fn decide(&self, request: Request, now: Instant, deadline: Instant) -> Decision {
        let Some(key) = &request.key else { return self.without_key() };
        let digest = self.hasher.digest(key);
        let Some(time) = self.view.time(now) else {
            // Never connected: nothing is known, not even whether our pepper is the right one, so `open` cannot apply.
            return deny(Reason::StoreUnavailable, Some(digest.new_id()));
        };
        let cached = self.cached.get(&digest);
        if let Some(decision) = cached.and_then(|reading| self.known(&reading.facts, request.ip, time, now)) {
            return decision;
        }
        match timeout_at(deadline, self.ask_store(&request, key, time, now)).await {
            Ok(Ok(decision)) => decision,
            Ok(Err(_)) => self.unsure(Some(digest.new_id())),
            Err(_) => deny(Reason::DeadlineExceeded, Some(digest.new_id())),
        }
    }

    fn without_key(&self) -> Decision {
        match self.options.missing {
            Missing::Deny => deny(Reason::NoKey, None),
            Missing::Allow => allow(Reason::NoKey, None),
        }
    }

    async fn ask_store(
        &self,
        request: &Request,
        key: &ApiKey,
        time: Timestamp,
        now: Instant,
    ) -> Result<Decision, StoreError> {
        let fingerprint = self.hasher.fingerprint(key);
        let key_id = fingerprint.digest.new_id();
        let reading = self.cached.load(fingerprint.digest).await?;
        if let Some(decision) = self.known(&reading.facts, request.ip, time, now) {
            return Ok(decision);
        }
        if self.may_not_own(request.ip) {
            return Ok(deny(Reason::UnclaimableNetwork, Some(key_id)));
        }
        let network = Network::owning(request.ip);
        let decision_id = request.decision_id.to_string();
        match self.cached.claim(Claim { key: fingerprint, network, now: time, decision_id }).await? {
            Claimed::Won { reading, .. } => {
                Ok(allow(Reason::FirstUse, reading.facts.binding.map(|binding| binding.id)))
            }
            Claimed::Held(reading) => self.known(&reading.facts, request.ip, time, now).ok_or_else(|| {
                StoreError::Corrupt("a claim was refused, but neither a binding nor a ban in force was there".into())
            }),
        }
    }

    /// Judges a key by what is known of it; `None` if it has no owner and no ban in force.
    fn known(&self, facts: &KeyFacts, ip: ClientIp, time: Timestamp, now: Instant) -> Option<Decision> {
        if let Some(ban) = facts.ban.as_ref().filter(|ban| ban.in_force(time)) {
            return Some(deny(Reason::KeyBanned, Some(ban.id)));
        }
        let binding = facts.binding.as_ref()?;
        let key_id = Some(binding.id);
        Some(match binding.standing(ip) {
            Standing::Stranger => deny(Reason::IpMismatch, key_id),
            Standing::Reserved => deny(Reason::NotClaimed, key_id),
            Standing::Owner if self.view.is_fresh(now, self.options.stale_grace) => allow(Reason::Bound, key_id),
            // Cut off for too long: the key may have been taken from this network meanwhile.
            Standing::Owner => self.unsure(key_id),
        })
    }

    fn may_not_own(&self, ip: ClientIp) -> bool {
        ip.is_never_an_owner() || self.options.unclaimable.iter().any(|network| network.contains(ip))
    }

    fn unsure(&self, key_id: Option<KeyId>) -> Decision {
        match self.options.failsafe {
            Failsafe::Closed => deny(Reason::StoreUnavailable, key_id),
            Failsafe::Open => allow(Reason::FailsafeOpen, key_id),
        }
    }
}

fn allow(reason: Reason, key_id: Option<KeyId>) -> Decision {
    Decision::Allow(Permit { reason, key_id })
}

fn deny(reason: Reason, key_id: Option<KeyId>) -> Decision {
    Decision::Deny(Denial { reason, key_id })
}
