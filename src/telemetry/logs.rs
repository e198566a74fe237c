//! Logs: JSON lines on standard error.

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, filter_fn},
    fmt,
    layer::SubscriberExt,
    reload::{self, Handle},
    util::SubscriberInitExt,
};

/// The log. Lines are written until it is dropped.
pub struct Log {
    level: Handle<LevelFilter, Registry>,
    _writer: WorkerGuard,
}

/// Starts logging.
///
/// A reader of standard error that hangs must not block decisions: if the buffer is full, lines are dropped.
pub fn init(level: LevelFilter) -> Log {
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).thread_name("log").finish(std::io::stderr());
    let (filter, handle) = reload::Layer::new(level);
    let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    // Each module logs a lost store once; the connection pool would add two lines for each connection.
    let ours = filter_fn(|line| !line.target().starts_with("deadpool"));
    let lines = lines.with_writer(writer).with_filter(ours);
    // If a subscriber is installed already, as in tests, it is kept.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Log { level: handle, _writer: guard }
}

impl Log {
    /// Writes lines of `level` and above from now on.
    pub fn set_level(&self, level: LevelFilter) {
        // Fails only if another subscriber is installed.
        let _ = self.level.reload(level);
    }
}
