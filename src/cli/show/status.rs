//! The state of a server.

use super::{text::vertical, time};
use crate::admin::api::GetStatusResponse;

/// The output of `status`.
pub(in crate::cli) fn status(status: &GetStatusResponse) -> String {
    let count = |count: Option<u64>| count.map_or("? (the store did not answer)".to_owned(), |n| n.to_string());
    let poll = match status.since_poll_ms {
        Some(millis) => time::ago(millis),
        None => "never".to_owned(),
    };
    let faults = [("cannot write", &status.unwritable), ("archive waits", &status.archive_waits)];
    let faults = faults.into_iter().filter(|(_, why)| !why.is_empty()).map(|(name, why)| (name, why.clone()));
    let mut rows = vec![
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
    ];
    rows.splice(7..7, faults);
    vertical(&rows)
}
