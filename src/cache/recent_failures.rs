//! Logs why decisions fail because of the store: one line for each cause, not for each request.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tracing::warn;

use super::lock::locked;
use crate::store::StoreError;

/// The causes logged recently.
#[derive(Debug, Default)]
pub(super) struct RecentFailures(Mutex<Logged>);

#[derive(Debug, Default)]
struct Logged {
    since: Option<Instant>,
    causes: Vec<String>,
}

/// How long a cause is not logged again.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// The most causes logged in that time: the text may name a row that cannot be read, and there may be many such rows.
const MAX_CAUSES: usize = 8;

impl RecentFailures {
    /// A decision could not be made because of this error.
    pub(super) fn record(&self, cause: &StoreError) {
        if self.is_new(cause, Instant::now()) {
            warn!(%cause, "decisions fail because of the store");
        }
    }

    fn is_new(&self, cause: &StoreError, now: Instant) -> bool {
        let cause = match cause {
            // The caller retries with the active pepper; nothing has failed.
            StoreError::Behind(_) => return false,
            // One outage has many network errors, which count as one cause; a server that answers has a code for each.
            StoreError::Unavailable(cause) => cause.rsplit_once('(').map_or("", |(_, code)| code),
            StoreError::NotWritten(obstacle, _) => obstacle.cause(),
            StoreError::Late => "late",
            StoreError::Corrupt(cause) => cause,
        };
        let mut logged = locked(&self.0);
        if logged.since.is_none_or(|since| now.saturating_duration_since(since) > REPEAT_AFTER) {
            *logged = Logged { since: Some(now), causes: Vec::new() };
        }
        let is_new = logged.causes.len() < MAX_CAUSES && !logged.causes.iter().any(|it| it == cause);
        if is_new {
            logged.causes.push(cause.to_owned());
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_one_line_and_what_cannot_be_read_is_named() {
        let (recent_failures, now) = (RecentFailures::default(), Instant::now());
        let away = |text: &str| StoreError::Unavailable(text.to_owned());
        let corrupt = |text: &str| StoreError::Corrupt(text.to_owned());
        assert!(recent_failures.is_new(&away("no answer in time"), now));
        assert!(!recent_failures.is_new(&away("connection refused"), now));
        assert!(recent_failures.is_new(&away("cannot write now (25006)"), now));
        assert!(recent_failures.is_new(&corrupt("bindings.state"), now));
        assert!(!recent_failures.is_new(&corrupt("bindings.state"), now));
        assert!(recent_failures.is_new(&away("connection refused"), now + 2 * REPEAT_AFTER), "it still lasts");
        for row in 0..100 {
            recent_failures.is_new(&corrupt(&format!("row {row}")), now + 2 * REPEAT_AFTER);
        }
        assert!(
            !recent_failures.is_new(&corrupt("bindings.state"), now + 2 * REPEAT_AFTER),
            "the number of lines is bounded"
        );
    }
}
