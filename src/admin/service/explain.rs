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
use zeroize::Zeroizing;

use super::{Address, Error, FieldError, Operation, Principal, Service, head::Head};
use crate::{
    client_ip::{AddressInputs, exactly_one},
    credential::ExplainedCarrier,
    domain::{Fingerprint, Missing, Mode, Reason, Timestamp, event::DecisionId},
    engine::{Explained, Request},
    store::{KeyRow, Life},
};

/// What Envoy may be told to send of addresses.
const METADATA: [&str; 2] = ["x-client-ip", "x-peer-ip"];

/// A request to explain, and the route's settings where they are not the configured ones. No `Debug`: it may hold keys,
/// which are wiped from memory with it.
pub(crate) struct Explain {
    /// The head of an HTTP/1.1 request as Envoy has it, at most 64 KiB.
    pub(crate) head: Zeroizing<Vec<u8>>,
    /// The address of the connection's peer, without a port; `None` if it has none, as a pipe.
    pub(crate) peer: Option<String>,
    /// What Envoy's `initial_metadata` would send, names and values.
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) profile: Option<String>,
    pub(crate) missing: Option<String>,
    pub(crate) mode: Option<String>,
}

/// What this process would decide, and by what.
pub(crate) struct Explanation {
    pub(crate) address: Address,
    /// The profile that read the key.
    pub(crate) profile: &'static str,
    /// The carriers that are there, in the profile's order.
    pub(crate) carriers: Vec<ExplainedCarrier>,
    /// The key as the store has it; without a row the id is the one that a row would get. `None` if the carriers hold no
    /// single key.
    pub(crate) key: Option<KeyRow>,
    pub(crate) decision: Explained,
    /// The mode that it was judged in.
    pub(crate) mode: Mode,
    /// The store's clock, once it was heard.
    pub(crate) now: Option<Timestamp>,
}

impl Service {
    /// What this process would decide of a request. Claims nothing, audits nothing.
    pub(crate) async fn explain(&self, by: &Principal, command: Explain) -> Result<Explanation, Error> {
        by.authorise(Operation::Read)?;
        let Explain { head, peer, metadata, profile, missing, mode } = &command;
        let head = Head::parse(head).map_err(|why| FieldError::new("head", why))?;
        let unknown =
            "a route that names it is malformed_request; credentials.profile and credentials.route_profiles are";
        let profile = self.profile("profile", profile.as_deref(), unknown)?;
        let settings = self.settings.load();
        let missing = route_word("missing", missing.as_deref(), Missing::from_word, "must be deny or allow")?;
        let mode = route_word("mode", mode.as_deref(), Mode::from_word, "must be enforce, observe or off")?;
        let (missing, mode) = (missing.unwrap_or(settings.missing), mode.unwrap_or(settings.mode));
        check_addresses(peer.as_deref(), metadata)?;
        let entry = |name| exactly_one(metadata.iter().filter(|(entry, _)| entry.eq_ignore_ascii_case(name)));
        let lines = self.client_ip.header().map(|name| head.values(name)).unwrap_or_default();
        let found = self.client_ip.find(&AddressInputs {
            peer: peer.as_deref(),
            resolved: entry("x-client-ip").map(|(_, value)| value.as_str()),
            direct_peer: entry("x-peer-ip").map(|(_, value)| value.as_str()),
            lines: &lines,
        });
        let (key, carriers) = self.credentials.explain(profile, head.iter(), head.path);
        let ip = found.as_ref().ok().map(|found| found.client);
        let shown = key.as_ref().ok().and_then(Option::as_ref).map(|key| self.ring.fingerprint(key));
        let key = if ip.is_some() { key.map_err(|fault| fault.reason()) } else { Err(Reason::ClientIpUnknown) };
        let request = Request { ip, key, missing, mode, decision_id: DecisionId(rand::random()) };
        let now = Instant::now();
        let decision = self.engine.explain(&settings, &request, now, now + settings.check_deadline).await;
        Ok(Explanation {
            address: Address::new(&self.client_ip.source, found),
            profile: profile.name,
            carriers,
            key: shown.map(|key| row(key, &decision)),
            decision,
            mode,
            now: self.time(),
        })
    }
}

/// The key as the engine saw it; where no row says how it is called, as a new row would.
fn row(fingerprint: Fingerprint, decision: &Explained) -> KeyRow {
    let key_id = decision.key_id.unwrap_or_else(|| fingerprint.digest.new_id());
    let (hint, facts) = (fingerprint.hint, decision.facts.clone().unwrap_or_default());
    KeyRow { key_id, hint, facts, life: Life::default(), refused: Vec::new() }
}

fn route_word<T>(
    field: &'static str,
    word: Option<&str>,
    read: fn(&str) -> Option<T>,
    must: &str,
) -> Result<Option<T>, FieldError> {
    word.map(|word| read(word).ok_or_else(|| FieldError::new(field, must))).transpose()
}

fn check_addresses(peer: Option<&str>, metadata: &[(String, String)]) -> Result<(), FieldError> {
    if peer.is_some_and(|peer| peer.parse::<IpAddr>().is_err()) {
        return Err(FieldError::new("peer", "must be an IP address without a port, such as 203.0.113.7"));
    }
    match metadata.iter().all(|(entry, _)| METADATA.iter().any(|name| entry.eq_ignore_ascii_case(name))) {
        true => Ok(()),
        false => Err(FieldError::new("metadata", "no such entry is read; there are x-client-ip and x-peer-ip")),
    }
}
