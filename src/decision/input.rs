//! The input of a decision.

use std::time::Duration;

use crate::{
    domain::{BindingRules, ClientIp, FactsView, Failsafe, KeyDigest, Missing, Mode, Network, Reason, Timestamp},
    policy,
};

/// A request, and the rules that apply to it.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The route's mode, or the configured one.
    pub mode: Mode,
    /// The route's rule for requests without a key, or the configured one.
    pub missing: Missing,
    /// `store.failsafe`.
    pub failsafe: Failsafe,
    /// Which networks may own a key.
    pub binding: &'a BindingRules,
    /// The client's address, if it is known.
    pub ip: Option<ClientIp>,
    /// The key's digest; `None` for a request without a key; or why the request does not have exactly one valid key.
    pub key: Result<Option<KeyDigest>, Reason>,
    /// The address policy's verdict on the address.
    pub address: policy::Verdict,
    /// The current time on the store's clock; `None` if the store was not reached yet.
    pub time: Option<Timestamp>,
    /// How far that clock may be ahead: a ban does not end by it.
    pub unsettled: Duration,
    /// Whether the store was polled within `store.stale_grace`.
    pub is_fresh: bool,
}

/// What is known about a key, and the address policy's verdict on it.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// What the store or a cache knows about the key.
    pub facts: FactsView<'a>,
    /// The verdict of the rules that depend on the key.
    pub policy: policy::Verdict,
}

/// What is known so far.
#[derive(Clone, Copy)]
pub enum Evidence<'a> {
    /// Nothing yet.
    None,
    /// Facts from a cache. They include every operator's change, but another network may have claimed the key since.
    Cached(Known<'a>),
    /// Facts that the store has just returned.
    Stored(Known<'a>),
    /// Facts from the store, and the claim budget is exhausted.
    Limited(Known<'a>, Exhausted),
    /// The store's answer to a claim.
    Claimed(Known<'a>, Claimed),
    /// Assume that this network's claim succeeds. For `explain`, which does not claim.
    AssumedClaim(Known<'a>, Network),
    /// The store did not answer. The facts, if a cache has any, were not sufficient to decide.
    Lost(StoreLoss, Option<FactsView<'a>>),
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The network is the first owner.
    First,
    /// The network is a further owner.
    Added,
    /// The network was recorded as a candidate (observe mode).
    Noted,
    /// The claim failed: see the facts.
    Held,
}

/// The claim budget is exhausted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// The time until one claim is possible.
    pub retry_after: Duration,
}

/// Why the store did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreLoss {
    /// The store's active pepper is not listed. The failsafe does not apply, because a key with an owner may not be
    /// found.
    WrongPepper,
    /// The store failed.
    Unavailable,
    /// The deadline passed.
    Late,
}
