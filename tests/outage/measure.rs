//! How long answers took.

use std::{
    fmt,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};

use crate::common::{Answer, Sentinel};

/// The times of some answers.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }
}

/// In milliseconds: of a hundred, the 50th and the 99th.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [50, 99].map(|percent| self.percentile(percent).as_secs_f64() * 1e3);
        f.pad(&format!("{p50:.2} {p99:.2}"))
    }
}

/// Asks about all these keys, N at a time, and judges each answer.
pub(crate) async fn measure(
    sentinel: &Sentinel,
    keys: &[String],
    from: &str,
    at_once: usize,
    judge: impl Fn(&str, Answer),
) -> Times {
    let asked = keys.iter().map(async |key| {
        let began = Instant::now();
        let answer = sentinel.check().key(key).from(from).send().await;
        let took = began.elapsed();
        judge(key, answer);
        took
    });
    let mut times: Vec<_> = stream::iter(asked).buffer_unordered(at_once).collect().await;
    times.sort_unstable();
    Times(times)
}

/// `count` keys that no other call has named.
pub(crate) fn keys(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|nth| format!("sk-{name}-{nth:06}-0123456789")).collect()
}
