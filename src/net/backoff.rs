//! How long to wait before something that is away is tried again.

use std::time::Duration;

use tokio::time::sleep;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Pauses that grow to twice as long with each try, up to the longest, and of each only 50 to 100 %, so that processes
/// that lost something together do not all come back to it at the same moment.
///
/// Not the `backon` crate: what its jitter adds makes a pause longer than the longest, and a subscription, which is tried
/// again after it succeeded, begins with a new [`Backoff`] rather than with a retried call.
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
            // Timers are no finer than a millisecond.
            let paused = began.elapsed();
            assert!(paused >= longest / 2 && paused <= longest + Duration::from_millis(1), "{paused:?} of {longest:?}");
        }
    }
}
