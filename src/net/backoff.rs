//! The pauses between connection attempts.

use std::time::Duration;

use tokio::time::sleep;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Pauses that double with each attempt up to a maximum. Each is shortened to a random 50 to 100 %, so that processes
/// that lost the same server do not all reconnect at the same moment.
///
/// Not the `backon` crate: its jitter makes a pause longer than the maximum, and a subscription that is retried after
/// it succeeded needs a new [`Backoff`], not a retried call.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    pub(crate) async fn pause(&mut self) {
        let pause = self.next.mul_f64(rand::random_range(0.5..1.0));
        self.next = LONGEST.min(self.next * 2);
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        for longest in [50, 100, 200, 400, 800, 1600, 2000, 2000].map(Duration::from_millis) {
            let began = Instant::now();
            backoff.pause().await;
            // Timers have a resolution of one millisecond.
            let paused = began.elapsed();
            assert!(paused >= longest / 2 && paused <= longest + Duration::from_millis(1), "{paused:?} of {longest:?}");
        }
    }
}
