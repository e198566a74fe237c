//! The decision: who may use a key.
//!
//! The order of the rules is the order of the code below (`PRODUCT`: bans before the binding; what only a claim needs
//! is judged only where a claim would be made). No wire format, no driver, no metric.

mod case;
pub mod limit;

use std::{iter, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, Guard};
use strum::{Display, EnumString, VariantArray, VariantNames};
use tokio::time::{Instant, timeout_at};

use crate::{
    cache::{Cached, Entry},
    domain::{
        ApiKey, ClientIp, KeyDigest, KeyFacts, KeyId, KeyRing, Mode, Network, PepperId, Reason, Shape, Timestamp,
        event::{DecisionId, EventKind},
        words,
    },
    store::{Claim, Claimed, Rekey, ReplicaState, StoreError, rekey},
};

use case::{Case, Step, Verdict, allow, deny};
use limit::{Charge, Exhausted, Limiter};

/// What to do while the store is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failsafe {
    /// Deny what cannot be decided.
    Closed,
    /// Allow it, unbound, as `failsafe_open`.
    Open,
}

/// What to do with a request without a key: the words of `credentials.missing` and `sentinel.missing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Missing {
    /// Deny it.
    Deny,
    /// Allow it: the route has anonymous parts.
    Allow,
}

words!(Missing);

/// What the first use of a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstUse {
    /// It makes the owner.
    Claim,
    /// Nothing: only an operator gives keys their networks.
    Deny,
}

/// The engine's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `mode`.
    pub mode: Mode,
    /// `credentials.missing`.
    pub missing: Missing,
    /// `store.failsafe`.
    pub failsafe: Failsafe,
    /// `store.stale_grace`.
    pub stale_grace: Duration,
    /// `client_ip.unclaimable`.
    pub unclaimable: Vec<Network>,
    /// `client_ip.trusted_proxies`, which never own either.
    pub proxies: Vec<Network>,
    /// `binding.first_use`.
    pub first_use: FirstUse,
    /// `binding.prefix_*`, `binding.max_networks`, `binding.learn_window`.
    pub shape: Shape,
    /// `claims.*`.
    pub claims: limit::Options,
}

/// What holds where nothing is configured.
impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            missing: Missing::Deny,
            failsafe: Failsafe::Closed,
            stale_grace: Duration::from_secs(600),
            unclaimable: Vec::new(),
            proxies: Vec::new(),
            first_use: FirstUse::Claim,
            shape: Shape::default(),
            claims: limit::Options {
                per_network: Some(limit::Rate { claims: 30, per: Duration::from_secs(60) }),
                ..limit::Options::default()
            },
        }
    }
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
    /// The route's mode, or the engine's.
    pub mode: Mode,
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
    would_deny: bool,
}

impl Permit {
    /// Why; for [`Permit::would_deny`], why not.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The key, if the request had one.
    pub fn key_id(&self) -> Option<KeyId> {
        self.key_id
    }

    /// Whether this request passes only because the mode is `observe`.
    pub fn would_deny(&self) -> bool {
        self.would_deny
    }
}

/// A refusal; anyone may make one.
#[derive(Debug)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The key, where one was found.
    pub key_id: Option<KeyId>,
    /// When it is worth to try again, where the engine knows better than the reason's own answer.
    pub retry_after: Option<Duration>,
}

/// What [`Engine::decide`] would answer, for an operator's eye. No proof of anything: no answer is made from it.
#[derive(Debug)]
pub struct Explained {
    /// Whether the request would be let through.
    pub allowed: bool,
    /// Whether that is only because the mode is `observe`.
    pub would_deny: bool,
    /// Why.
    pub reason: Reason,
    /// The key, where the request has one.
    pub key_id: Option<KeyId>,
    /// What it was judged by; `None` if nothing was asked, or the store did not answer.
    pub facts: Option<KeyFacts>,
    /// For [`Reason::FirstUse`] and [`Reason::NetworkAdded`]: the network that would own the key.
    pub would_own: Option<Network>,
}

/// How far a request with a key comes without a claim.
struct Settled {
    /// What it was judged by.
    entry: Option<Arc<Entry>>,
    step: Step,
}

/// Decides.
pub struct Engine {
    ring: Arc<KeyRing>,
    rekeys: rekey::Queue,
    cached: Arc<Cached>,
    view: Arc<ReplicaState>,
    limiter: Limiter,
    options: ArcSwap<Options>,
}

impl Engine {
    /// An engine over `cached`. Keys found under an older pepper go into `rekeys`.
    pub fn new(
        ring: Arc<KeyRing>,
        rekeys: rekey::Queue,
        cached: Arc<Cached>,
        view: Arc<ReplicaState>,
        options: Options,
    ) -> Self {
        let limiter = Limiter::new(Instant::now());
        Self { ring, rekeys, cached, view, limiter, options: ArcSwap::from_pointee(options) }
    }

    /// Decides by other settings from now on. `store.stale_grace` stays, because health and the archive go by it too, and
    /// so do the proxies, because the client's address is still found by the old ones.
    pub fn reconfigure(&self, options: Options) {
        let Options { stale_grace, proxies, .. } = Options::clone(&self.options.load());
        self.options.store(Arc::new(Options { stale_grace, proxies, ..options }));
    }

    /// `mode`, for a route that has none.
    pub fn mode(&self) -> Mode {
        self.options.load().mode
    }

    /// Decides `request`, which arrived at `now`, before `deadline`.
    ///
    /// A cached key is decided without an await; the deadline's timer starts only where the store is asked.
    pub async fn decide(&self, request: Request, now: Instant, deadline: Instant) -> Decision {
        let Request { ip, key, missing, mode, decision_id } = request;
        if mode == Mode::Off {
            return answer(allow(Reason::ModeOff, None), mode);
        }
        let options = self.options.load();
        let Some(key) = key else { return answer(without_key(&options, missing), mode) };
        let digest = self.ring.digest(&key);
        let Some(time) = self.view.time(now) else { return answer(never_connected(digest), mode) };
        let case = Case { options: &options, mode, ip, digest, now, time };
        if let Some((entry, verdict)) = self.warm(case, &key) {
            self.mark(&entry, verdict, time);
            self.enqueue_rekey(case, &key, &entry);
            return answer(verdict, mode);
        }
        // From here on there are awaits, which must not hold a place in the swap.
        let options = Guard::into_inner(options);
        let mut case = Case { options: &options, mode, ip, digest, now, time };
        let verdict = loop {
            match self.cold(case, &key, decision_id, deadline).await {
                Ok(verdict) => break verdict,
                // Another pepper was activated under us, and nothing was written: again, with that one.
                Err(Behind(active)) if self.ring.activate(&active) => case.digest = self.ring.digest(&key),
                Err(Behind(_)) => break never_connected(case.digest),
            }
        };
        answer(verdict, mode)
    }

    /// What the store decides.
    async fn cold(
        &self,
        case: Case<'_>,
        key: &ApiKey,
        decision_id: DecisionId,
        deadline: Instant,
    ) -> Result<Verdict, Behind> {
        let Settled { entry, step } = self.settle(case, key, deadline).await;
        let verdict = match step {
            Step::Decided(verdict) => verdict,
            Step::MayClaim(network) => match self.charge(case, entry.as_deref()) {
                Ok(charge) => {
                    let claim = self.claim(case, key, network, decision_id, charge);
                    let lost = |verdict| Ok(case.lost(entry.as_ref().map(|entry| &entry.facts), verdict));
                    self.in_time(case, deadline, claim).await.unwrap_or_else(lost)?
                }
                Err(exhausted) => limited(case, entry.as_deref(), exhausted),
            },
        };
        if let Some(entry) = entry {
            self.mark(&entry, verdict, case.time);
            self.enqueue_rekey(case, key, &entry);
        }
        Ok(verdict)
    }

    /// The price of a claim. A key that observe mode has seen has its rows already: were the next network limited, the
    /// owner could be the one who is not seen.
    fn charge(&self, case: Case<'_>, entry: Option<&Entry>) -> Result<Charge, Exhausted> {
        let seen = entry.is_some_and(|entry| !entry.facts.candidates.is_empty());
        match case.mode {
            Mode::Observe if seen => Ok(Charge::none()),
            _ => self.limiter.charge(&case.options.claims, case.ip, case.now),
        }
    }

    /// Has the row that `entry` found under another pepper moved to the active one, soon.
    fn enqueue_rekey(&self, case: Case<'_>, key: &ApiKey, entry: &Entry) {
        let moves = entry.digest != case.digest && !entry.facts.is_empty();
        if moves && self.rekeys.has_room() {
            self.rekeys.put(Rekey { from: entry.digest, to: self.ring.fingerprint(key) });
        }
    }

    /// What becomes of a request that the edge found `fault` with, and that was not judged any further.
    pub fn fault(&self, fault: Reason, mode: Mode) -> Decision {
        match (mode, fault) {
            (Mode::Enforce | Mode::Observe, _) | (_, Reason::CallerRejected | Reason::MalformedRequest) => {
                answer(deny(fault, None), mode)
            }
            (Mode::Off, _) => answer(allow(Reason::ModeOff, None), mode),
        }
    }

    /// What [`Engine::decide`] would answer to a request with this key from `ip`. Claims nothing.
    pub async fn explain(
        &self,
        ip: ClientIp,
        key: Option<&ApiKey>,
        missing: Option<Missing>,
        mode: Mode,
        now: Instant,
        deadline: Instant,
    ) -> Explained {
        if mode == Mode::Off {
            return explained(allow(Reason::ModeOff, None), mode, None, None);
        }
        let options = self.options.load_full();
        let Some(key) = key else { return explained(without_key(&options, missing), mode, None, None) };
        let digest = self.ring.digest(key);
        let Some(time) = self.view.time(now) else { return explained(never_connected(digest), mode, None, None) };
        let case = Case { options: &options, mode, ip, digest, now, time };
        let Settled { entry, step } = match self.warm(case, key) {
            Some((entry, verdict)) => Settled { entry: Some(entry), step: Step::Decided(verdict) },
            None => self.settle(case, key, deadline).await,
        };
        let facts = entry.as_ref().map(|entry| entry.facts.clone());
        match step {
            Step::Decided(verdict) => explained(verdict, mode, facts, None),
            // The charge is dropped at once, which gives it back.
            Step::MayClaim(network) => match self.charge(case, entry.as_deref()) {
                Ok(_) => {
                    let verdict = case.would_claim(facts.as_ref(), network);
                    explained(verdict, mode, facts, verdict.allowed.then_some(network))
                }
                Err(exhausted) => explained(limited(case, entry.as_deref(), exhausted), mode, facts, None),
            },
        }
    }

    /// What [`Engine::fault`] would answer.
    pub fn explain_fault(&self, fault: Reason, mode: Mode) -> Explained {
        told(self.fault(fault, mode), None, None)
    }

    /// What the cache alone decides. Synchronous: no I/O, no lock, no timer.
    fn warm(&self, case: Case<'_>, key: &ApiKey) -> Option<(Arc<Entry>, Verdict)> {
        let entry = self.cached.get(iter::once(case.digest).chain(self.ring.others(key)))?;
        let verdict = self.known(case, &entry.facts)?;
        Some((entry, verdict))
    }

    /// Remembers when a binding was last of use, or refused: what is neither for long is archived.
    fn mark(&self, entry: &Arc<Entry>, verdict: Verdict, time: Timestamp) {
        if entry.facts.binding.is_some() {
            self.cached.mark(entry, verdict.allowed, time);
        }
    }

    /// Everything but the claim, by what the store says now.
    async fn settle(&self, case: Case<'_>, key: &ApiKey, deadline: Instant) -> Settled {
        let load = self.cached.load(self.ring.digests(key), |facts| self.known(case, facts).is_some());
        let entry = match self.in_time(case, deadline, load).await {
            Ok(entry) => entry,
            Err(verdict) => {
                // The warm path has looked there: what it found did not decide, and is all there is now.
                let known = self.cached.get(self.ring.digests(key).iter());
                let verdict = case.lost(known.as_ref().map(|entry| &entry.facts), verdict);
                return Settled { entry: None, step: Step::Decided(verdict) };
            }
        };
        let known = self.known(case, &entry.facts);
        let step = known.map_or_else(|| case.unowned(&entry.facts), Step::Decided);
        Settled { entry: Some(entry), step }
    }

    fn known(&self, case: Case<'_>, facts: &KeyFacts) -> Option<Verdict> {
        case.known(facts, self.view.is_fresh(case.now, case.options.stale_grace))
    }

    /// What the store says before `deadline`, or what is decided without it.
    async fn in_time<T>(
        &self,
        case: Case<'_>,
        deadline: Instant,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Verdict> {
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(StoreError::Late)) | Err(_) => Err(deny(Reason::DeadlineExceeded, Some(case.digest.new_id()))),
            Ok(Err(_)) => Err(case.unsure(Some(case.digest.new_id()))),
        }
    }

    async fn claim(
        &self,
        case: Case<'_>,
        key: &ApiKey,
        network: Network,
        decision_id: DecisionId,
        charge: Charge,
    ) -> Result<Result<Verdict, Behind>, StoreError> {
        let claim = Claim {
            key: self.ring.fingerprint(key),
            network,
            purpose: case.purpose(),
            now: case.time,
            decision_id: decision_id.to_string(),
        };
        let settles = |facts: &KeyFacts| self.known(case, facts).is_some();
        let claimed = match self.cached.claim(claim, settles, move || charge.keep()).await {
            Err(StoreError::Behind(active)) => return Ok(Err(Behind(active))),
            claimed => claimed?,
        };
        Ok(Ok(match &claimed {
            Claimed::Won { reading, record } => {
                let added = record.kind == EventKind::NetworkAdded;
                let reason = if added { Reason::NetworkAdded } else { Reason::FirstUse };
                allow(reason, Some(case.key_id(&reading.facts)))
            }
            Claimed::Noted(reading) => case.noted(&reading.facts),
            Claimed::Held(reading) => self.known(case, &reading.facts).unwrap_or_else(|| {
                // As many networks as may be remembered with the key came before this one.
                deny(Reason::IpMismatch, Some(case.key_id(&reading.facts)))
            }),
        }))
    }
}

/// This pepper is active in the store, and ours was another: nothing was written.
struct Behind(PepperId);

fn limited(case: Case<'_>, entry: Option<&Entry>, exhausted: Exhausted) -> Verdict {
    case.limited(entry.map(|entry| &entry.facts), exhausted)
}

/// Nothing is known, not even whether our pepper is the right one, so `failsafe = open` cannot apply.
fn never_connected(digest: KeyDigest) -> Verdict {
    deny(Reason::StoreUnavailable, Some(digest.new_id()))
}

fn without_key(options: &Options, missing: Option<Missing>) -> Verdict {
    match missing.unwrap_or(options.missing) {
        Missing::Deny => deny(Reason::NoKey, None),
        Missing::Allow => allow(Reason::NoKey, None),
    }
}

/// The one place where a verdict becomes a decision.
fn answer(verdict: Verdict, mode: Mode) -> Decision {
    let Verdict { allowed, reason, key_id, retry_after } = verdict;
    let would_deny = !allowed && mode == Mode::Observe && !reason.binds_in_observe();
    if allowed || would_deny {
        Decision::Allow(Permit { reason, key_id, would_deny })
    } else {
        Decision::Deny(Denial { reason, key_id, retry_after })
    }
}

fn explained(verdict: Verdict, mode: Mode, facts: Option<KeyFacts>, would_own: Option<Network>) -> Explained {
    told(answer(verdict, mode), facts, would_own)
}

fn told(decision: Decision, facts: Option<KeyFacts>, would_own: Option<Network>) -> Explained {
    match decision {
        Decision::Allow(Permit { reason, key_id, would_deny }) => {
            Explained { allowed: true, would_deny, reason, key_id, facts, would_own }
        }
        Decision::Deny(Denial { reason, key_id, .. }) => {
            Explained { allowed: false, would_deny: false, reason, key_id, facts, would_own }
        }
    }
}
