//! What became of a file of keys.

use std::path::Path;

use super::text::counted;
use crate::admin::api::ImportKeysResponse;

pub(in crate::cli) fn exported(keys: u64, path: &Path) -> String {
    format!("Exported {} to {}.\n", counted(keys), path.display())
}

/// `skipped_key_ids` are of the whole file, and may be the first of many.
pub(in crate::cli) fn imported(answer: &ImportKeysResponse) -> String {
    let mut text = format!("Imported {}", counted(answer.imported));
    if answer.identical > 0 {
        text.push_str(&format!("; {} were there already", answer.identical));
    }
    text.push_str(".\n");
    if answer.skipped > 0 {
        text.push_str(&format!(
            "Left alone, because this store knows {} otherwise: {}.\n",
            counted(answer.skipped),
            named(answer)
        ));
    }
    text
}

fn named(answer: &ImportKeysResponse) -> String {
    let more = answer.skipped - answer.skipped_key_ids.len() as u64;
    let named = answer.skipped_key_ids.join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}
