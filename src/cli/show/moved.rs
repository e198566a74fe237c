//! The result of an export or import.

use std::path::Path;

use super::text::counted;
use crate::admin::api::ImportKeysResponse;

pub(in crate::cli) fn exported(keys: u64, path: &Path) -> String {
    format!("Exported {} to {}.\n", counted(keys), path.display())
}

/// `skipped_key_ids` are the first skipped keys of the whole file.
pub(in crate::cli) fn imported(answer: &ImportKeysResponse) -> String {
    let mut text = format!("Imported {}", counted(answer.imported));
    match answer.identical {
        0 => {}
        1 => text.push_str("; 1 was already stored"),
        identical => text.push_str(&format!("; {identical} were already stored")),
    }
    text.push_str(".\n");
    if answer.skipped > 0 {
        text.push_str(&format!(
            "Skipped {}, because the store has different data for the same key: {}.\n",
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
