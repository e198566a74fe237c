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

/// Lines are written until it is dropped.
pub struct Log {
    level: Handle<LevelFilter, Registry>,
    _writer: WorkerGuard,
}

/// Starts logging.
///
/// A reader of our standard error that hangs must not hang decisions: beyond the buffer, lines are dropped.
pub fn init(level: LevelFilter) -> Log {
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).thread_name("log").finish(std::io::stderr());
    let (filter, handle) = reload::Layer::new(level);
    let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    // Whoever lost the store says so, once; the pool of connections has two lines for each of them.
    let ours = filter_fn(|line| !line.target().starts_with("deadpool"));
    let lines = lines.with_writer(writer).with_filter(ours);
    // Somebody else's subscriber (a test's) is as good as ours.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Log { level: handle, _writer: guard }
}

impl Log {
    /// Writes lines of `level` and above from now on.
    pub fn set_level(&self, level: LevelFilter) {
        // Fails only where the subscriber is somebody else's.
        let _ = self.level.reload(level);
    }
}
