//! Logs: JSON lines on standard error.

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;

/// Starts logging. Lines are written until the guard is dropped.
///
/// A reader of our standard error that hangs must not hang decisions: beyond the buffer, lines are dropped.
pub fn init(level: LevelFilter) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).thread_name("log").finish(std::io::stderr());
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false).with_span_list(false);
    // Somebody else's subscriber (a test's) is as good as ours.
    let _ = lines.with_max_level(level).with_writer(writer).try_init();
    guard
}
