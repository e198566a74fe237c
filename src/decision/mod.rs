//! Orders the rules. Pure: what is known is an argument, and the result is a verdict or what to find out next.
//!
//! The first rule that applies gives the reason: `caller_rejected`, `malformed_request`, `mode_off`,
//! `client_ip_unknown`, the address policy, `conflicting_keys`, `malformed_key`, `key_banned`, `no_key`, then the
//! binding. The rules for claims (`unclaimable_network`, `not_claimed`, `claim_limited`) apply only where the request
//! would claim the key.

mod input;
mod keyed;
#[cfg(test)]
mod tests;
mod verdict;

pub use input::{Claimed, Context, Evidence, Exhausted, Known, StoreLoss};
pub use verdict::{Step, Verdict};

use crate::{
    domain::{Missing, Mode, Reason},
    policy,
};
use keyed::Keyed;
use verdict::{allow, deny};

/// Decides a request by `evidence`, or returns what to find out next.
pub fn judge(context: &Context<'_>, evidence: Evidence<'_>) -> Step {
    if let Err(reason @ (Reason::CallerRejected | Reason::MalformedRequest)) = context.key {
        return Step::Decided(deny(reason, None));
    }
    if context.mode == Mode::Off {
        return Step::Decided(allow(Reason::ModeOff, None));
    }
    // The message did not arrive in time, so nothing of it was read.
    if let Err(Reason::DeadlineExceeded) = context.key {
        return Step::Decided(deny(Reason::DeadlineExceeded, None));
    }
    let Some(ip) = context.ip else { return Step::Decided(deny(Reason::ClientIpUnknown, None)) };
    if let policy::Verdict::Deny(reason) = context.address {
        return Step::Decided(deny(reason, None));
    }
    let digest = match (context.key, context.missing) {
        (Err(reason), _) => return Step::Decided(deny(reason, None)),
        (Ok(None), Missing::Deny) => return Step::Decided(deny(Reason::NoKey, None)),
        (Ok(None), Missing::Allow) => return Step::Decided(allow(Reason::NoKey, None)),
        (Ok(Some(digest)), _) => digest,
    };
    match context.time {
        None => Step::Decided(deny(Reason::StoreUnavailable, Some(digest.new_id()))),
        Some(time) => Keyed { context, ip, digest, time }.judge(evidence),
    }
}
