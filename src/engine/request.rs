//! The request that the engine decides.

use crate::domain::{ApiKey, ClientIp, Missing, Mode, Reason, event::DecisionId};

/// A request, with the route's overrides applied.
#[derive(Debug)]
pub struct Request {
    /// The client's address, if it is known.
    pub ip: Option<ClientIp>,
    /// The key; `None` if the request has none; or why the request does not have exactly one valid key.
    pub key: Result<Option<ApiKey>, Reason>,
    /// The rule for a request without a key.
    pub missing: Missing,
    /// Whether the decision is enforced.
    pub mode: Mode,
    /// Correlates the decision with its audit record.
    pub decision_id: DecisionId,
}

impl Request {
    /// A request that could not be read.
    pub fn unread(reason: Reason, mode: Mode, decision_id: DecisionId) -> Self {
        Self { ip: None, key: Err(reason), missing: Missing::Deny, mode, decision_id }
    }
}
