//! Keys, their owners and their bans.

use super::{
    denied::denied_networks_or_time,
    table::{Cell, table},
    text::{NOTHING, or_nothing, state, vertical},
    time,
};
use crate::{
    admin::api::{Ban, Binding, GetKeyResponse, Key, ListKeysResponse},
    cli::screen::{Paint, Screen},
};

/// The characters of a note that a listing shows; `bindings show` prints the whole note.
const NOTE_WIDTH: usize = 30;

/// One line per key. `filtered` selects the text for an empty list.
pub(in crate::cli) fn list(answer: &ListKeysResponse, filtered: bool, screen: Screen) -> String {
    if answer.keys.is_empty() {
        return if filtered { "No key matches.\n" } else { "No bindings yet.\n" }.to_owned();
    }
    let rows = answer.keys.iter().map(|key| row(key, answer.now_ms));
    table(["KEY", "HINT", "STATE", "NETWORKS", "SINCE", "USED", "BAN", "NOTE"], rows, screen)
}

fn row(key: &Key, now: i64) -> [Cell; 8] {
    let ago = |millis: Option<i64>| millis.map_or(NOTHING.to_owned(), |then| time::ago(now.saturating_sub(then)));
    let life = key.life.clone().unwrap_or_default();
    let candidates: Vec<_> = key.candidates.iter().map(|candidate| candidate.network.clone()).collect();
    let (networks, since) = match &key.binding {
        Some(binding) => (&binding.networks, Some(binding.created_at_ms)),
        None => (&candidates, key.candidates.first().map(|candidate| candidate.first_at_ms)),
    };
    [
        key.key_id.clone().into(),
        or_nothing(&key.hint).into(),
        state(key).into(),
        first_networks(networks).into(),
        ago(since).into(),
        ago(life.used_at_ms).into(),
        key.ban.as_ref().map_or(NOTHING.into(), |ban| ban_cell(ban, now)),
        shortened(or_nothing(&life.note)).into(),
    ]
}

/// One value per line.
pub(in crate::cli) fn one(answer: &GetKeyResponse) -> String {
    let key = answer.key.clone().unwrap_or_default();
    let now = answer.now_ms;
    let when = |millis: i64| format!("{} ({})", time::moment(millis), time::ago(now.saturating_sub(millis)));
    let mut pairs = vec![("key", key.key_id.clone()), ("hint", or_nothing(&key.hint).to_owned())];
    pairs.push(("state", state(&key).to_owned()));
    if let Some(binding) = &key.binding {
        pairs.push(("networks", or_nothing(&binding.networks.join(", ")).to_owned()));
        pairs.push(("since", when(binding.created_at_ms)));
        pairs.extend(ends(binding, now));
        let life = key.life.clone().unwrap_or_default();
        pairs.push(("used", life.used_at_ms.map_or(NOTHING.to_owned(), when)));
        pairs.push(("denied", life.refused_at_ms.map_or(NOTHING.to_owned(), when)));
        pairs.push(("note", or_nothing(&life.note).to_owned()));
    }
    for candidate in &key.candidates {
        pairs.push(("candidate", format!("{} since {}", candidate.network, when(candidate.first_at_ms))));
    }
    pairs.push(("ban", key.ban.as_ref().map_or(NOTHING.to_owned(), |ban| ban_term(ban, now))));
    if let Some(ban) = &key.ban {
        pairs.push(("banned", format!("{} by {}", when(ban.created_at_ms), ban.actor)));
        pairs.push(("reason", or_nothing(&ban.reason).to_owned()));
    }
    let last = key.binding.and(key.life).and_then(|life| life.refused_at_ms);
    vertical(&pairs) + &denied_networks_or_time(&answer.refused, now, last)
}

/// The times at which a learning binding stops learning and a provisional one expires.
fn ends(binding: &Binding, now: i64) -> Vec<(&'static str, String)> {
    let until = |end: i64| match end > now {
        true => format!("{} ({} left)", time::moment(end), time::span(end - now)),
        false => format!("{} (over)", time::moment(end)),
    };
    let open = binding.open_until_ms.map(|end| ("open until", until(end)));
    open.into_iter().chain(binding.expires_at_ms.map(|end| ("expires", until(end)))).collect()
}

/// The key and its owner, for a confirmation.
pub(in crate::cli) fn key_summary(answer: &GetKeyResponse) -> String {
    let key = answer.key.clone().unwrap_or_default();
    let hint = if key.hint.is_empty() { String::new() } else { format!(" ({})", key.hint) };
    let owner = if key.binding.is_none() { "no owner".to_owned() } else { owner(&key) };
    format!("{}{hint}: {owner}.", key.key_id)
}

/// `learned, 203.0.113.7/32`.
pub(super) fn owner(key: &Key) -> String {
    match &key.binding {
        None => "none".to_owned(),
        Some(binding) if binding.networks.is_empty() => "reserved, no network".to_owned(),
        Some(binding) => format!("{}, {}", binding.state, binding.networks.join(", ")),
    }
}

/// `until 2026-11-21T08:30:00Z (1h 59m left)`.
pub(super) fn ban_term(ban: &Ban, now: i64) -> String {
    match ban.until_ms {
        None => "indefinitely".to_owned(),
        Some(until) if ban.in_force => {
            format!("until {} ({} left)", time::moment(until), time::span(until.saturating_sub(now)))
        }
        Some(until) => {
            format!("ended {} ({})", time::moment(until), time::ago(now.saturating_sub(until)))
        }
    }
}

fn ban_cell(ban: &Ban, now: i64) -> Cell {
    match ban.until_ms {
        None => Cell::painted("indefinite", Paint::Denied),
        Some(until) if ban.in_force => {
            Cell::painted(format!("{} left", time::span(until.saturating_sub(now))), Paint::Denied)
        }
        Some(_) => "ended".into(),
    }
}

fn shortened(note: &str) -> String {
    match note.char_indices().nth(NOTE_WIDTH) {
        Some((end, _)) => format!("{}…", &note[..end]),
        None => note.to_owned(),
    }
}

/// At most two networks, to keep the line short; `bindings show` prints them all.
fn first_networks(networks: &[String]) -> String {
    match networks {
        [] => NOTHING.to_owned(),
        [one] => one.clone(),
        [one, two] => format!("{one}, {two}"),
        [one, two, rest @ ..] => format!("{one}, {two}, +{}", rest.len()),
    }
}
