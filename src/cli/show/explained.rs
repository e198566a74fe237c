//! The decision about a request, one step per line.

use super::{
    keys,
    text::{NOTHING, or_nothing, vertical},
};
use crate::{
    admin::api::{ExplainResponse, ExplainedAddress, ExplainedCarrier, Key},
    cli::screen::{Paint, Screen},
};

const NOT_LOOKED_UP: &str = "not looked up: an earlier rule decided";
const NO_ANSWER: &str = "? (the store did not answer)";

/// A server's answer to `explain`.
pub(in crate::cli) fn explained(answer: &ExplainResponse, screen: Screen) -> String {
    let address = answer.address.clone().unwrap_or_default();
    let mut pairs = vec![
        ("address", client(&address)),
        ("found", format!("{} (client_ip.source = {:?})", address.how, address.source)),
    ];
    if !address.written.is_empty() && address.written != address.client {
        pairs.push(("written", address.written.clone()));
    }
    pairs.push(("profile", answer.profile.clone()));
    pairs.extend(answer.carriers.iter().map(|it| ("carrier", carrier(it))));
    if answer.carriers.is_empty() {
        pairs.push(("carrier", "the request has no carrier of this profile".to_owned()));
    }
    let key = answer.key.clone().unwrap_or_default();
    pairs.push(("key", or_nothing(&key.key_id).to_owned()));
    pairs.push(("hint", or_nothing(&key.hint).to_owned()));
    let (ban, binding) = facts(answer, &key);
    pairs.push(("ban", ban));
    pairs.push(("policy", "none in this version".to_owned()));
    pairs.push(("binding", binding));
    pairs.push(("mode", answer.mode.clone()));
    pairs.push(("verdict", verdict(answer, screen)));
    vertical(&pairs)
}

fn verdict(answer: &ExplainResponse, screen: Screen) -> String {
    let (allowed, denied) = (screen.paint("allowed", Paint::Allowed), screen.paint("denied", Paint::Denied));
    let would = match answer.would_deny {
        true => format!(" only because the mode is observe; with mode = \"enforce\" it would be {denied}"),
        false => String::new(),
    };
    let word = if answer.allowed { allowed } else { denied };
    format!("{word}{would}, {}: {}", answer.reason, because(answer))
}

fn client(address: &ExplainedAddress) -> String {
    if address.client.is_empty() { "unknown".to_owned() } else { address.client.clone() }
}

fn carrier(carrier: &ExplainedCarrier) -> String {
    let ExplainedCarrier { carrier, form, holds } = carrier;
    let holds = match holds.as_str() {
        "key" => "the key",
        "another_key" => "a different key",
        "placeholder" => "a placeholder, not a key",
        "malformed" => "not exactly a key of this profile",
        "repeated" => "more than one value",
        "exempt" => "not read, because of credentials.passthrough",
        other => other,
    };
    let form = match form.as_str() {
        "" => String::new(),
        "disguised" => ", under another spelling of its name".to_owned(),
        form => format!(", {form}"),
    };
    format!("{carrier}{form}: {holds}")
}

fn facts(answer: &ExplainResponse, key: &Key) -> (String, String) {
    if answer.key.is_none() {
        return (NOTHING.to_owned(), NOTHING.to_owned());
    }
    if !answer.looked_up {
        let why = if answer.reason == "client_ip_unknown" { NOT_LOOKED_UP } else { NO_ANSWER };
        return (why.to_owned(), why.to_owned());
    }
    let ban = key.ban.as_ref().map_or(NOTHING.to_owned(), |ban| keys::ban_term(ban, answer.now_ms));
    (ban, keys::owner(key))
}

fn because(answer: &ExplainResponse) -> String {
    let text = match answer.reason.as_str() {
        "bound" => "the address is in a network that owns the key",
        "first_use" => return format!("this would be the first use, and {} would own the key", answer.would_own),
        "network_added" => return format!("{} would be added to the networks that own the key", answer.would_own),
        "mode_off" => "the mode is off, so every request is allowed",
        "claim_limited" => "the key has no owner, and a claim limit is reached (claims.per_network, claims.global)",
        "failsafe_open" => "the store is unavailable, and store.failsafe is open",
        "no_key" => "the request has no key; sentinel.missing of the route or credentials.missing decides",
        "conflicting_keys" => "the request has more than one key, or one carrier has more than one value",
        "malformed_key" => "a carrier holds a value that is not exactly one key",
        "ip_mismatch" => "the key belongs to another network",
        "key_banned" => "the key is banned",
        "unclaimable_network" => "the key has no owner, and this address cannot own keys",
        "client_ip_unknown" => "the address of the client is not known",
        "not_claimed" => "the key is reserved, until an operator names its network",
        "store_unavailable" => "the store is unavailable",
        "deadline_exceeded" => "the store did not answer within check_deadline",
        _ => "see docs/error-responses.md",
    };
    text.to_owned()
}
