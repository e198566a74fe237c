//! What would be decided of a request, one step a line.

use super::{
    keys,
    text::{NOTHING, or_nothing, vertical},
};
use crate::{
    admin::api::{ExplainResponse, ExplainedAddress, ExplainedCarrier, Key},
    cli::screen::{Paint, Screen},
};

const NOT_ASKED: &str = "not asked: decided before";
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
        pairs.push(("carrier", "none of the profile's is there".to_owned()));
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
        true => format!(" only because the mode is observe; enforcing it would be {denied}"),
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
        "another_key" => "another key than before",
        "placeholder" => "a placeholder, which is no key",
        "malformed" => "not exactly a key of this profile",
        "repeated" => "more than one value",
        "exempt" => "not judged, by credentials.passthrough",
        other => other,
    };
    let form = match form.as_str() {
        "" => String::new(),
        "disguised" => ", its name spelled otherwise".to_owned(),
        form => format!(", {form}"),
    };
    format!("{carrier}{form}: {holds}")
}

fn facts(answer: &ExplainResponse, key: &Key) -> (String, String) {
    if answer.key.is_none() {
        return (NOTHING.to_owned(), NOTHING.to_owned());
    }
    if !answer.looked_up {
        let why = if answer.reason == "client_ip_unknown" { NOT_ASKED } else { NO_ANSWER };
        return (why.to_owned(), why.to_owned());
    }
    let ban = key.ban.as_ref().map_or(NOTHING.to_owned(), |ban| keys::whole_ban(ban, answer.now_ms));
    (ban, keys::owner(key))
}

fn because(answer: &ExplainResponse) -> String {
    let text = match answer.reason.as_str() {
        "bound" => "the address is in a network that owns the key",
        "first_use" => return format!("would be first use: {} would own it", answer.would_own),
        "network_added" => return format!("would join the owners, as {}", answer.would_own),
        "mode_off" => "nothing is judged on a route whose mode is off",
        "claim_limited" => "the key has no owner, and this network has claimed too many keys lately",
        "failsafe_open" => "the store is lost, and store.failsafe is open",
        "no_key" => "there is no key; the route or credentials.missing decides",
        "conflicting_keys" => "there is more than one key, or one place has more than one value",
        "malformed_key" => "a place for keys holds what is not exactly one",
        "ip_mismatch" => "the key belongs to another network",
        "key_banned" => "the key is banned",
        "unclaimable_network" => "the key has no owner, and this address may never be one",
        "client_ip_unknown" => "the address cannot be established",
        "not_claimed" => "the key is reserved until an operator names its network",
        "store_unavailable" => "the store is needed and does not answer",
        "deadline_exceeded" => "the store did not answer within check_deadline",
        _ => "the README says when",
    };
    text.to_owned()
}
