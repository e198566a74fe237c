//! What the engine is asked.

use crate::domain::{ApiKey, ClientIp, Missing, Mode, Reason, event::DecisionId};

/// One request. The edge has applied the route's overrides to the settings.
#[derive(Debug)]
pub struct Request {
    /// The client's address, where it is known.
    pub ip: Option<ClientIp>,
    /// The key, `None` if the request has none, or why it cannot be judged by its key.
    pub key: Result<Option<ApiKey>, Reason>,
    /// The rule for a request without a key.
    pub missing: Missing,
    /// Whether the decision binds.
    pub mode: Mode,
    /// For the audit.
    pub decision_id: DecisionId,
}

impl Request {
    /// A request of which nothing could be read.
    pub fn unread(reason: Reason, mode: Mode, decision_id: DecisionId) -> Self {
        Self { ip: None, key: Err(reason), missing: Missing::Deny, mode, decision_id }
    }
}
