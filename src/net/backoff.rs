//! How long to wait before something that is away is tried again.

use std::time::Duration;

use tokio::time::sleep;

/// Pauses that grow to twice as long with each try, up to the longest, and of each only 50 to 100 %, so that processes
/// that lost something together do not all come back to it at the same moment.
///
/// Not the `backon` crate: what its jitter adds makes a pause longer than the longest, and a subscription, which is tried
/// again after it succeeded, needs [`Backoff::reset`] rather than a retried call.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// To be called after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    pub(crate) async fn pause(&mut self) {
        let pause = self.next.mul_f64(rand::random_range(0.5..1.0));
        self.next = self.longest.min(self.next * 2);
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let millis = Duration::from_millis;
        let mut backoff = Backoff::new(millis(100), millis(300));
        for (nth, longest) in [100, 200, 300, 300, 100].into_iter().enumerate() {
            if nth == 4 {
                backoff.reset();
            }
            let began = Instant::now();
            backoff.pause().await;
            // Timers are no finer than a millisecond.
            let paused = began.elapsed();
            assert!((millis(longest / 2)..=millis(longest + 1)).contains(&paused), "{paused:?} of {longest} ms");
        }
    }
}
