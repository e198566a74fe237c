//! One check, from its message to its answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use tokio::time::Instant;

use super::{
    answers::Answers,
    call::Call,
    context::{CheckContext, Reader},
    headers::HeaderFilter,
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

/// What answering checks needs.
pub struct Parts {
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

/// Answers Checks.
pub struct Authorization {
    parts: Parts,
    filter: HeaderFilter,
    answers: Answers,
}

/// The answer to a check.
pub(super) enum Answer {
    Ready(Bytes),
    /// The store is needed.
    Pending(BoxFuture<'static, Bytes>),
}

/// What arrived of a check.
pub(super) enum Arrived<'a> {
    /// The message; `None` if it is not one.
    Message(Option<&'a [u8]>),
    /// Nothing, for this reason.
    Not(Reason),
}

impl Authorization {
    /// Answers checks by `parts`.
    pub fn new(parts: Parts) -> Self {
        let filter = HeaderFilter::new(&parts.credentials, &parts.client_ip);
        Self { parts, filter, answers: Answers::default() }
    }

    pub(super) fn accepts(&self, metadata: &HeaderMap) -> bool {
        Call(metadata).is_from(&self.parts.callers)
    }

    /// Envoy drops the call after `grpc-timeout`, so the answer must be sent before that.
    pub(super) fn deadline(&self, metadata: &HeaderMap, started: Instant) -> Instant {
        deadline(started, self.parts.settings.load().check_deadline, Call(metadata).timeout())
    }

    pub(super) fn cancelled(&self) {
        self.parts.metrics.cancelled();
    }

    /// The answer to the call that began at `started` with `metadata`.
    pub(super) fn check(self: &Arc<Self>, arrived: Arrived<'_>, metadata: &HeaderMap, started: Instant) -> Answer {
        let settings = self.parts.settings.load();
        let (reader, decision_id) = (self.reader(&settings), DecisionId(rand::random()));
        let context = match arrived {
            Arrived::Message(message) => reader.read(message, Call(metadata), decision_id),
            Arrived::Not(reason) => reader.unread(reason, decision_id),
        };
        match self.parts.engine.decide_by_cache(&settings, &context.request, started) {
            Some(decision) => Answer::Ready(self.finish(&decision, &context, &settings, started)),
            None => {
                let deadline = deadline(started, settings.check_deadline, Call(metadata).timeout());
                Answer::Pending(self.ask_store(context, &settings, started, deadline))
            }
        }
    }

    /// Continues a check that the cache did not decide.
    fn ask_store(
        self: &Arc<Self>,
        context: CheckContext<'_>,
        settings: &Arc<Settings>,
        started: Instant,
        deadline: Instant,
    ) -> BoxFuture<'static, Bytes> {
        let CheckContext { request, profile, lookalikes, kept, placeholder } = context;
        let (this, settings, profile) = (Arc::clone(self), Arc::clone(settings), *profile);
        Box::pin(async move {
            let context = CheckContext { request, profile: &profile, lookalikes, kept, placeholder };
            let decision = this.parts.engine.decide_by_store(&settings, &context.request, started, deadline).await;
            this.finish(&decision, &context, &settings, started)
        })
    }

    fn reader<'a>(&'a self, settings: &'a Settings) -> Reader<'a> {
        let Parts { client_ip, credentials, .. } = &self.parts;
        Reader { client_ip, credentials, filter: &self.filter, settings }
    }

    /// Publishes and counts the decision, and makes the answer.
    fn finish(&self, decision: &Decision, context: &CheckContext<'_>, settings: &Settings, started: Instant) -> Bytes {
        let (ip, decision_id) = (context.request.ip, context.request.decision_id);
        let denial = |reason, key_id| events::Denial { reason, key_id, ip, decision_id };
        let Parts { events, metrics, .. } = &self.parts;
        let (allowed, reason) = match decision {
            Decision::Allow(permit) => {
                if permit.would_deny() {
                    events.publish(Event::WouldDeny(denial(permit.reason(), permit.key_id())));
                }
                (true, permit.reason())
            }
            Decision::Deny(Denial { reason, key_id, .. }) => {
                events.publish(Event::Denied(denial(*reason, *key_id)));
                (false, *reason)
            }
        };
        let answer = self.answers.answer(decision, context, &settings.help);
        metrics.finished(started, allowed, reason, context.request.mode);
        answer
    }
}

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
