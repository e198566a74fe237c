//! The networks that were denied a key.

use super::{table::table, time};
use crate::{admin::api::RefusedNetwork, cli::screen::Screen};

/// Like [`denied_networks`], for a key whose last denial may be known only by its time.
pub(super) fn denied_networks_or_time(networks: &[RefusedNetwork], now: i64, last: Option<i64>) -> String {
    match last {
        Some(last) if networks.is_empty() => {
            let age = time::ago(now.saturating_sub(last));
            format!("The audit of the last 24 hours has no network for its last denial, {age}.\n")
        }
        _ => denied_networks(networks, now),
    }
}

pub(super) fn denied_networks(networks: &[RefusedNetwork], now: i64) -> String {
    if networks.is_empty() {
        return "No denials of this key in the last 24 hours. (A denial appears in the audit within 2 s.)\n".to_owned();
    }
    let rows = networks.iter().map(|refused| {
        let last = time::ago(now.saturating_sub(refused.last_at_ms));
        let [denied, would_deny] = [refused.count, refused.would_deny].map(|count| count.to_string().into());
        [format!("  {}", refused.network).into(), denied, would_deny, last.into()]
    });
    let table = table(["  NETWORK", ">DENIED", ">WOULD-DENY", "LAST"], rows, Screen::default());
    format!("Networks that were denied this key in the last 24 hours:\n{table}")
}
