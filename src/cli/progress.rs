//! A progress line on the terminal.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

pub(super) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Shows nothing if the output itself goes to the terminal.
    pub(super) fn new(is_output_terminal: bool) -> Self {
        Self { is_shown: io::stderr().is_terminal() && !is_output_terminal }
    }

    pub(super) fn at(&self, so_far: impl Display) {
        self.write(format_args!("\r{so_far}"));
    }

    /// Erases the line.
    pub(super) fn clear(self) {
        self.write(format_args!("\r\u{1b}[K"));
    }

    /// Keeps the line and ends it.
    pub(super) fn keep(self) {
        self.write(format_args!("\n"));
    }

    fn write(&self, text: impl Display) {
        if self.is_shown {
            let _ = write!(io::stderr(), "{text}");
        }
    }
}
