//! A running server: what its store says of addresses and denials.

use std::time::Duration;

use super::{Code, Report, Setup};

/// Fewer keys than this on one address may be one user's own.
const MANY: u64 = 20;

/// What a running server tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// `client_ip.source`.
    pub source: String,
    /// The request header that it reads, or nothing.
    pub header: String,
    /// `client_ip.trusted_proxies`.
    pub trusted_proxies: Vec<String>,
    /// `credentials.profile`, then `credentials.route_profiles`.
    pub profiles: Vec<String>,
    /// How callers are known.
    pub callers: String,
    /// Learned bindings.
    pub learned: u64,
    /// The networks that own the most of them, and how many.
    pub crowded: Vec<(String, u64)>,
    /// The denials of the last 24 hours.
    pub denied: Vec<Denials>,
}

/// The denials of one reason.
#[derive(Clone, Debug)]
pub struct Denials {
    /// The reason.
    pub reason: String,
    /// How many in 24 hours.
    pub count: u64,
    /// How long ago the last one was.
    pub ago: Duration,
}

impl Diagnosis {
    /// Adds to `report` what speaks for a wrong set-up. `setup` is the configuration that was read here.
    pub fn examine(&self, setup: &Setup, report: &mut Report) {
        self.config(setup, report);
        self.crowds(report);
        self.denials(Code::ClientIpUnknown, self.unknown_fix(), report);
        let fix = "if these are clients, they came from a trusted proxy or a network of client_ip.unclaimable: see both \
                   lists, and `sentinel audit list --kind denied` for the addresses; `sentinel unbind REF --to CIDR` gives \
                   such a client its key";
        self.denials(Code::UnclaimableNetwork, fix.to_owned(), report);
        let fix = "Envoy's initial_metadata must send the content of listen.caller_token_file as x-sentinel-token, once; if it \
                   does, somebody else reaches listen.grpc: close it to all but Envoy";
        self.denials(Code::CallerRejected, fix.to_owned(), report);
        let fix = "see the routes' context_extensions: only sentinel.profile (one of credentials.route_profiles) and \
                   sentinel.missing (deny, allow) are known, each once; and only Envoy's HTTP filter may ask";
        self.denials(Code::MalformedRequest, fix.to_owned(), report);
    }

    fn config(&self, setup: &Setup, report: &mut Report) {
        let code = Code::ConfigDiffers;
        report.looked_at(code);
        let Setup { client_ip, credentials, callers, .. } = setup;
        let proxies: Vec<_> = client_ip.trusted_proxies.iter().map(ToString::to_string).collect();
        let here = [
            ("client_ip.source", client_ip.source.as_str().to_owned()),
            ("client_ip.header", client_ip.header().unwrap_or_default().to_owned()),
            ("client_ip.trusted_proxies", proxies.join(", ")),
            ("the profiles", credentials.names().collect::<Vec<_>>().join(", ")),
            ("how callers are known", callers.as_str().to_owned()),
        ];
        let (proxies, profiles) = (self.trusted_proxies.join(", "), self.profiles.join(", "));
        let server = [&self.source, &self.header, &proxies, &profiles, &self.callers];
        let pairs = here.iter().zip(server).filter(|((_, here), there)| here != *there);
        let differing: Vec<_> =
            pairs.map(|((name, here), there)| format!("{name} is {there:?} there, {here:?} here")).collect();
        if !differing.is_empty() {
            let fix = "restart `sentinel serve` if its configuration was changed; else give doctor the same --config and \
                       environment, since it compared Envoy's files with what it read here";
            report.warning(code, format!("the running server has other settings: {}", differing.join("; ")), fix);
        }
    }

    fn crowds(&self, report: &mut Report) {
        let code = Code::ManyKeysOnOneNetwork;
        report.looked_at(code);
        let crowds = self.crowded.iter().filter(|(_, keys)| *keys >= MANY && keys.saturating_mul(2) >= self.learned);
        for (network, keys) in crowds {
            let address = match self.source.as_str() {
                "peer" => format!(
                    "if {network} is a proxy in front of Envoy, set client_ip.source = \"metadata\" and \
                     client_ip.trusted_proxies = [\"{network}\"], with envoy/envoy-behind-proxy.yaml or \
                     envoy/envoy-proxy-protocol.yaml"
                ),
                _ => format!("if {network} is a proxy's, add it to client_ip.trusted_proxies"),
            };
            let seen = format!("{network} owns {keys} of {} learned keys: your proxy's, probably", self.learned);
            let fix = format!(
                "{address}; then `sentinel unbind REF --open` for each key of `sentinel bindings list --network {network}`. \
                 Until it is clear, client_ip.unclaimable = [\"{network}\"] stops more of it. If these are one user's keys, \
                 or one office's, nothing is wrong"
            );
            report.warning(code, seen, fix);
        }
    }

    fn denials(&self, code: Code, fix: String, report: &mut Report) {
        report.looked_at(code);
        let Some(Denials { count, ago, .. }) = self.denied.iter().find(|denied| denied.reason == code.as_str()) else {
            return;
        };
        let ago = humantime::format_duration(Duration::from_secs(ago.as_secs()));
        let seen = format!("{count} denials with {code} in the last 24 hours, the last {ago} ago");
        report.warning(code, seen, fix);
    }

    fn unknown_fix(&self) -> String {
        let trusted = self.trusted_proxies.join(", ");
        let fix = match self.source.as_str() {
            "peer" => {
                "client_ip.source = \"peer\" needs a peer with an IP address: let Envoy's listener be on TCP, not on a pipe or \
                 an internal listener"
                    .to_owned()
            }
            "metadata" => format!(
                "Envoy must send initial_metadata x-client-ip and x-peer-ip (see envoy/envoy-behind-proxy.yaml), and every \
                 proxy in front of it must be in client_ip.trusted_proxies (now {trusted}), and no client"
            ),
            "xff" => format!(
                "every proxy of the chain must be in client_ip.trusted_proxies (now {trusted}), and no client; each must write \
                 a bare address into x-forwarded-for"
            ),
            _ => format!(
                "the peer must be in client_ip.trusted_proxies (now {trusted}) and send {} once, with a bare address; no \
                 filter of Envoy's may remove it",
                self.header
            ),
        };
        format!(
            "{fix}. `sentinel doctor --envoy FILE` checks Envoy's file, `sentinel explain` a request. Who goes around the \
             proxies is denied so too, and then nothing is wrong"
        )
    }
}
