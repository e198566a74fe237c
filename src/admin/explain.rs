//! What a Check with this request would be answered, step by step.
//!
//! The steps are the decision's own: [`Resolver::find`], [`Credentials::explain`] and [`Engine::explain`] are the code
//! that a Check runs, the last one short of the claim.
//!
//! [`Resolver::find`]: crate::client_ip::Resolver::find
//! [`Credentials::explain`]: crate::credential::Credentials::explain
//! [`Engine::explain`]: crate::engine::Engine::explain

use std::net::IpAddr;

use tokio::time::Instant;
use tonic::Status;
use zeroize::Zeroizing;

use super::{Operations, api, head::Head, request::invalid, response};
use crate::{
    client_ip::{AddressInputs, Found, Origin, Source, Unknown, once},
    credential::{Profile, Seen},
    domain::{Fingerprint, Missing, Mode, Reason, Timestamp, event::DecisionId},
    engine::{Explained, Request},
    store::{KeyRow, Life},
};

/// What Envoy may be told to send of addresses.
const METADATA: [&str; 2] = ["x-client-ip", "x-peer-ip"];

pub(super) async fn explain(
    operations: &Operations,
    request: api::ExplainRequest,
) -> Result<api::ExplainResponse, Status> {
    let api::ExplainRequest { head, peer, metadata, profile, missing, mode } = request;
    let head = Zeroizing::new(head);
    let head = Head::parse(&head).map_err(|why| invalid("head", why))?;
    let profile = route_profile(operations, &profile)?;
    let settings = operations.settings.load();
    let missing = route_missing(&missing)?.unwrap_or(settings.missing);
    let mode = route_mode(&mode)?.unwrap_or(settings.mode);
    check_addresses(&peer, &metadata)?;
    let entry = |name| once(metadata.iter().filter(|entry| entry.name.eq_ignore_ascii_case(name)));
    let lines = operations.client_ip.header().map(|name| head.values(name)).unwrap_or_default();
    let found = operations.client_ip.find(&AddressInputs {
        peer: Some(peer.as_str()).filter(|peer| !peer.is_empty()),
        resolved: entry("x-client-ip").map(|entry| entry.value.as_str()),
        direct_peer: entry("x-peer-ip").map(|entry| entry.value.as_str()),
        lines: &lines,
    });
    let (key, carriers) = operations.credentials.explain(profile, head.iter(), head.path);
    let ip = found.as_ref().ok().map(|found| found.client);
    let shown = key.as_ref().ok().and_then(Option::as_ref).map(|key| operations.ring.fingerprint(key));
    let key = if ip.is_some() { key.map_err(|fault| fault.reason()) } else { Err(Reason::ClientIpUnknown) };
    let request = Request { ip, key, missing, mode, decision_id: DecisionId(rand::random()) };
    let now = Instant::now();
    let explained = operations.engine.explain(&settings, &request, now, now + settings.check_deadline).await;
    let key = shown.map(|key| row(operations, key, &explained));
    Ok(api::ExplainResponse {
        address: Some(address(&operations.client_ip.source, found)),
        profile: profile.name.to_owned(),
        carriers: carriers.into_iter().map(carrier).collect(),
        key,
        looked_up: explained.facts.is_some(),
        allowed: explained.allowed,
        reason: explained.reason.to_string(),
        would_own: explained.would_own.map(|network| network.to_string()).unwrap_or_default(),
        now_ms: operations.now().map_or(0, Timestamp::as_millis),
        mode: mode.to_string(),
        would_deny: explained.would_deny,
    })
}

/// A route with another profile denies everything as `malformed_request`, whatever the request.
fn route_profile<'a>(operations: &'a Operations, name: &str) -> Result<&'a Profile, Status> {
    let credentials = &operations.credentials;
    if name.is_empty() {
        return Ok(&credentials.profile);
    }
    credentials.for_route(name).ok_or_else(|| {
        let all: Vec<_> = credentials.names().collect();
        let why = "a route that names it is malformed_request; credentials.profile and credentials.route_profiles are";
        invalid("profile", format_args!("{why} {}", all.join(", ")))
    })
}

fn route_missing(word: &str) -> Result<Option<Missing>, Status> {
    match word {
        "" => Ok(None),
        word => Missing::from_word(word).map(Some).ok_or_else(|| invalid("missing", "must be deny or allow")),
    }
}

fn route_mode(word: &str) -> Result<Option<Mode>, Status> {
    match word {
        "" => Ok(None),
        word => Mode::from_word(word).map(Some).ok_or_else(|| invalid("mode", "must be enforce, observe or off")),
    }
}

fn check_addresses(peer: &str, metadata: &[api::Metadata]) -> Result<(), Status> {
    if !peer.is_empty() && peer.parse::<IpAddr>().is_err() {
        return Err(invalid("peer", "must be an IP address without a port, such as 203.0.113.7"));
    }
    match metadata.iter().all(|entry| METADATA.iter().any(|name| entry.name.eq_ignore_ascii_case(name))) {
        true => Ok(()),
        false => Err(invalid("metadata", "no such entry is read; there are x-client-ip and x-peer-ip")),
    }
}

/// The key as the engine saw it; where no row says how it is called, as a new row would.
fn row(operations: &Operations, fingerprint: Fingerprint, explained: &Explained) -> api::Key {
    let key_id = explained.key_id.unwrap_or_else(|| fingerprint.digest.new_id());
    let (hint, facts) = (fingerprint.hint, explained.facts.clone().unwrap_or_default());
    let row = KeyRow { key_id, hint, facts, life: Life::default(), refused: Vec::new() };
    response::key(&row, operations.now().unwrap_or(Timestamp::from_millis(0)))
}

fn address(source: &Source, found: Result<Found<'_>, Unknown>) -> api::ExplainedAddress {
    let (client, written, how) = match found {
        Ok(Found { client, written, origin }) => {
            let written = String::from_utf8_lossy(written.trim_ascii()).into_owned();
            (client.to_string(), written, place(source, origin))
        }
        Err(unknown) => (String::new(), String::new(), unknown.to_string()),
    };
    api::ExplainedAddress { source: source.as_str().to_owned(), client, written, how }
}

fn place(source: &Source, origin: Origin) -> String {
    match (origin, source) {
        (Origin::Peer, Source::Xff) => {
            "the connection's peer, who is no trusted proxy, so x-forwarded-for is not read".to_owned()
        }
        (Origin::Peer, _) => "the connection's peer".to_owned(),
        (Origin::Metadata, _) => "the metadata x-client-ip".to_owned(),
        (Origin::Hop(hop), _) => format!("entry {hop} of x-forwarded-for, counted from the right"),
        (Origin::Header, Source::Header(name)) => format!("the header {name}"),
        (Origin::Header, _) => "a header".to_owned(),
    }
}

fn carrier(Seen { carrier, form, what }: Seen) -> api::ExplainedCarrier {
    api::ExplainedCarrier { carrier, form: form.to_owned(), holds: what.as_str().to_owned() }
}
