//! The result of a change, and the next command.

use super::{denied::denied_networks, keys};
use crate::admin::api::{ChangeResponse, Key};

/// After `unbind`.
pub(in crate::cli) fn unbound(answer: &ChangeResponse) -> String {
    let (key, _) = after_and_before(answer);
    let mut out = networks_set(answer) + &denied_networks(&answer.refused, answer.now_ms);
    if key.binding.is_some_and(|binding| binding.networks.is_empty()) {
        out.push_str(&format!("Next: sentinel unbind {} --to CIDR\n", key.key_id));
    }
    out
}

/// After `bindings set` and `bindings claim`.
pub(in crate::cli) fn networks_set(answer: &ChangeResponse) -> String {
    let (key, before) = after_and_before(answer);
    let [was, is] = [&before, &key].map(keys::owner);
    format!("{} {}.\n  before  {was}\n  now     {is}\n", key.key_id, ownership(&key))
}

/// After `undo`: the current state, then the reversed change.
pub(in crate::cli) fn undone(answer: &ChangeResponse) -> String {
    let (key, before) = after_and_before(answer);
    let now = if key.ban != before.ban {
        match &key.ban {
            None => "is no longer banned".to_owned(),
            Some(ban) if ban.in_force => format!("is banned {}", keys::ban_term(ban, answer.now_ms)),
            Some(ban) => format!("is not banned: the restored ban {}", keys::ban_term(ban, answer.now_ms)),
        }
    } else if key.binding != before.binding {
        ownership(&key)
    } else {
        "has its previous note".to_owned()
    };
    format!("{} {now}.\n  undone  {}\n", key.key_id, answer.detail)
}

fn ownership(key: &Key) -> String {
    match &key.binding {
        None => "has no owner now: the next network that uses it owns it".to_owned(),
        Some(binding) if binding.networks.is_empty() => "is reserved: every client is denied".to_owned(),
        Some(binding) => format!("belongs to {}", binding.networks.join(", ")),
    }
}

/// After `bindings note`.
pub(in crate::cli) fn note_set(answer: &ChangeResponse) -> String {
    let (key, _) = after_and_before(answer);
    format!("{}: {}.\n", key.key_id, answer.detail)
}

/// After `ban`.
pub(in crate::cli) fn banned(answer: &ChangeResponse) -> String {
    let (key, before) = after_and_before(answer);
    let id = &key.key_id;
    let until = key.ban.as_ref().map_or_else(String::new, |ban| keys::ban_term(ban, answer.now_ms));
    let replaced = if before.ban.is_some() { " An earlier ban was replaced." } else { "" };
    format!("{id} is banned {until}.{replaced}\n  owner   {}\n", keys::owner(&key))
}

/// After `unban`.
pub(in crate::cli) fn unbanned(answer: &ChangeResponse) -> String {
    let (key, _) = after_and_before(answer);
    format!("{} is no longer banned.\n  owner   {}\n", key.key_id, keys::owner(&key))
}

fn after_and_before(answer: &ChangeResponse) -> (Key, Key) {
    (answer.key.clone().unwrap_or_default(), answer.before.clone().unwrap_or_default())
}
