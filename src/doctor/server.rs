//! A running server: its configuration, the owners of its keys and its denials.

use std::time::Duration;

use super::{Code, Report, Setup};
use crate::domain::Network;

/// Fewer keys than this may belong to one user.
const MANY_KEYS: u64 = 20;

/// The facts that a running server reports.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// `client_ip.source`.
    pub source: String,
    /// `client_ip.header`, or empty.
    pub header: String,
    /// `client_ip.trusted_proxies`.
    pub trusted_proxies: Vec<String>,
    /// `client_ip.trusted_hops`.
    pub trusted_hops: Vec<String>,
    /// `credentials.profile`, then `credentials.route_profiles`.
    pub profiles: Vec<String>,
    /// How callers are authenticated.
    pub callers: String,
    /// The number of learned bindings.
    pub learned: u64,
    /// The networks that own the most learned bindings, and how many each.
    pub crowded: Vec<(String, u64)>,
    /// The denials of the last 24 hours.
    pub denied: Vec<Denials>,
}

/// The denials of one reason.
#[derive(Clone, Debug)]
pub struct Denials {
    /// The reason.
    pub reason: String,
    /// The number in the last 24 hours.
    pub count: u64,
    /// The age of the last one.
    pub ago: Duration,
}

impl Diagnosis {
    /// Adds the findings about the server to `report`. `setup` is the configuration that doctor read.
    pub fn check(&self, setup: &Setup, report: &mut Report) {
        self.check_config(setup, report);
        self.check_crowded_networks(report);
        self.check_denials(Code::ClientIpUnknown, self.client_ip_fix(), report);
        let fix = "these requests came from a trusted proxy or from a network of client_ip.unclaimable: check both lists, and \
                   `sentinel audit list --kind denied` for the addresses; if an address is a client's, `sentinel bindings \
                   claim --key-file FILE CIDR` gives it its key";
        self.check_denials(Code::UnclaimableNetwork, fix.to_owned(), report);
        let fix = "Envoy's initial_metadata must send the content of listen.caller_token_file as x-sentinel-token, once; if it \
                   does, another host calls listen.grpc: allow only Envoy to connect to it";
        self.check_denials(Code::CallerRejected, fix.to_owned(), report);
        let fix = "check the routes' context_extensions: only sentinel.profile (one of credentials.route_profiles), \
                   sentinel.missing (deny, allow) and sentinel.mode (enforce, observe, off) are valid, each once; only \
                   Envoy's HTTP filter may call Sentinel";
        self.check_denials(Code::MalformedRequest, fix.to_owned(), report);
    }

    fn check_config(&self, setup: &Setup, report: &mut Report) {
        let code = Code::ConfigDiffers;
        report.mark_checked(code);
        let Setup { client_ip, credentials, callers, .. } = setup;
        let list = |networks: &[Network]| networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let here = [
            ("client_ip.source", client_ip.source.as_str().to_owned()),
            ("client_ip.header", client_ip.header().unwrap_or_default().to_owned()),
            ("client_ip.trusted_proxies", list(&client_ip.trusted_proxies)),
            ("client_ip.trusted_hops", list(client_ip.trusted_hops())),
            ("the profiles", credentials.names().collect::<Vec<_>>().join(", ")),
            ("the authentication of callers", callers.as_str().to_owned()),
        ];
        let [proxies, hops, profiles] =
            [&self.trusted_proxies, &self.trusted_hops, &self.profiles].map(|list| list.join(", "));
        let server = [&self.source, &self.header, &proxies, &hops, &profiles, &self.callers];
        let pairs = here.iter().zip(server).filter(|((_, here), running)| here != *running);
        let differing: Vec<_> =
            pairs.map(|((name, here), running)| format!("{name} is {running:?} there, {here:?} here")).collect();
        if !differing.is_empty() {
            let fix = "if the configuration was changed, restart `sentinel serve`; otherwise run doctor with the server's \
                       --config and environment, because it compares Envoy's files with the configuration that it reads";
            report.warning(code, format!("the running server has different settings: {}", differing.join("; ")), fix);
        }
    }

    fn check_crowded_networks(&self, report: &mut Report) {
        let code = Code::ManyKeysOnOneNetwork;
        report.mark_checked(code);
        let crowded =
            self.crowded.iter().filter(|(_, keys)| *keys >= MANY_KEYS && keys.saturating_mul(2) >= self.learned);
        for (network, keys) in crowded {
            let source = match self.source.as_str() {
                "peer" => format!(
                    "if {network} is a proxy in front of Envoy, set client_ip.source = \"metadata\" and \
                     client_ip.trusted_proxies = [\"{network}\"], with envoy/envoy-behind-proxy.yaml or \
                     envoy/envoy-proxy-protocol.yaml"
                ),
                _ => format!("if {network} belongs to a proxy, add it to client_ip.trusted_proxies"),
            };
            let seen =
                format!("{network} owns {keys} of {} learned keys: probably the address of a proxy", self.learned);
            let fix = format!(
                "{source}; then `sentinel unbind REF --open` for each key of `sentinel bindings list --network {network}`. \
                 Until then, client_ip.unclaimable = [\"{network}\"] prevents further first uses from it. If the keys belong \
                 to one user or one office, ignore this finding"
            );
            report.warning(code, seen, fix);
        }
    }

    fn check_denials(&self, code: Code, fix: String, report: &mut Report) {
        report.mark_checked(code);
        let Some(Denials { count, ago, .. }) = self.denied.iter().find(|denied| denied.reason == code.as_str()) else {
            return;
        };
        let ago = humantime::format_duration(Duration::from_secs(ago.as_secs()));
        let denials = if *count == 1 { "denial" } else { "denials" };
        let seen = format!("{count} {denials} with {code} in the last 24 hours, the last {ago} ago");
        report.warning(code, seen, fix);
    }

    fn client_ip_fix(&self) -> String {
        let trusted = self.trusted_proxies.join(", ");
        let fix = match self.source.as_str() {
            "peer" => {
                "client_ip.source = \"peer\" needs a peer with an IP address: use a TCP listener in Envoy, not a pipe or an \
                 internal listener"
                    .to_owned()
            }
            "metadata" => format!(
                "Envoy must send initial_metadata x-client-ip and x-peer-ip (see envoy/envoy-behind-proxy.yaml); \
                 client_ip.trusted_proxies (now {trusted}) must hold every proxy in front of Envoy, and no client"
            ),
            "xff" => format!(
                "client_ip.trusted_proxies (now {trusted}) must hold every proxy that connects to Envoy, client_ip.trusted_hops \
                 (now {hops}) every proxy behind those, and neither a client; each proxy must write an address into \
                 x-forwarded-for",
                hops = if self.trusted_hops.is_empty() { "empty".to_owned() } else { self.trusted_hops.join(", ") },
            ),
            _ => format!(
                "the peer must be in client_ip.trusted_proxies (now {trusted}) and send {} once, with a bare address; no Envoy \
                 filter may remove it",
                self.header
            ),
        };
        format!(
            "{fix}. `sentinel doctor --envoy FILE` checks Envoy's file, `sentinel explain` a request. Clients that bypass the \
             proxies get the same denial, which is correct"
        )
    }
}
