//! The events that are published.

use crate::domain::{
    ClientIp, KeyId, Reason,
    event::{DecisionId, Record},
};

/// An event.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A request was denied. Not stored yet.
    Denied(Denial),
    /// A request was allowed only because the mode is `observe`. Not stored yet.
    WouldDeny(Denial),
    /// A record that the transaction of the change has stored.
    Stored(&'a Record),
}

/// A denial, as the audit needs it.
#[derive(Clone, Copy, Debug)]
pub struct Denial {
    /// The reason.
    pub reason: Reason,
    /// The key, if the request had exactly one.
    pub key_id: Option<KeyId>,
    /// The client, if its address was found.
    pub ip: Option<ClientIp>,
    /// The decision's correlation id.
    pub decision_id: DecisionId,
}
