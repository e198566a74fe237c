//! What became of a file of keys.

use std::path::Path;

use crate::cli::gathered::Imported;

pub(in crate::cli) fn exported(keys: u64, path: &Path) -> String {
    format!("Exported {} to {}.\n", counted(keys), path.display())
}

pub(in crate::cli) fn imported(imported: &Imported) -> String {
    let last = &imported.last;
    let mut text = format!("Imported {}", counted(last.imported));
    if last.identical > 0 {
        text.push_str(&format!("; {} were there already", last.identical));
    }
    text.push_str(".\n");
    if last.skipped > 0 {
        text.push_str(&format!(
            "Left alone, because this store knows {} otherwise: {}.\n",
            counted(last.skipped),
            named(imported)
        ));
    }
    text
}

fn named(Imported { last, skipped }: &Imported) -> String {
    let more = last.skipped - skipped.len() as u64;
    let named = skipped.join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

fn counted(keys: u64) -> String {
    if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") }
}
