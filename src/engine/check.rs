//! The steps of a decision.

use std::{iter, sync::Arc};

use tokio::time::{Instant, timeout_at};

use super::{
    limit::{Charge, Limiter},
    request::Request,
};
use crate::{
    cache::{Cached, Entry},
    decision::{Claimed, Context, Evidence, Exhausted, Known, Step, StoreLoss, Verdict, judge},
    domain::{ApiKey, FactsView, KeyDigest, KeyRing, Mode, Network, PepperId, event::EventKind},
    settings::Settings,
    store::{self, Claim, Moment, Purpose, Rekey, ReplicaState, Slots, StoreError, rekey},
};

/// What the engine's decisions share.
pub(super) struct Parts {
    pub(super) ring: Arc<KeyRing>,
    pub(super) rekeys: rekey::Queue,
    pub(super) cached: Arc<Cached>,
    pub(super) state: Arc<ReplicaState>,
    pub(super) limiter: Limiter,
}

/// Whether a decision has side effects: claims, times of last use, counters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effects {
    All,
    None,
}

/// A decision in progress.
pub(super) struct Check<'a> {
    parts: &'a Parts,
    settings: &'a Settings,
    request: &'a Request,
    now: Instant,
    deadline: Instant,
    effects: Effects,
    context: Context<'a>,
}

/// A verdict, and the entry that it was based on.
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    /// `None` if the key was not looked up, or the store did not answer.
    pub(super) entry: Option<Arc<Entry>>,
    /// The network that the claim would make an owner, if the claim was only assumed.
    pub(super) would_own: Option<Network>,
}

/// The store's active pepper is this one, not the process's: nothing was written.
struct Behind(PepperId);

impl<'a> Check<'a> {
    pub(super) fn new(
        parts: &'a Parts,
        settings: &'a Settings,
        request: &'a Request,
        (now, deadline): (Instant, Instant),
        effects: Effects,
    ) -> Self {
        let is_decided = request.mode != Mode::Off;
        let digest = |key: &Option<ApiKey>| key.as_ref().filter(|_| is_decided).map(|key| parts.ring.digest(key));
        let Moment { time, unsettled, is_fresh, .. } = parts.state.moment(now, settings.stale_grace);
        let context = Context {
            mode: request.mode,
            missing: request.missing,
            failsafe: settings.failsafe,
            binding: &settings.binding,
            ip: request.ip,
            key: request.key.as_ref().map(digest).map_err(|reason| *reason),
            address: request.ip.map(|ip| settings.policy.address(ip)).unwrap_or_default(),
            time,
            unsettled,
            is_fresh,
        };
        Self { parts, settings, request, now, deadline, effects, context }
    }

    /// The outcome by the request and the in-process cache; `None` if the store is needed. Synchronous: no I/O, global
    /// lock or timer.
    pub(super) fn by_cache(self) -> Option<Outcome> {
        let step = judge(&self.context, Evidence::None);
        let outcome = match (step, self.context.key, &self.request.key) {
            (Step::LookUp, Ok(Some(digest)), Ok(Some(key))) => {
                let entry = self.cached(digest, key)?;
                match judge(&self.context, Evidence::Cached(self.known(entry.facts()))) {
                    Step::LookUp => return None,
                    step => Outcome::by(step, Some(entry)),
                }
            }
            _ => Outcome::by(step, None),
        };
        self.record_use(&outcome);
        Some(outcome)
    }

    /// The outcome by the store, of a request with a key.
    pub(super) async fn by_store(mut self) -> Outcome {
        let outcome = match &self.request.key {
            Ok(Some(key)) => self.with_store(key).await,
            _ => Outcome::by(Step::LookUp, None),
        };
        self.record_use(&outcome);
        outcome
    }

    fn cached(&self, digest: KeyDigest, key: &ApiKey) -> Option<Arc<Entry>> {
        let digests = iter::once(digest).chain(self.parts.ring.other_digests(key));
        match self.effects {
            Effects::All => self.parts.cached.get(digests),
            Effects::None => self.parts.cached.peek(digests),
        }
    }

    async fn with_store(&mut self, key: &ApiKey) -> Outcome {
        loop {
            match self.ask_store(key).await {
                Ok(outcome) => return outcome,
                // Another pepper was activated meanwhile: retry with that one.
                Err(Behind(active)) if self.parts.ring.activate(&active) => {
                    self.context.key = Ok(Some(self.parts.ring.digest(key)));
                }
                Err(Behind(_)) => return self.lost(StoreLoss::WrongPepper, None, None),
            }
        }
    }

    async fn ask_store(&self, key: &ApiKey) -> Result<Outcome, Behind> {
        let digests = self.parts.ring.digests(key);
        let load = self.parts.cached.load(digests, |facts| self.decides(facts), self.effects == Effects::All);
        let entry = match self.before_deadline(load).await {
            Ok(entry) => entry,
            Err(loss) => {
                let known = self.parts.cached.peek(self.parts.ring.digests(key).iter());
                return Ok(self.lost(loss, known.as_ref().map(|entry| entry.facts()), None));
            }
        };
        match judge(&self.context(), Evidence::Stored(self.known(entry.facts()))) {
            Step::MayClaim(network) => self.claim_within_budget(key, entry, network).await,
            step => Ok(Outcome::by(step, Some(entry))),
        }
    }

    async fn claim_within_budget(&self, key: &ApiKey, entry: Arc<Entry>, network: Network) -> Result<Outcome, Behind> {
        let known = self.known(entry.facts());
        let charge = match self.charge(entry.facts()) {
            Ok(charge) => charge,
            Err(exhausted) => {
                let step = judge(&self.context(), Evidence::Limited(known, exhausted));
                return Ok(Outcome::by(step, Some(entry)));
            }
        };
        if self.effects == Effects::None {
            // Dropping the charge refunds it. A claim that the store would not accept is not assumed to succeed.
            match self.before_deadline(self.try_claim(key, network)).await {
                Ok(Ok(())) => {}
                Ok(Err(behind)) => return Err(behind),
                Err(loss) => return Ok(self.lost(loss, Some(entry.facts()), Some(Arc::clone(&entry)))),
            }
            let step = judge(&self.context(), Evidence::AssumedClaim(known, network));
            let outcome = Outcome::by(step, Some(Arc::clone(&entry)));
            let would_own = outcome.verdict.allowed.then_some(network);
            return Ok(Outcome { would_own, ..outcome });
        }
        match self.before_deadline(self.claim(key, network, charge)).await {
            Ok(Ok(step)) => Ok(Outcome::by(step, Some(entry))),
            Ok(Err(behind)) => Err(behind),
            Err(loss) => Ok(self.lost(loss, Some(entry.facts()), Some(Arc::clone(&entry)))),
        }
    }

    /// Charges the claim budget. A key with candidates is exempt in observe mode: it already has its rows, and limiting
    /// the next network could leave the rightful owner unrecorded.
    fn charge(&self, facts: FactsView<'_>) -> Result<Charge, Exhausted> {
        match (self.request.mode, self.context.ip) {
            (Mode::Observe, _) if !facts.candidates.is_empty() => Ok(Charge::none()),
            (_, None) => Ok(Charge::none()),
            (_, Some(ip)) => self.parts.limiter.charge(&self.settings.claims, ip, self.now),
        }
    }

    async fn try_claim(&self, key: &ApiKey, network: Network) -> Result<Result<(), Behind>, StoreError> {
        match self.parts.cached.try_claim(self.claim_of(key, network)?).await {
            Err(StoreError::Behind(active)) => Ok(Err(Behind(active))),
            tried => tried.map(Ok),
        }
    }

    fn claim_of(&self, key: &ApiKey, network: Network) -> Result<Claim, StoreError> {
        let Some(now) = self.context.time else { return Err(StoreError::Unavailable("never reached".to_owned())) };
        let (shape, decision_id) = (&self.settings.binding.shape, self.request.decision_id.to_string());
        let purpose = match self.request.mode {
            Mode::Observe => Purpose::Observe,
            Mode::Enforce | Mode::Off => {
                Purpose::Own(Slots { networks: shape.max_networks, window: shape.learn_window })
            }
        };
        Ok(Claim { key: self.parts.ring.fingerprint(key), network, purpose, now, decision_id })
    }

    async fn claim(&self, key: &ApiKey, network: Network, charge: Charge) -> Result<Result<Step, Behind>, StoreError> {
        let claim = self.claim_of(key, network)?;
        let answer = self.parts.cached.claim(claim, |facts| self.decides(facts), move || charge.keep()).await;
        let answer = match answer {
            Err(StoreError::Behind(active)) => return Ok(Err(Behind(active))),
            answer => answer?,
        };
        let claimed = match &answer {
            store::Claimed::Won { record, .. } if record.kind == EventKind::NetworkAdded => Claimed::Added,
            store::Claimed::Won { .. } => Claimed::First,
            store::Claimed::Noted(_) => Claimed::Noted,
            store::Claimed::Held(_) => Claimed::Held,
        };
        let known = self.known(answer.reading().facts.view());
        Ok(Ok(judge(&self.context(), Evidence::Claimed(known, claimed))))
    }

    /// Waits for the store until the deadline.
    async fn before_deadline<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreLoss> {
        match timeout_at(self.deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(StoreError::Late)) | Err(_) => Err(StoreLoss::Late),
            Ok(Err(_)) => Err(StoreLoss::Unavailable),
        }
    }

    fn lost(&self, loss: StoreLoss, facts: Option<FactsView<'_>>, entry: Option<Arc<Entry>>) -> Outcome {
        Outcome::by(judge(&self.context(), Evidence::Lost(loss, facts)), entry)
    }

    /// Whether cached facts decide the request, so that a claim cannot change the verdict.
    fn decides(&self, facts: FactsView<'_>) -> bool {
        matches!(judge(&self.context(), Evidence::Cached(self.known(facts))), Step::Decided(_))
    }

    fn known<'f>(&self, facts: FactsView<'f>) -> Known<'f> {
        let policy = self.context.ip.map(|ip| self.settings.policy.key(ip, &facts)).unwrap_or_default();
        Known { facts, policy }
    }

    /// The context with a current `is_fresh`: the store may have been polled while this decision waited.
    fn context(&self) -> Context<'a> {
        let is_fresh = self.parts.state.is_fresh(self.now, self.settings.stale_grace);
        Context { is_fresh, ..self.context }
    }

    /// Records when the binding was last used or denied, because a binding with neither for long is archived. Queues a
    /// row that was found under another pepper for re-keying.
    fn record_use(&self, outcome: &Outcome) {
        if self.effects == Effects::None {
            return;
        }
        let (Some(entry), Some(time)) = (&outcome.entry, self.context.time) else { return };
        if entry.facts().binding.is_some() {
            self.parts.cached.mark(entry, outcome.verdict.allowed, time);
        }
        let (Ok(Some(digest)), Ok(Some(key))) = (self.context.key, &self.request.key) else { return };
        if entry.digest != digest && !entry.facts().is_empty() && self.parts.rekeys.has_room() {
            self.parts.rekeys.put(Rekey { from: entry.digest, to: self.parts.ring.fingerprint(key) });
        }
    }
}

impl Outcome {
    fn by(step: Step, entry: Option<Arc<Entry>>) -> Self {
        Self { verdict: step.or_denial(), entry, would_own: None }
    }
}
