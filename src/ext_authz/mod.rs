//! The edge: Envoy's `Check` in, an in-protocol answer out.

mod call;
mod extract;
mod overrides;
mod problem;
mod respond;
mod wire;

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use futures_util::poll;
use tokio::time::{Instant, timeout_at};

pub use problem::Help;
pub use wire::{SERVICE, Server};

use call::Call;

use crate::{
    client_ip,
    credential::{Credentials, Profile},
    domain::{ClientIp, Mode, Reason, event::DecisionId},
    engine::{Decision, Denial, Engine, Request},
    events::{self, Event, Events},
    net::caller::Callers,
    telemetry::metrics::CheckMetrics,
};

/// Answers Checks.
pub struct Authorization {
    /// Who may ask.
    pub callers: Callers,
    /// `client_ip.*`.
    pub client_ip: client_ip::Resolver,
    /// `credentials.*`.
    pub credentials: Credentials,
    /// What may change while serving.
    pub manner: Arc<ArcSwap<Manner>>,
    /// Decides.
    pub engine: Arc<Engine>,
    /// Learns of denials.
    pub events: Events,
    /// Counts.
    pub metrics: CheckMetrics,
}

/// How Checks are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manner {
    /// `answers.help`.
    pub help: Help,
    /// `check_deadline`.
    pub check_deadline: Duration,
}

/// A decision with what its answer, its metadata and its audit record share.
struct Answer<'a> {
    decision: Decision,
    decision_id: DecisionId,
    mode: Mode,
    ip: Option<ClientIp>,
    /// The profile that judged, or the configured one where none came to judge.
    profile: &'a Profile,
    /// See [`Profile::lookalikes`].
    lookalikes: Vec<String>,
}

impl Authorization {
    async fn check(&self, frame: impl Future<Output = Option<Bytes>>, call: Call) -> CheckResponse {
        let now = Instant::now();
        let guard = self.metrics.begin(now);
        let answer = self.answer(frame, &call, now).await;
        let Answer { ip, decision_id, .. } = answer;
        let denial = |reason, key_id| events::Denial { reason, key_id, ip, decision_id };
        let (allowed, reason) = match &answer.decision {
            Decision::Allow(permit) => {
                if permit.would_deny() {
                    self.events.publish(Event::WouldDeny(denial(permit.reason(), permit.key_id())));
                }
                (true, permit.reason())
            }
            Decision::Deny(Denial { reason, key_id, .. }) => {
                self.events.publish(Event::Denied(denial(*reason, *key_id)));
                (false, *reason)
            }
        };
        let response = respond::response(&answer, &self.manner.load().help);
        guard.finish(allowed, reason, answer.mode);
        response
    }

    async fn answer(&self, frame: impl Future<Output = Option<Bytes>>, call: &Call, now: Instant) -> Answer<'_> {
        let decision_id = DecisionId(rand::random());
        let fault = |extract::Rejected { reason, ip, profile, mode, lookalikes }| {
            let mode = mode.unwrap_or_else(|| self.engine.mode());
            let profile = profile.unwrap_or(&self.credentials.profile);
            let decision = self.engine.fault(reason, mode);
            Answer { decision, decision_id, mode, ip, profile, lookalikes }
        };
        let unread = extract::Rejected::unread;
        if !call.is_from(&self.callers) {
            // Not even read: the address in it would go into the audit as if somebody had seen it.
            return fault(unread(Reason::CallerRejected));
        }
        let deadline = deadline(now, self.manner.load().check_deadline, call.timeout());
        let mut frame = pin!(frame);
        // Envoy's frame is nearly always there already; a timer costs more than reading it.
        let frame = match poll!(&mut frame) {
            Poll::Ready(frame) => frame,
            Poll::Pending => match timeout_at(deadline, frame).await {
                Ok(frame) => frame,
                Err(_) => return fault(unread(Reason::DeadlineExceeded)),
            },
        };
        match extract::extract(frame.as_deref(), call, &self.client_ip, &self.credentials) {
            Ok(extract::Extracted { ip, key, missing, mode, profile, lookalikes }) => {
                let mode = mode.unwrap_or_else(|| self.engine.mode());
                let request = Request { ip, key, missing, mode, decision_id };
                let decision = self.engine.decide(request, now, deadline).await;
                Answer { decision, decision_id, mode, ip: Some(ip), profile, lookalikes }
            }
            Err(rejected) => fault(rejected),
        }
    }
}

/// Envoy drops the call at `grpc-timeout`; the answer must be on its way before that.
fn deadline(now: Instant, check_deadline: Duration, grpc_timeout: Option<Duration>) -> Instant {
    now + grpc_timeout.map_or(check_deadline, |timeout| check_deadline.min(timeout.mul_f64(0.8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_the_shorter_of_ours_and_four_fifths_of_envoys() {
        let now = Instant::now();
        let millis = |grpc_timeout: Option<u64>| {
            (deadline(now, Duration::from_millis(150), grpc_timeout.map(Duration::from_millis)) - now).as_millis()
        };
        assert_eq!(millis(None), 150);
        assert_eq!(millis(Some(250)), 150);
        assert_eq!(millis(Some(100)), 80);
        assert_eq!(millis(Some(0)), 0);
        assert_eq!(millis(Some(99_999_999 * 3_600_000)), 150);
    }
}
