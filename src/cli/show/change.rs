//! What a change did, and what may be wanted next.

use super::{keys, refused::refused};
use crate::admin::api::{ChangeResponse, Key};

/// After `unbind`.
pub(in crate::cli) fn unbound(answer: &ChangeResponse) -> String {
    let (key, _) = sides(answer);
    let mut out = given(answer) + &refused(&answer.refused, answer.now_ms);
    if key.binding.is_some_and(|binding| binding.networks.is_empty()) {
        out.push_str(&format!("Next: sentinel unbind {} --to CIDR\n", key.key_id));
    }
    out
}

/// After `bindings set` and `bindings claim`.
pub(in crate::cli) fn given(answer: &ChangeResponse) -> String {
    let (key, before) = sides(answer);
    let [was, is] = [&before, &key].map(keys::owner);
    format!("{} {}.\n  before  {was}\n  now     {is}\n", key.key_id, belongs(&key))
}

/// After `undo`: what is so now, then what was taken back.
pub(in crate::cli) fn undone(answer: &ChangeResponse) -> String {
    let (key, before) = sides(answer);
    let now = if key.ban != before.ban {
        match &key.ban {
            None => "is no longer banned".to_owned(),
            Some(ban) if ban.in_force => format!("is banned {}", keys::whole_ban(ban, answer.now_ms)),
            Some(ban) => format!("is not banned: that {}", keys::whole_ban(ban, answer.now_ms)),
        }
    } else if key.binding != before.binding {
        belongs(&key)
    } else {
        "has the note of before".to_owned()
    };
    format!("{} {now}.\n  undone  {}\n", key.key_id, answer.detail)
}

fn belongs(key: &Key) -> String {
    match &key.binding {
        None => "has no owner now: the next first use wins".to_owned(),
        Some(binding) if binding.networks.is_empty() => "is reserved: nobody can use it".to_owned(),
        Some(binding) => format!("belongs to {}", binding.networks.join(", ")),
    }
}

/// After `bindings note`.
pub(in crate::cli) fn done(answer: &ChangeResponse) -> String {
    let (key, _) = sides(answer);
    format!("{}: {}.\n", key.key_id, answer.detail)
}

/// After `ban`.
pub(in crate::cli) fn banned(answer: &ChangeResponse) -> String {
    let (key, before) = sides(answer);
    let id = &key.key_id;
    let until = key.ban.as_ref().map_or_else(String::new, |ban| keys::whole_ban(ban, answer.now_ms));
    let replaced = if before.ban.is_some() { " An earlier ban was replaced." } else { "" };
    format!("{id} is banned {until}.{replaced}\n  owner   {}\n", keys::owner(&key))
}

/// After `unban`.
pub(in crate::cli) fn unbanned(answer: &ChangeResponse) -> String {
    let (key, _) = sides(answer);
    format!("{} is no longer banned.\n  owner   {}\n", key.key_id, keys::owner(&key))
}

fn sides(answer: &ChangeResponse) -> (Key, Key) {
    (answer.key.clone().unwrap_or_default(), answer.before.clone().unwrap_or_default())
}
