//! A second implementation of the rules for a whole Check, written from the manual and not from the code: slow, with a
//! copy of everything. Only protobuf itself is left to the library.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use envoy_types::pb::envoy::{
    config::core::v3::{address::Address as Kind, socket_address::PortSpecifier},
    service::auth::v3::{AttributeContext, CheckRequest, attribute_context::HttpRequest},
};
use key_ip_sentinel::credential::Fault;
use prost::Message;

use crate::{
    frame::Input,
    keys::{self, Allowed},
    strict::has_one_reading,
};

/// A scene's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) profile: &'static str,
    pub(crate) route_profiles: &'static [&'static str],
    pub(crate) jwt: bool,
    pub(crate) passthrough: &'static [&'static str],
    pub(crate) foreign: &'static [keys::Foreign],
    pub(crate) missing_allowed: bool,
    pub(crate) source: &'static str,
    pub(crate) header: &'static str,
    pub(crate) trusted: &'static [&'static str],
    pub(crate) hops: &'static [&'static str],
    /// Prefixes of 96 bits.
    pub(crate) nat64: &'static [&'static str],
    pub(crate) unclaimable: &'static [&'static str],
    pub(crate) token: Option<&'static str>,
}

/// What the answer must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) reason: &'static str,
    pub(crate) allow: bool,
    /// Only because the mode is `observe`.
    pub(crate) would_deny: bool,
    /// The canonical key, where one was found.
    pub(crate) key: Option<String>,
    pub(crate) ip: Option<IpAddr>,
    /// In whose words.
    pub(crate) profile: String,
    /// Names in the request that an allow has to remove.
    pub(crate) removed: Vec<String>,
    /// Names that an allow must not remove.
    pub(crate) kept: Vec<String>,
}

fn allowed(rules: &Rules) -> Allowed {
    Allowed { jwt: rules.jwt, passthrough: rules.passthrough, foreign: rules.foreign }
}

type Lines = Vec<(String, Vec<u8>)>;

/// The owners of each key so far, `/32` and `/64` as text, and the candidates of keys without an owner.
#[derive(Default)]
pub(crate) struct Owners {
    owner: HashMap<String, String>,
    candidates: HashMap<String, Vec<String>>,
}

/// As many networks as are remembered with one key.
const CANDIDATES: usize = 32;

impl Owners {
    /// Decides `input` and records a first use.
    pub(crate) fn judge(&mut self, rules: &Rules, input: &Input) -> Verdict {
        let mut verdict = Verdict {
            reason: "malformed_request",
            allow: false,
            would_deny: false,
            key: None,
            ip: None,
            profile: rules.profile.to_owned(),
            removed: Vec::new(),
            kept: Vec::new(),
        };
        if rules.token.is_some_and(|token| once(input, "x-sentinel-token") != Some(token)) {
            return Verdict { reason: "caller_rejected", ..verdict };
        }
        let Some(seen) = Seen::of(&input.frame) else { return verdict };
        let Some(Route { profile, missing, mode }) = seen.route(rules) else { return verdict };
        verdict.profile.clone_from(&profile);
        verdict.removed = seen.removed(&profile);
        if mode == "off" {
            // Which headers are kept depends on the key, which is read in this mode too.
            if seen.client(rules, input).is_some()
                && let Ok(Some(_)) = keys::key_with(&profile, &seen.lines, &seen.path, &allowed(rules))
            {
                let kept = keys::kept(&profile, &seen.lines, &seen.path, &allowed(rules));
                verdict.removed.retain(|name| !kept.contains(&name.as_str()));
            }
            return Verdict { reason: "mode_off", allow: true, ..verdict };
        }
        let (reason, allow) = self.decide(rules, input, &seen, &profile, missing, mode == "observe", &mut verdict);
        // In observe mode, nothing that comes this far is denied, because the fuzzer never bans.
        Verdict { reason, allow: allow || mode == "observe", would_deny: !allow && mode == "observe", ..verdict }
    }

    #[allow(clippy::too_many_arguments, reason = "all of the rules in one place")]
    fn decide(
        &mut self,
        rules: &Rules,
        input: &Input,
        seen: &Seen,
        profile: &str,
        missing: Option<bool>,
        observe: bool,
        verdict: &mut Verdict,
    ) -> (&'static str, bool) {
        let Some(ip) = seen.client(rules, input) else { return ("client_ip_unknown", false) };
        verdict.ip = Some(ip);
        let allowed = allowed(rules);
        let key = match keys::key_with(profile, &seen.lines, &seen.path, &allowed) {
            Err(Fault::Conflicting) => return ("conflicting_keys", false),
            Err(Fault::Malformed | Fault::Placeholder) => return ("malformed_key", false),
            Ok(None) => return ("no_key", missing.unwrap_or(rules.missing_allowed)),
            Ok(Some(key)) => key,
        };
        verdict.key = Some(key.clone());
        let kept = keys::kept(profile, &seen.lines, &seen.path, &allowed);
        verdict.removed.retain(|name| !kept.contains(&name.as_str()));
        let other_case = |name: &str| seen.lines.iter().any(|(it, _)| it != name && it.eq_ignore_ascii_case(name));
        verdict.kept = kept.into_iter().filter(|name| !other_case(name)).map(str::to_owned).collect();
        let network = network(ip);
        if let Some(owner) = self.owner.get(&key) {
            return if *owner == network { ("bound", true) } else { ("ip_mismatch", false) };
        }
        let candidates = self.candidates.entry(key.clone()).or_default();
        match candidates.iter().position(|candidate| *candidate == network) {
            Some(0) if observe => return ("bound", true),
            Some(_) if observe => return ("ip_mismatch", false),
            _ => {}
        }
        if never_owns(ip) || [rules.trusted, rules.hops, rules.unclaimable].concat().iter().any(|net| lies_in(ip, net))
        {
            return ("unclaimable_network", false);
        }
        if !observe {
            candidates.clear();
            self.owner.insert(key, network);
            return ("first_use", true);
        }
        if candidates.len() < CANDIDATES {
            candidates.push(network);
        }
        if candidates.len() == 1 { ("first_use", true) } else { ("ip_mismatch", false) }
    }
}

/// A metadata entry that is there once, in visible ASCII.
fn once<'a>(input: &'a Input, name: &str) -> Option<&'a str> {
    let all: Vec<&String> = input.metadata.iter().filter(|(found, _)| found == name).map(|(_, value)| value).collect();
    match all[..] {
        [value] if value.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t') => Some(value),
        _ => None,
    }
}

/// What a route's owner wrote for it.
struct Route {
    profile: String,
    missing: Option<bool>,
    mode: String,
}

/// A Check that Envoy may have sent.
struct Seen {
    attributes: AttributeContext,
    lines: Lines,
    path: Vec<u8>,
    extensions: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Seen {
    fn of(frame: &[u8]) -> Option<Self> {
        let attributes = CheckRequest::decode(frame).ok().filter(|_| has_one_reading(frame))?.attributes?;
        let http = attributes.request.clone()?.http?;
        let (lines, path) = lines_and_path(&http)?;
        Some(Self { attributes, lines, path, extensions: extensions(frame)? })
    }

    /// What the route says; `None` if it says what it may not.
    fn route(&self, rules: &Rules) -> Option<Route> {
        let ours: Vec<_> = self.extensions.iter().filter(|(name, _)| name.starts_with(b"sentinel.")).collect();
        let (mut profiles, mut missings, mut modes) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in ours {
            let value = String::from_utf8(value.clone()).ok()?;
            match (&name[..], value.as_str()) {
                (b"sentinel.profile", _) => profiles.push(value),
                (b"sentinel.missing", "allow") => missings.push(true),
                (b"sentinel.missing", "deny") => missings.push(false),
                (b"sentinel.mode", "enforce" | "observe" | "off") => modes.push(value),
                _ => return None,
            }
        }
        let profile = match &profiles[..] {
            [] => rules.profile,
            [name] => [&[rules.profile], rules.route_profiles].concat().into_iter().find(|known| known == name)?,
            _ => return None,
        };
        let once = missings.len() < 2 && modes.len() < 2;
        let mode = modes.pop().unwrap_or_else(|| "enforce".to_owned());
        once.then(|| Route { profile: profile.to_owned(), missing: missings.first().copied(), mode })
    }

    fn peer(&self) -> Option<IpAddr> {
        match self.attributes.source.clone()?.address?.address? {
            Kind::SocketAddress(address) if !matches!(address.port_specifier, Some(PortSpecifier::NamedPort(_))) => {
                address.address.parse().ok()
            }
            _ => None,
        }
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let ours = self.lines.iter().filter(|(found, _)| found == name);
        // What is not UTF-8 is not an address either.
        ours.map(|(_, value)| String::from_utf8(value.clone()).unwrap_or_else(|_| "not text".to_owned())).collect()
    }

    fn client(&self, rules: &Rules, input: &Input) -> Option<IpAddr> {
        let folded = |ip| fold(ip, rules.nat64);
        let trusted = |ip: IpAddr| rules.trusted.iter().any(|network| lies_in(ip, network));
        let written = |text: &str| address(text).map(folded);
        match rules.source {
            "peer" => self.peer().map(folded),
            "metadata" => {
                let (client, peer) = (written(once(input, "x-client-ip")?)?, written(once(input, "x-peer-ip")?)?);
                ((client == peer || trusted(peer)) && !trusted(client)).then_some(client)
            }
            "header" => {
                let peer = self.peer().map(folded)?;
                let lines = self.lines(rules.header);
                let [line] = &lines[..] else { return None };
                let client = written(line)?;
                (trusted(peer) && !trusted(client)).then_some(client)
            }
            _ => {
                let mut chain: Vec<String> = Vec::new();
                for line in self.lines("x-forwarded-for") {
                    chain.extend(line.split(',').map(str::to_owned));
                }
                let peer = self.peer().map(folded)?;
                if !trusted(peer) {
                    return Some(peer);
                }
                let mut last = written(&chain.pop()?)?;
                if last == peer {
                    last = written(&chain.pop()?)?;
                }
                while rules.hops.iter().any(|network| lies_in(last, network)) {
                    last = written(&chain.pop()?)?;
                }
                (!trusted(last)).then_some(last)
            }
        }
    }

    /// Credential headers of docs/keys-and-profiles.md that the profile does not read, and those that name another path,
    /// however they are spelled.
    fn removed(&self, profile: &str) -> Vec<String> {
        const PATHS: [&str; 2] = ["x-original-url", "x-rewrite-url"];
        let read = keys::header_names(profile);
        let listed = |name: &str| keys::CREDENTIAL_HEADERS.iter().any(|it| keys::dashes(it) == keys::dashes(name));
        let unread = |name: &str| listed(name) && !read.contains(&keys::dashes(name).as_str());
        let names = self.lines.iter().map(|(name, _)| name.clone());
        // LiteLLM takes them for Authorization.
        let longer = |name: &str| {
            profile == "litellm" && name.len() > 13 && name.to_ascii_lowercase().starts_with("authorization")
        };
        names.filter(|name| unread(name) || PATHS.contains(&keys::dashes(name).as_str()) || longer(name)).collect()
    }
}

fn lines_and_path(http: &HttpRequest) -> Option<(Lines, Vec<u8>)> {
    let raw = http.header_map.clone().unwrap_or_default().headers;
    if raw.is_empty() {
        let lines = http.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
        return Some((lines, http.path.clone().into_bytes()));
    }
    if !http.headers.is_empty() || raw.iter().any(|line| !line.value.is_empty() && !line.raw_value.is_empty()) {
        return None;
    }
    let lines: Lines =
        raw.into_iter().map(|line| (line.key, [line.value.into_bytes(), line.raw_value].concat())).collect();
    let paths: Vec<_> = lines.iter().filter(|(name, _)| name == ":path").map(|(_, value)| value.clone()).collect();
    match &paths[..] {
        [] => Some((lines, http.path.clone().into_bytes())),
        [path] => Some((lines, path.clone())),
        _ => None,
    }
}

/// The entries of `attributes.context_extensions` as they are on the wire, where a map would keep one of a kind. `None`
/// where one is written as something else than a message: the library takes that for an entry all the same.
fn extensions(frame: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    for (_, _, attributes) in fields(frame)?.into_iter().filter(|(tag, ..)| *tag == 1) {
        for (_, wire, entry) in fields(attributes)?.into_iter().filter(|(tag, ..)| *tag == 10) {
            let parts = (wire == 2).then(|| fields(entry))??;
            let text = |wanted| parts.iter().rfind(|(tag, ..)| *tag == wanted).map_or(Vec::new(), |it| it.2.to_vec());
            found.push((text(1), text(2)));
        }
    }
    Some(found)
}

/// A field's number, its wire type and, of a length-delimited one, its bytes.
pub(crate) type Field<'a> = (u64, u64, &'a [u8]);

/// The fields of a message, but for what is inside of groups.
pub(crate) fn fields(mut bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    fn varint(bytes: &mut &[u8]) -> Option<u64> {
        let mut value = 0u64;
        for shift in 0..10 {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            value |= u64::from(byte & 0x7f).checked_shl(7 * shift)?;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
    let (mut found, mut depth) = (Vec::new(), 0);
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let (tag, wire) = (key >> 3, key & 7);
        let length = match wire {
            0 => varint(&mut bytes).map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => 0,
        };
        let (field, rest) = bytes.split_at_checked(length)?;
        if depth == 0 {
            found.push((tag, wire, field));
        }
        depth += i32::from(wire == 3) - i32::from(wire == 4);
        bytes = rest;
    }
    Some(found)
}

/// As proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let port = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_digit())
            && text.trim_start_matches('0').len() <= 5
            && text.parse::<u64>().is_ok_and(|port| port <= 65_535)
    };
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    if text.starts_with('[') {
        let end = text.find(']')?;
        let ip: Ipv6Addr = text[1..end].parse().ok()?;
        let after = &text[end + 1..];
        return (after.is_empty() || (after.starts_with(':') && port(&after[1..]))).then_some(IpAddr::V6(ip));
    }
    let colon = text.find(':')?;
    let ip: IpAddr = text[..colon].parse().ok()?;
    (ip.is_ipv4() && port(&text[colon + 1..])).then_some(ip)
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// An IPv4 address in IPv6 clothes is an IPv4 address.
fn fold(ip: IpAddr, nat64: &[&str]) -> IpAddr {
    let IpAddr::V6(six) = ip else { return ip };
    let own = nat64.iter().map(|text| v6(text.split('/').next().unwrap()));
    for prefix in [v6("::ffff:0:0"), v6("64:ff9b::")].into_iter().chain(own) {
        if six.octets()[..12] == prefix.octets()[..12] {
            let [.., a, b, c, d] = six.octets();
            return IpAddr::from([a, b, c, d]);
        }
    }
    ip
}

/// What is left of an address's bits when those behind the prefix are gone.
fn prefix(ip: IpAddr, length: u32) -> Option<u128> {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()).checked_shr(32 - length),
        IpAddr::V6(ip) => ip.to_bits().checked_shr(128 - length),
    }
}

fn lies_in(ip: IpAddr, network: &str) -> bool {
    let (address, length) = network.split_once('/').unwrap();
    let (address, length): (IpAddr, u32) = (address.parse().unwrap(), length.parse().unwrap());
    address.is_ipv4() == ip.is_ipv4() && prefix(ip, length) == prefix(address, length)
}

fn network(ip: IpAddr) -> String {
    match ip {
        IpAddr::V6(six) if !six.is_loopback() => format!("64 {:?}", prefix(ip, 64)),
        _ => format!("all {ip}"),
    }
}

fn never_owns(ip: IpAddr) -> bool {
    let networks = ["0.0.0.0/32", "224.0.0.0/4", "169.254.0.0/16", "ff00::/8", "fe80::/10", "::/96", "2001::/32"];
    ip != IpAddr::V6(Ipv6Addr::LOCALHOST) && networks.iter().any(|network| lies_in(ip, network))
}
