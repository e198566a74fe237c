//! Answers for people: aligned columns, ages instead of dates, and what to do next.

mod audit;
mod change;
mod diagnosis;
mod explained;
mod keys;
mod moved;
mod peppers;
mod promoted;
mod table;
mod time;

use crate::admin::api::{GetStatusResponse, Key};

pub(super) use audit::{record, records, to_undo, undo};
pub(super) use change::{banned, done, given, unbanned, unbound, undone};
pub(super) use diagnosis::report;
pub(super) use explained::explained;
pub(super) use keys::{list, one, subject};
pub(super) use moved::{exported, imported};
pub(super) use peppers::{activated, peppers, retired};
pub(super) use promoted::{plan, promoted};

/// What stands where there is nothing.
const NOTHING: &str = "-";

/// A server's answer to the status command.
pub(super) fn status(status: &GetStatusResponse) -> String {
    let count = |count: Option<u64>| count.map_or("? (the store did not answer)".to_owned(), |n| n.to_string());
    let poll = match status.since_poll_ms {
        Some(millis) => time::ago(millis),
        None => "never".to_owned(),
    };
    vertical(&[
        ("serving", if status.serving { "yes" } else { "no" }.to_owned()),
        ("version", status.version.clone()),
        ("process", format!("{}, up {}", status.pid, time::span(status.uptime_ms))),
        ("mode", status.mode.clone()),
        ("realm", status.realm.clone()),
        ("store", status.store.clone()),
        ("last poll", poll),
        ("revision", status.applied_revision.to_string()),
        ("pepper", status.pepper_id.clone()),
        ("observed", count(status.observed)),
        ("provisional", count(status.provisional)),
        ("learned", count(status.learned)),
        ("pinned", count(status.pinned)),
        ("reserved", count(status.reserved)),
        ("banned", count(status.banned)),
    ])
}

/// `pinned` without networks has its own word, and so has what nobody owns yet.
pub(super) fn state(key: &Key) -> &str {
    match &key.binding {
        None if key.candidates.is_empty() => NOTHING,
        None => "observed",
        Some(binding) if binding.networks.is_empty() => "reserved",
        Some(binding) => &binding.state,
    }
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { NOTHING } else { text }
}

/// Names and values, one pair a line.
fn vertical(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}
