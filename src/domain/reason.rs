//! The closed list of reasons.

use strum::{Display, EnumString, VariantArray, VariantNames};

use super::words::words;

/// Why a request was allowed or denied: the same word in the metric label, the log field, the audit record and the
/// dynamic metadata. The list is closed; [`Reason::ALL`] has the order of the table in docs/error-responses.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// Allow: the key is bound and the client is in one of its networks.
    Bound,
    /// Allow: this request is the key's first use, and its network now owns the key.
    FirstUse,
    /// Allow: the key was within its learn window, and this request's network now owns it too.
    NetworkAdded,
    /// Allow: the store is unavailable and `store.failsafe = open`.
    FailsafeOpen,
    /// Allow: `mode = off`.
    ModeOff,
    /// Allow or deny, by `credentials.missing`: every carrier of the profile is absent.
    NoKey,
    /// Deny: the request has more than one key, or one key twice.
    ConflictingKeys,
    /// Deny: the Check request is not one that Envoy's HTTP filter sends.
    MalformedRequest,
    /// Deny: a carrier is present, but its text is not a key of the profile's grammar.
    MalformedKey,
    /// Deny: other networks own the key.
    IpMismatch,
    /// Deny: the key is banned.
    KeyBanned,
    /// Deny: the key has no owner, and this address cannot own keys.
    UnclaimableNetwork,
    /// Deny: the client's address is missing, unparsable or not an IP address.
    ClientIpUnknown,
    /// Deny: the key is reserved; an operator must give it a network.
    NotClaimed,
    /// Deny: the key has no owner, and a claim budget (`claims.*`) is exhausted.
    ClaimLimited,
    /// Deny: the store is needed and does not answer.
    StoreUnavailable,
    /// Deny: the check's deadline passed before the decision.
    DeadlineExceeded,
    /// Deny: the caller did not send the caller token, so nothing in its message is trusted.
    CallerRejected,
}

impl Reason {
    /// Whether this reason always allows. [`Reason::NoKey`] may allow or deny.
    pub const fn allows(self) -> bool {
        matches!(self, Self::Bound | Self::FirstUse | Self::NetworkAdded | Self::FailsafeOpen | Self::ModeOff)
    }

    /// Whether this denial is enforced in [`super::Mode::Observe`] too: what is not a valid Check, and what an operator
    /// decided.
    pub const fn binds_in_observe(self) -> bool {
        matches!(self, Self::MalformedRequest | Self::CallerRejected | Self::KeyBanned)
    }
}

words!(Reason);
