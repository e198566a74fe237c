//! What is published.

use crate::domain::{
    ClientIp, KeyId, Reason,
    event::{DecisionId, Record},
};

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A request was denied. It is still to be stored.
    Denied(Denial),
    /// A request was allowed only because the mode is `observe`. It is still to be stored.
    WouldDeny(Denial),
    /// The store holds this record: the transaction that made the change wrote it.
    Stored(&'a Record),
}

/// A decision, as the audit needs it.
#[derive(Clone, Copy, Debug)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The key, where the request had one.
    pub key_id: Option<KeyId>,
    /// The client, where an address was found.
    pub ip: Option<ClientIp>,
    /// The decision's correlation id.
    pub decision_id: DecisionId,
}
