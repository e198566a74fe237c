//! What docs/monitoring.md, "When the store fails", promises for every combination, in a form that can be held against it.

/// Redis | PostgreSQL | the key | the last poll was | `closed` answers | `open` answers
///
/// A Redis that is killed, paused or not configured is *lost*. *elsewhere* is a key that has an owner, of which this
/// replica knows nothing yet; *stranger* is a thief with a key that is known here. A PostgreSQL that is *paused* hangs
/// without an error: what needs it ends in `deadline_exceeded`, also under `open`.
const PROMISES: &str = "
    any    alive    owner      recent  bound              bound
    any    alive    stranger   recent  ip_mismatch        ip_mismatch
    any    alive    banned     recent  key_banned         key_banned
    any    alive    elsewhere  recent  bound              bound
    any    alive    unknown    recent  first_use          first_use

    any    stopped  owner      recent  bound              bound
    any    stopped  stranger   recent  ip_mismatch        ip_mismatch
    any    stopped  banned     recent  key_banned         key_banned
    alive  stopped  elsewhere  recent  bound              bound
    lost   stopped  elsewhere  recent  store_unavailable  failsafe_open
    any    stopped  unknown    recent  store_unavailable  failsafe_open
    any    stopped  owner      old     store_unavailable  failsafe_open
    any    stopped  stranger   old     ip_mismatch        ip_mismatch
    any    stopped  banned     old     key_banned         key_banned
    any    stopped  elsewhere  old     store_unavailable  failsafe_open
    any    stopped  unknown    old     store_unavailable  failsafe_open

    any    paused   owner      recent  bound              bound
    any    paused   stranger   recent  ip_mismatch        ip_mismatch
    any    paused   banned     recent  key_banned         key_banned
    alive  paused   elsewhere  recent  bound              bound
    lost   paused   elsewhere  recent  deadline_exceeded  deadline_exceeded
    any    paused   unknown    recent  deadline_exceeded  deadline_exceeded
    any    paused   owner      old     store_unavailable  failsafe_open
    any    paused   stranger   old     ip_mismatch        ip_mismatch
    any    paused   banned     old     key_banned         key_banned
    any    paused   elsewhere  old     deadline_exceeded  deadline_exceeded
    any    paused   unknown    old     deadline_exceeded  deadline_exceeded
";

/// A line of it.
pub(crate) struct Promise {
    redis: &'static str,
    pub(crate) postgres: &'static str,
    pub(crate) key: &'static str,
    pub(crate) poll: &'static str,
    /// By `store.failsafe`: closed, open.
    pub(crate) answers: [&'static str; 2],
}

impl Promise {
    /// Whether it speaks of Redis at all.
    pub(crate) fn needs_redis(&self) -> bool {
        self.redis == "alive"
    }
}

/// The lines that hold where Redis is alive, or where it is lost.
pub(crate) fn promises(redis_is_alive: bool) -> Vec<Promise> {
    let lines = PROMISES.lines().filter(|line| !line.trim().is_empty()).map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [redis, postgres, key, poll, closed, open] = words.try_into().unwrap();
        Promise { redis, postgres, key, poll, answers: [closed, open] }
    });
    let redis = if redis_is_alive { "alive" } else { "lost" };
    lines.filter(|promise| ["any", redis].contains(&promise.redis)).collect()
}
