//! Text shared by all output for people.

use crate::admin::api::Key;

/// The text for an absent value.
pub(super) const NOTHING: &str = "-";

/// The state; `reserved` is `pinned` without networks, and `observed` has candidates but no binding.
pub(in crate::cli) fn state(key: &Key) -> &str {
    match &key.binding {
        None if key.candidates.is_empty() => NOTHING,
        None => "observed",
        Some(binding) if binding.networks.is_empty() => "reserved",
        Some(binding) => &binding.state,
    }
}

pub(super) fn or_nothing(text: &str) -> &str {
    if text.is_empty() { NOTHING } else { text }
}

pub(super) fn counted(keys: u64) -> String {
    if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") }
}

/// Names and values, one pair per line.
pub(super) fn vertical(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}
