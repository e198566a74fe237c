//! The closed list of reasons.

use strum::{Display, EnumString, VariantArray, VariantNames};

use super::words::words;

/// Why a request was allowed or denied: one word that is the metric label, the log field, the audit entry and the
/// dynamic metadata alike. The list is closed; [`Reason::ALL`] enumerates it for tests and metrics, in the order of the
/// README's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// Allow: the key is bound and the client is in one of its networks.
    Bound,
    /// Allow: this request is the key's first use and its network now owns the key.
    FirstUse,
    /// Allow: the key was within its learn window, and this request's network now owns it as well.
    NetworkAdded,
    /// Allow: the store is lost and `store.failsafe = open`.
    FailsafeOpen,
    /// Allow: nothing is judged, by `mode = off`.
    ModeOff,
    /// Allow or deny, by `credentials.missing`: every carrier of the profile is absent.
    NoKey,
    /// Deny: more than one key, or one key shown twice.
    ConflictingKeys,
    /// Deny: the Check request itself is not one that Envoy's HTTP filter sends.
    MalformedRequest,
    /// Deny: a carrier is present, but its text is not a key of the profile's grammar.
    MalformedKey,
    /// Deny: the key belongs to other networks.
    IpMismatch,
    /// Deny: the key is banned.
    KeyBanned,
    /// Deny: an unowned key from an address that may never own one.
    UnclaimableNetwork,
    /// Deny: the client's address is missing, unparsable or not an IP address.
    ClientIpUnknown,
    /// Deny: the key is reserved; an operator must give it a network.
    NotClaimed,
    /// Deny: an unowned key from a network that has claimed too many keys lately.
    ClaimLimited,
    /// Deny: the store is needed and does not answer.
    StoreUnavailable,
    /// Deny: no decision within the check's deadline.
    DeadlineExceeded,
    /// Deny: whoever sent the Check did not show the caller's token, so nothing in it is believed.
    CallerRejected,
}

impl Reason {
    /// Whether this reason allows; [`Reason::NoKey`] may do either, and is counted by its decision.
    pub const fn allows(self) -> bool {
        matches!(self, Self::Bound | Self::FirstUse | Self::NetworkAdded | Self::FailsafeOpen | Self::ModeOff)
    }

    /// Whether this denial also binds where the mode only observes: what is no Check of ours, and what an operator
    /// decided.
    pub const fn binds_in_observe(self) -> bool {
        matches!(self, Self::MalformedRequest | Self::CallerRejected | Self::KeyBanned)
    }
}

words!(Reason);
