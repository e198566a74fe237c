//! The end of a process that cannot go on.

use std::error::Error;

/// Whatever ends the process; the text is for the operator.
pub type Fatal = Box<dyn Error + Send + Sync>;
