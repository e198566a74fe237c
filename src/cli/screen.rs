//! The width and colours of the terminal.

use std::{env, io, io::IsTerminal};

use clap::ValueEnum;
use terminal_size::{Width, terminal_size_of};

/// `--color`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

/// The properties of standard output.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Screen {
    pub(super) colour: bool,
    /// In columns; `None` if unknown: a file or a pipe takes lines of any length.
    pub(super) width: Option<usize>,
}

/// The meaning of a colour. The text says the same without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Heading,
    Allowed,
    Denied,
}

impl Screen {
    pub(super) fn stdout(color: Color) -> Self {
        let terminal = io::stdout().is_terminal();
        let is_unwanted = || {
            env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
                || env::var_os("TERM").is_some_and(|value| value == "dumb")
        };
        let colour = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !is_unwanted(),
        };
        let width = terminal_size_of(io::stdout()).filter(|_| terminal).map(|(Width(width), _)| usize::from(width));
        Self { colour, width: width.filter(|width| *width > 0) }
    }

    pub(super) fn paint(self, text: &str, paint: Paint) -> String {
        let code = match paint {
            Paint::Heading => "1",
            Paint::Allowed => "32",
            Paint::Denied => "31",
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
