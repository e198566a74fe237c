//! The networks that were refused a key.

use super::{table::table, time};
use crate::{admin::api::RefusedNetwork, cli::screen::Screen};

/// As [`refused`], of a key whose last refusal is known by its time alone, which is told already.
pub(super) fn refused_or_since(networks: &[RefusedNetwork], now: i64, last: Option<i64>) -> String {
    match last {
        Some(last) if networks.is_empty() => {
            let age = time::ago(now.saturating_sub(last));
            format!("Its last refusal, {age}, is not in the audit of the last 24 hours with a network.\n")
        }
        _ => refused(networks, now),
    }
}

pub(super) fn refused(networks: &[RefusedNetwork], now: i64) -> String {
    if networks.is_empty() {
        return "No refusal of this key is recorded in the last 24 hours; one is recorded within two seconds.\n"
            .to_owned();
    }
    let rows = networks.iter().map(|refused| {
        let last = time::ago(now.saturating_sub(refused.last_at_ms));
        let [denied, would_deny] = [refused.count, refused.would_deny].map(|count| count.to_string().into());
        [format!("  {}", refused.network).into(), denied, would_deny, last.into()]
    });
    let table = table(["  NETWORK", ">DENIED", ">WOULD-DENY", "LAST"], rows, Screen::default());
    format!("Refused this key in the last 24 hours:\n{table}")
}
