//! Explains step by step how a Check with this request would be decided.
//!
//! [`Resolver::find`], [`Credentials::explain`] and [`Engine::explain`] are the code that a Check runs, except that the
//! last one does not claim.
//!
//! [`Resolver::find`]: crate::client_ip::Resolver::find
//! [`Credentials::explain`]: crate::credential::Credentials::explain
//! [`Engine::explain`]: crate::engine::Engine::explain

use std::{net::IpAddr, sync::Arc};

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{Address, Error, FieldError, Operation, Principal, Service, head::Head};
use crate::{
    client_ip::{AddressInputs, exactly_one},
    credential::ExplainedCarrier,
    domain::{Fingerprint, Missing, Mode, Reason, Timestamp, event::DecisionId},
    engine::{Explained, Request},
    store::{BindingDetails, KeyRow},
};

/// The metadata with addresses that Envoy may be configured to send.
const METADATA: [&str; 2] = ["x-client-ip", "x-peer-ip"];

/// A request to explain, and the route's overrides. Not `Debug`, because it may contain keys. Zeroed on drop.
pub(crate) struct Explain {
    /// The head of an HTTP/1.1 request as Envoy has it, at most 64 KiB.
    pub(crate) head: Zeroizing<Vec<u8>>,
    /// The address of the connection's peer, without a port; `None` if it has none, such as a pipe.
    pub(crate) peer: Option<String>,
    /// Names and values that Envoy's `initial_metadata` would send.
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) profile: Option<String>,
    pub(crate) missing: Option<String>,
    pub(crate) mode: Option<String>,
}

/// What this process would decide, and why.
pub(crate) struct Explanation {
    pub(crate) address: Address,
    /// The profile that read the key.
    pub(crate) profile: &'static str,
    /// The carriers that are present, in the profile's order.
    pub(crate) carriers: Vec<ExplainedCarrier>,
    /// The key as the store has it; without a row, the id is that of a new row. `None` if the carriers do not hold
    /// exactly one key.
    pub(crate) key: Option<KeyRow>,
    pub(crate) decision: Explained,
    /// The mode of the decision.
    pub(crate) mode: Mode,
    /// The store's clock; `None` if the store was not reached yet.
    pub(crate) now: Option<Timestamp>,
}

impl Service {
    /// What this process would decide about a request. Claims nothing and audits nothing.
    pub(crate) async fn explain(&self, by: &Principal, command: Explain) -> Result<Explanation, Error> {
        by.authorise(Operation::Read)?;
        let Explain { head, peer, metadata, profile, missing, mode } = &command;
        let head = Head::parse(head).map_err(|why| FieldError::new("head", why))?;
        let unknown = "is not configured, so a request on a route with it is malformed_request; credentials.profile and \
             credentials.route_profiles are";
        let profile = self.profile("profile", profile.as_deref(), unknown)?;
        let settings = Arc::clone(&self.settings.load());
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
        let fingerprint = key.as_ref().ok().and_then(Option::as_ref).map(|key| self.ring.fingerprint(key));
        let key = if ip.is_some() { key.map_err(|fault| fault.reason()) } else { Err(Reason::ClientIpUnknown) };
        let request = Request { ip, key, missing, mode, decision_id: DecisionId(rand::random()) };
        let now = Instant::now();
        let decision = self.engine.explain(&settings, &request, now, now + settings.check_deadline).await;
        Ok(Explanation {
            address: Address::new(&self.client_ip.source, found),
            profile: profile.name,
            carriers,
            key: fingerprint.map(|key| row(key, &decision)),
            decision,
            mode,
            now: self.time(),
        })
    }
}

/// The key as the engine found it; without a row, with the id of a new row.
fn row(fingerprint: Fingerprint, decision: &Explained) -> KeyRow {
    let key_id = decision.key_id.unwrap_or_else(|| fingerprint.digest.new_id());
    let (hint, facts) = (fingerprint.hint, decision.facts.clone().unwrap_or_default());
    KeyRow { key_id, hint, facts, details: BindingDetails::default(), refused: Vec::new() }
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
        false => Err(FieldError::new("metadata", "only x-client-ip and x-peer-ip are read")),
    }
}
