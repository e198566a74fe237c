//! Envoy's header mutations and string matchers.

use super::walk::{config, inside, is_a};
use crate::doctor::yaml::Node;

/// Whether a filter removes the request header `name`.
pub(super) fn removes(filter: &Node, name: &str) -> bool {
    if !is_a(filter, "http.header_mutation.v3.HeaderMutation") {
        return false;
    }
    let mutations = config(filter).map(inside).and_then(|config| config.get("mutations"));
    mutations.into_iter().flat_map(|mutations| mutations.items("request_mutations")).any(|mutation| {
        let pattern = mutation.get("remove_on_match").and_then(|remove| remove.get("key_matcher"));
        mutation.text_of("remove").is_some_and(|removed| removed.eq_ignore_ascii_case(name))
            || pattern.is_some_and(|pattern| matches(pattern, name) == Some(true))
    })
}

/// Whether a `StringMatcher` matches the name; `None` for a regular expression.
pub(super) fn matches(pattern: &Node, name: &str) -> Option<bool> {
    let fold = pattern.has_true("ignore_case");
    let text = |field| {
        let text = pattern.text_of(field)?;
        Some(if fold { text.to_ascii_lowercase() } else { text.to_owned() })
    };
    let exact = text("exact").map(|text| name == text);
    let prefix = || text("prefix").map(|text| name.starts_with(&text));
    let suffix = || text("suffix").map(|text| name.ends_with(&text));
    exact.or_else(prefix).or_else(suffix).or_else(|| text("contains").map(|text| name.contains(&text)))
}
