//! The address policy: which networks may send requests, with or without a key.
//!
//! This version has no such rules, so every verdict is [`Verdict::Pass`]. The decision already applies both phases: the
//! rules for the address alone, and, once the key is known, the rules that depend on the key. Pure.

use crate::domain::{ClientIp, FactsView, Reason};

/// The policy's verdict on a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// The policy does not deny the request.
    #[default]
    Pass,
    /// A rule denies the request.
    Deny(Reason),
}

/// The rules in force. Immutable: a change makes a new set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySet;

impl PolicySet {
    /// Phase 1: by the address alone.
    pub fn address(&self, _ip: ClientIp) -> Verdict {
        Verdict::Pass
    }

    /// Phase 2: by the address and the facts about the key.
    pub fn key(&self, _ip: ClientIp, _facts: &FactsView<'_>) -> Verdict {
        Verdict::Pass
    }
}
