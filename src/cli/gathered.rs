//! What the answers of one command come to, where there are many.

use crate::admin::api::{ImportKeysResponse, LetThroughKey, PromoteEnd, PromotedKey};

/// What a walk told, to its end.
pub(super) struct Walked {
    pub(super) dry_run: bool,
    pub(super) keys: Vec<PromotedKey>,
    /// Of a dry run.
    pub(super) let_through: Vec<LetThroughKey>,
    pub(super) end: PromoteEnd,
}

/// What became of a file.
#[derive(Default)]
pub(super) struct Imported {
    pub(super) last: ImportKeysResponse,
    /// The first of the keys that were left alone although they differ.
    pub(super) skipped: Vec<String>,
}
