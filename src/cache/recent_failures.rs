//! What the log says of a store that fails decisions: a line for each cause, not one for each request.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tracing::warn;

use super::lock::locked;
use crate::store::StoreError;

/// What has been said lately.
#[derive(Debug, Default)]
pub(super) struct RecentFailures(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    since: Option<Instant>,
    causes: Vec<String>,
}

/// How soon the same is said again.
const AGAIN: Duration = Duration::from_secs(60);

/// So many causes in that time: a row that cannot be read may be named in the text.
const CAUSES: usize = 8;

impl RecentFailures {
    /// A decision could not be made for this cause.
    pub(super) fn hear(&self, cause: &StoreError) {
        if self.is_news(cause, Instant::now()) {
            warn!(%cause, "decisions fail for want of the store");
        }
    }

    fn is_news(&self, cause: &StoreError, now: Instant) -> bool {
        let cause = match cause {
            // Whoever is behind tries again, and nothing has failed.
            StoreError::Behind(_) => return false,
            // The network has many words for one outage; a server that answers has a code for each.
            StoreError::Unavailable(cause) => cause.rsplit_once('(').map_or("", |(_, code)| code),
            StoreError::Late => "late",
            StoreError::Corrupt(cause) => cause,
        };
        let mut said = locked(&self.0);
        if said.since.is_none_or(|since| now.saturating_duration_since(since) > AGAIN) {
            *said = Said { since: Some(now), causes: Vec::new() };
        }
        let is_news = said.causes.len() < CAUSES && !said.causes.iter().any(|it| it == cause);
        if is_news {
            said.causes.push(cause.to_owned());
        }
        is_news
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
        assert!(recent_failures.is_news(&away("no answer in time"), now));
        assert!(!recent_failures.is_news(&away("connection refused"), now));
        assert!(recent_failures.is_news(&away("cannot write now (25006)"), now));
        assert!(recent_failures.is_news(&corrupt("bindings.state"), now));
        assert!(!recent_failures.is_news(&corrupt("bindings.state"), now));
        assert!(recent_failures.is_news(&away("connection refused"), now + 2 * AGAIN), "it still lasts");
        for row in 0..100 {
            recent_failures.is_news(&corrupt(&format!("row {row}")), now + 2 * AGAIN);
        }
        assert!(!recent_failures.is_news(&corrupt("bindings.state"), now + 2 * AGAIN), "there is an end to it");
    }
}
