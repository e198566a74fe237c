//! The decision: who may use a key.
//!
//! The order of the rules is the order of the code below (`PRODUCT`: bans before the binding; what only a claim needs
//! is judged only where a claim would be made). No wire format, no driver, no metric.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::{
    domain::{
        ApiKey, ClientIp, KeyDigest, KeyFacts, KeyHasher, KeyId, Network, Reason, Standing, Timestamp,
        event::DecisionId,
    },
    store::{Claim, Claimed, Reading, StoreError, cached::Cached, view::View},
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

impl Missing {
    /// The word of `credentials.missing` and `sentinel.missing`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "deny" => Some(Self::Deny),
            "allow" => Some(Self::Allow),
            _ => None,
        }
    }
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
    /// What the route says about requests without a key; `None` leaves it to [`Options::missing`].
    pub missing: Option<Missing>,
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

/// What [`Engine::decide`] would answer, for an operator's eye. No proof of anything: no answer is made from it.
#[derive(Debug)]
pub struct Explained {
    /// Whether the request would be let through.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The key, where the request has one.
    pub key_id: Option<KeyId>,
    /// What it was judged by; `None` if nothing was asked, or the store did not answer.
    pub facts: Option<KeyFacts>,
    /// For [`Reason::FirstUse`]: the network that would own the key.
    pub would_own: Option<Network>,
}

/// How far a request with a key comes without a claim.
struct Settled {
    /// What it was judged by.
    reading: Option<Arc<Reading>>,
    step: Step,
}

enum Step {
    Decided(Decision),
    /// Nobody owns the key, and this network may.
    MayClaim(Network, Timestamp),
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
        let Some(key) = &request.key else { return self.without_key(request.missing) };
        let digest = self.hasher.digest(key);
        match self.settle(&digest, request.ip, now, deadline).await.step {
            Step::Decided(decision) => decision,
            Step::MayClaim(network, time) => {
                let claim = self.claim(&request, key, network, time, now);
                self.in_time(&digest, deadline, claim).await.unwrap_or_else(|decision| decision)
            }
        }
    }

    /// What [`Engine::decide`] would answer to a request with this key from `ip`. Claims nothing.
    pub async fn explain(
        &self,
        ip: ClientIp,
        key: Option<&ApiKey>,
        missing: Option<Missing>,
        now: Instant,
        deadline: Instant,
    ) -> Explained {
        let Some(key) = key else { return explained(&self.without_key(missing), None) };
        let digest = self.hasher.digest(key);
        let Settled { reading, step } = self.settle(&digest, ip, now, deadline).await;
        let facts = reading.map(|reading| reading.facts.clone());
        match step {
            Step::Decided(decision) => explained(&decision, facts),
            Step::MayClaim(network, _) => Explained {
                allowed: true,
                reason: Reason::FirstUse,
                key_id: Some(digest.new_id()),
                facts,
                would_own: Some(network),
            },
        }
    }

    /// Everything but the claim.
    async fn settle(&self, digest: &KeyDigest, ip: ClientIp, now: Instant, deadline: Instant) -> Settled {
        let decided = |reading, decision| Settled { reading, step: Step::Decided(decision) };
        let Some(time) = self.view.time(now) else {
            // Never connected: nothing is known, not even whether our pepper is the right one, so `open` cannot apply.
            return decided(None, deny(Reason::StoreUnavailable, Some(digest.new_id())));
        };
        if let Some(reading) = self.cached.get(digest)
            && let Some(decision) = self.known(&reading.facts, ip, time, now)
        {
            return decided(Some(reading), decision);
        }
        let reading = match self.in_time(digest, deadline, self.cached.load(*digest)).await {
            Ok(reading) => reading,
            Err(decision) => return decided(None, decision),
        };
        let step = match self.known(&reading.facts, ip, time, now) {
            Some(decision) => Step::Decided(decision),
            None if self.may_not_own(ip) => Step::Decided(deny(Reason::UnclaimableNetwork, Some(digest.new_id()))),
            None => Step::MayClaim(Network::owning(ip), time),
        };
        Settled { reading: Some(reading), step }
    }

    /// What the store says before `deadline`, or what is decided without it.
    async fn in_time<T>(
        &self,
        digest: &KeyDigest,
        deadline: Instant,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Decision> {
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(self.unsure(Some(digest.new_id()))),
            Err(_) => Err(deny(Reason::DeadlineExceeded, Some(digest.new_id()))),
        }
    }

    fn without_key(&self, missing: Option<Missing>) -> Decision {
        match missing.unwrap_or(self.options.missing) {
            Missing::Deny => deny(Reason::NoKey, None),
            Missing::Allow => allow(Reason::NoKey, None),
        }
    }

    async fn claim(
        &self,
        request: &Request,
        key: &ApiKey,
        network: Network,
        time: Timestamp,
        now: Instant,
    ) -> Result<Decision, StoreError> {
        let (fingerprint, decision_id) = (self.hasher.fingerprint(key), request.decision_id.to_string());
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

fn explained(decision: &Decision, facts: Option<KeyFacts>) -> Explained {
    let (allowed, reason, key_id) = match *decision {
        Decision::Allow(Permit { reason, key_id }) => (true, reason, key_id),
        Decision::Deny(Denial { reason, key_id }) => (false, reason, key_id),
    };
    Explained { allowed, reason, key_id, facts, would_own: None }
}

fn allow(reason: Reason, key_id: Option<KeyId>) -> Decision {
    Decision::Allow(Permit { reason, key_id })
}

fn deny(reason: Reason, key_id: Option<KeyId>) -> Decision {
    Decision::Deny(Denial { reason, key_id })
}
