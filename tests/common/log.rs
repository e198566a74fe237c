//! What this process logs, told apart by thread: a test and all that it starts run on one.
//!
//! The subscriber is the process's. One for each test (`tracing::subscriber::set_default`) loses lines: while it is the
//! only one, a line that another test's thread reaches first is taken for a line that nobody wants, for ever.

use std::{cell::RefCell, io, sync::Once};

use serde_json::Value;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log of this thread, one JSON object a line.
pub(crate) struct Log(());

impl Log {
    /// From here on.
    pub(crate) fn begin() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let lines = tracing_subscriber::fmt().json().flatten_event(true).with_writer(|| Writer);
            tracing::subscriber::set_global_default(lines.finish()).expect("the only subscriber of these tests");
        });
        let log = Self(());
        log.taken();
        log
    }

    /// What was logged since it began, or since this was asked last.
    pub(crate) fn taken(&self) -> String {
        String::from_utf8(LINES.take()).unwrap()
    }

    /// The sum of this number over the lines that have it.
    pub(crate) fn sum(&self, field: &str) -> u64 {
        LINES.with_borrow(|text| {
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.filter_map(|line| serde_json::from_slice::<Value>(line).unwrap()[field].as_u64()).sum()
        })
    }
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.write(text))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
