//! What a request is judged by.

use std::time::Duration;

use crate::{
    domain::{BindingRules, ClientIp, Failsafe, KeyDigest, KeyFacts, Missing, Mode, Network, Reason, Timestamp},
    policy,
};

/// A request, and the rules that it is judged by.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The route's mode, or the configured one.
    pub mode: Mode,
    /// The route's rule for requests without a key, or the configured one.
    pub missing: Missing,
    /// `store.failsafe`.
    pub failsafe: Failsafe,
    /// Who may own a key.
    pub binding: &'a BindingRules,
    /// The client's address, where it is known.
    pub ip: Option<ClientIp>,
    /// The key's digest, `None` for a request without a key, or why the request cannot be judged by its key.
    pub key: Result<Option<KeyDigest>, Reason>,
    /// What the address policy says of the address.
    pub address: policy::Verdict,
    /// Now, on the store's clock; `None` if the store was never reached.
    pub time: Option<Timestamp>,
    /// Whether the store was polled within `store.stale_grace`.
    pub is_fresh: bool,
}

/// What is known of a key, and what the address policy says of it.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The row's content.
    pub facts: &'a KeyFacts,
    /// The rules that depend on the key.
    pub policy: policy::Verdict,
}

/// What was found out so far.
#[derive(Clone, Copy)]
pub enum Evidence<'a> {
    /// Nothing yet.
    None,
    /// From a cache. It includes every operator's change, but the key may have been claimed since.
    Cached(Known<'a>),
    /// From the store, now.
    Stored(Known<'a>),
    /// From the store, where the budget for a claim is exhausted.
    Limited(Known<'a>, Exhausted),
    /// What the store answered to a claim.
    Claimed(Known<'a>, Claimed),
    /// The claim was not made; what if nobody else makes one?
    Supposed(Known<'a>, Network),
    /// The store did not answer. The facts, if a cache has any, decided nothing.
    Lost(StoreLoss, Option<&'a KeyFacts>),
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The network is the first owner.
    First,
    /// The network is a further owner.
    Added,
    /// The network was recorded as a candidate.
    Noted,
    /// Something stood in the way.
    Held,
}

/// No claim is possible before `retry_after` has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// After how long one claim is possible.
    pub retry_after: Duration,
}

/// Why nothing is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreLoss {
    /// It is not known whether the listed peppers are the store's, so that no failsafe can apply.
    WrongPepper,
    /// It failed.
    Unavailable,
    /// It did not answer before the deadline.
    Late,
}
