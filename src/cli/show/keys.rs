//! Keys, their owners and their bans.

use super::{NOTHING, columns, or_nothing, state, text, time, vertical};
use crate::admin::api::{Ban, GetKeyResponse, Key, ListKeysResponse};

/// One line a key. `filtered` says that there may be others.
pub(in crate::cli) fn list(answer: &ListKeysResponse, filtered: bool) -> String {
    if answer.keys.is_empty() {
        return if filtered { "No key matches.\n" } else { "No bindings yet.\n" }.to_owned();
    }
    let now = answer.now_ms;
    let rows = answer.keys.iter().map(|key| {
        let binding = key.binding.as_ref();
        [
            key.key_id.clone(),
            or_nothing(&key.hint).to_owned(),
            state(binding).to_owned(),
            binding.map_or(NOTHING.to_owned(), |binding| some_of(&binding.networks)),
            binding.map_or(NOTHING.to_owned(), |binding| time::ago(now.saturating_sub(binding.created_at_ms))),
            key.ban.as_ref().map_or(NOTHING.to_owned(), |ban| short_ban(ban, now)),
        ]
    });
    text(columns(["KEY", "HINT", "STATE", "NETWORKS", "SINCE", "BAN"], rows))
}

/// One fact a line.
pub(in crate::cli) fn one(answer: &GetKeyResponse) -> String {
    let key = answer.key.clone().unwrap_or_default();
    let mut pairs = vec![("key", key.key_id.clone()), ("hint", or_nothing(&key.hint).to_owned())];
    pairs.push(("state", state(key.binding.as_ref()).to_owned()));
    if let Some(binding) = &key.binding {
        pairs.push(("networks", or_nothing(&binding.networks.join(", ")).to_owned()));
        let age = time::ago(answer.now_ms.saturating_sub(binding.created_at_ms));
        pairs.push(("since", format!("{} ({age})", time::moment(binding.created_at_ms))));
    }
    pairs.push(("ban", key.ban.as_ref().map_or(NOTHING.to_owned(), |ban| whole_ban(ban, answer.now_ms))));
    if let Some(ban) = &key.ban {
        let age = time::ago(answer.now_ms.saturating_sub(ban.created_at_ms));
        pairs.push(("banned", format!("{} ({age}) by {}", time::moment(ban.created_at_ms), ban.actor)));
        pairs.push(("reason", or_nothing(&ban.reason).to_owned()));
    }
    vertical(&pairs)
}

/// `learned, 203.0.113.7/32`.
pub(super) fn owner(key: &Key) -> String {
    match &key.binding {
        None => "no owner".to_owned(),
        Some(binding) if binding.networks.is_empty() => "reserved, no network".to_owned(),
        Some(binding) => format!("{}, {}", binding.state, binding.networks.join(", ")),
    }
}

/// `until 2026-11-21T08:30:00Z (1h 59m left)`.
pub(super) fn whole_ban(ban: &Ban, now: i64) -> String {
    match ban.until_ms {
        None => "for ever".to_owned(),
        Some(until) if ban.in_force => {
            format!("until {} ({} left)", time::moment(until), time::span(until.saturating_sub(now)))
        }
        Some(until) => {
            format!("ended {} ({})", time::moment(until), time::ago(now.saturating_sub(until)))
        }
    }
}

fn short_ban(ban: &Ban, now: i64) -> String {
    match ban.until_ms {
        None => "for ever".to_owned(),
        Some(until) if ban.in_force => format!("{} left", time::span(until.saturating_sub(now))),
        Some(_) => "ended".to_owned(),
    }
}

/// A key of many networks must not push the other columns off the screen; `bindings show` has them all.
fn some_of(networks: &[String]) -> String {
    match networks {
        [] => NOTHING.to_owned(),
        [one] => one.clone(),
        [one, two] => format!("{one}, {two}"),
        [one, two, rest @ ..] => format!("{one}, {two}, +{}", rest.len()),
    }
}
