//! Rules about addresses: which networks may come at all, with or without a key.
//!
//! This version has no such rules, so every verdict is [`Verdict::Pass`]. The decision already orders both phases: the
//! address before the credentials are read, and, once the key is known, the rules that depend on it. Pure.

use crate::domain::{ClientIp, KeyFacts, Reason};

/// What the rules say of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// No rule denies it.
    #[default]
    Pass,
    /// A rule denies it, whatever its key.
    Deny(Reason),
}

/// All rules in force. Immutable: a change makes a new set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySet;

impl PolicySet {
    /// Phase 1: by the address alone.
    pub fn address(&self, _ip: ClientIp) -> Verdict {
        Verdict::Pass
    }

    /// Phase 2: by the address and what is known of the key.
    pub fn key(&self, _ip: ClientIp, _facts: &KeyFacts) -> Verdict {
        Verdict::Pass
    }
}
