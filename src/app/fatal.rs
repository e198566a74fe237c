//! What ends the process.

use std::error::Error;

/// Its text is for the operator.
pub type Fatal = Box<dyn Error + Send + Sync>;
