//! One line on the terminal, rewritten as the work goes on.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

pub(super) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Unless what is written itself is seen on the terminal.
    pub(super) fn new(is_output_seen: bool) -> Self {
        Self { is_shown: io::stderr().is_terminal() && !is_output_seen }
    }

    pub(super) fn at(&self, so_far: impl Display) {
        self.write(format_args!("\r{so_far}"));
    }

    /// Takes the line away.
    pub(super) fn clear(self) {
        self.write(format_args!("\r\u{1b}[K"));
    }

    /// Leaves the line as it is.
    pub(super) fn keep(self) {
        self.write(format_args!("\n"));
    }

    fn write(&self, text: impl Display) {
        if self.is_shown {
            let _ = write!(io::stderr(), "{text}");
        }
    }
}
