//! The edge: Envoy's `Check` in, an in-protocol answer out.

mod extract;
mod respond;
mod wire;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use tokio::time::Instant;

pub use wire::{SERVICE, Server};

use crate::{
    audit::{Audit, Happening},
    credential::Credentials,
    domain::{ClientIp, Reason, event::DecisionId},
    engine::{Decision, Denial, Engine, Request},
    metrics::CheckMetrics,
};

/// Answers Checks.
pub struct Authorization {
    /// `credentials.profile` and `credentials.jwt`.
    pub credentials: Credentials,
    /// `check_deadline`.
    pub check_deadline: Duration,
    /// Decides.
    pub engine: Arc<Engine>,
    /// Learns of denials and first uses.
    pub audit: Audit,
    /// Counts.
    pub metrics: CheckMetrics,
}

/// A decision with what its answer, its metadata and its audit record share.
struct Answer {
    decision: Decision,
    decision_id: DecisionId,
    ip: Option<ClientIp>,
}

impl Authorization {
    async fn check(&self, frame: Option<Bytes>, grpc_timeout: Option<Duration>) -> CheckResponse {
        let now = Instant::now();
        let guard = self.metrics.begin(now);
        let answer = self.answer(frame.as_deref(), now, grpc_timeout).await;
        let (allowed, reason) = match &answer.decision {
            Decision::Allow(permit) => (true, permit.reason()),
            Decision::Deny(denial) => (false, denial.reason),
        };
        self.report(&answer);
        let response = respond::response(&answer, self.credentials.profile.unread);
        guard.finish(allowed, reason);
        response
    }

    async fn answer(&self, frame: Option<&[u8]>, now: Instant, grpc_timeout: Option<Duration>) -> Answer {
        let decision_id = DecisionId(rand::random());
        match extract::extract(frame, &self.credentials) {
            Ok(extract::Extracted { ip, key }) => {
                let request = Request { ip, key, decision_id };
                let decision = self.engine.decide(request, now, self.deadline(now, grpc_timeout)).await;
                Answer { decision, decision_id, ip: Some(ip) }
            }
            Err(extract::Rejected { reason, ip }) => {
                Answer { decision: Decision::Deny(Denial { reason, key_id: None }), decision_id, ip }
            }
        }
    }

    /// Envoy drops the call at `grpc-timeout`; the answer must be on its way before that.
    fn deadline(&self, now: Instant, grpc_timeout: Option<Duration>) -> Instant {
        let patience = grpc_timeout.map_or(Duration::MAX, |timeout| timeout.mul_f64(0.8));
        now + patience.min(self.check_deadline)
    }

    fn report(&self, answer: &Answer) {
        let Answer { decision, decision_id, ip } = answer;
        match decision {
            Decision::Deny(Denial { reason, key_id }) => {
                self.audit.happened(Happening::Denied(*reason), *key_id, *ip, *decision_id);
            }
            Decision::Allow(permit) if permit.reason() == Reason::FirstUse => {
                self.audit.happened(Happening::FirstUse, permit.key_id(), *ip, *decision_id);
            }
            Decision::Allow(_) => {}
        }
    }
}
