//! The one place that orders the rules. Pure: what is known is an argument, and what to find out next is the answer.
//!
//! The first rule that applies is the reason: `caller_rejected`, `malformed_request`, `mode_off`, `client_ip_unknown`,
//! the address policy, `conflicting_keys`, `malformed_key`, `key_banned`, `no_key`, then the binding. What only a claim
//! needs (`unclaimable_network`, `not_claimed`, `claim_limited`) is judged only where a claim would be made.

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

/// Judges a request by what is known.
pub fn judge(context: &Context<'_>, evidence: Evidence<'_>) -> Step {
    if let Err(reason @ (Reason::CallerRejected | Reason::MalformedRequest)) = context.key {
        return Step::Decided(deny(reason, None));
    }
    if context.mode == Mode::Off {
        return Step::Decided(allow(Reason::ModeOff, None));
    }
    // A message that did not arrive in time was not read at all.
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
