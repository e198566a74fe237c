//! One check, from its frame to its response.

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use futures_util::poll;
use tokio::time::{Instant, timeout_at};

use super::{
    call::Call,
    context::{CheckContext, Reader},
    respond,
};
use crate::{
    client_ip,
    credential::Credentials,
    domain::{Reason, event::DecisionId},
    engine::{Decision, Denial, Engine},
    events::{self, Event, Events},
    net::caller::Callers,
    settings::{LiveSettings, Settings},
    telemetry::metrics::CheckMetrics,
};

/// Answers Checks.
pub struct Authorization {
    /// Which callers are accepted.
    pub callers: Callers,
    /// `client_ip.*`.
    pub client_ip: client_ip::Resolver,
    /// `credentials.*`.
    pub credentials: Credentials,
    /// The settings that may change while serving.
    pub settings: Arc<LiveSettings>,
    /// Decides the requests.
    pub engine: Arc<Engine>,
    /// Where denials are published.
    pub events: Events,
    /// Counts the decisions.
    pub metrics: CheckMetrics,
}

impl Authorization {
    pub(super) async fn check(&self, frame: impl Future<Output = Option<Bytes>>, call: Call) -> CheckResponse {
        let now = Instant::now();
        let guard = self.metrics.begin(now);
        let settings = self.settings.load();
        let deadline = deadline(now, settings.check_deadline, call.timeout());
        let is_from_envoy = call.is_from(&self.callers);
        let context = self.read(frame, &call, is_from_envoy, &settings, deadline).await;
        let decision = self.engine.decide(&settings, &context.request, now, deadline).await;
        let (ip, decision_id) = (context.request.ip, context.request.decision_id);
        let denial = |reason, key_id| events::Denial { reason, key_id, ip, decision_id };
        let (allowed, reason) = match &decision {
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
        let response = respond::response(&decision, &context, &settings.help);
        guard.finish(allowed, reason, context.request.mode);
        response
    }

    async fn read<'a>(
        &'a self,
        frame: impl Future<Output = Option<Bytes>>,
        call: &Call,
        is_from_envoy: bool,
        settings: &'a Settings,
        deadline: Instant,
    ) -> CheckContext<'a> {
        let decision_id = DecisionId(rand::random());
        let reader = Reader { client_ip: &self.client_ip, credentials: &self.credentials, settings };
        if !is_from_envoy {
            // Not read: the audit must not record an address from an untrusted caller.
            return reader.unread(Reason::CallerRejected, decision_id);
        }
        let mut frame = pin!(frame);
        // Envoy's frame has nearly always arrived already, and a timer costs more than reading it.
        let frame = match poll!(&mut frame) {
            Poll::Ready(frame) => frame,
            Poll::Pending => match timeout_at(deadline, frame).await {
                Ok(frame) => frame,
                Err(_) => return reader.unread(Reason::DeadlineExceeded, decision_id),
            },
        };
        reader.read(frame.as_deref(), call, decision_id)
    }
}

/// Envoy drops the call after `grpc-timeout`, so the answer must be sent before that.
fn deadline(now: Instant, check_deadline: Duration, grpc_timeout: Option<Duration>) -> Instant {
    now + grpc_timeout.map_or(check_deadline, |timeout| check_deadline.min(timeout.mul_f64(0.8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_at_most_four_fifths_of_envoys_timeout() {
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
