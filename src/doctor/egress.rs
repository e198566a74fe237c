//! Proxies that a chain of addresses is read through must not be networks in which strangers run programs: a program
//! there forges the beginning of the chain, and the walk passes over the program's own address.

use super::{Code, Report, Setup};
use crate::domain::Network;

/// Networks from which programs of a provider's customers send requests, and whose they are.
const EGRESS: [(&str, &str); 1] = [
    // In the list of https://www.cloudflare.com/ips-v6/. A Worker's request to another zone comes from
    // 2a06:98c0:3600::103: https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-connecting-ip
    ("2a06:98c0::/29", "Cloudflare's customers"),
];

/// Networks in which no stranger runs a program: private ones, and those of Google's front ends
/// (https://cloud.google.com/load-balancing/docs/firewall-rules).
const CLOSED: [&str; 10] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
    "35.191.0.0/16",
    "130.211.0.0/22",
];

impl Setup {
    /// Adds the findings about `client_ip.trusted_hops` to `report`.
    pub fn check(&self, report: &mut Report) {
        let hops = self.client_ip.trusted_hops();
        if !hops.is_empty() {
            check("client_ip.trusted_hops", hops, report);
        }
    }
}

/// Checks the networks of `list`, which a walk through `x-forwarded-for` passes over.
pub(super) fn check<'a>(list: &str, networks: impl IntoIterator<Item = &'a Network>, report: &mut Report) {
    let code = Code::StrangersInProxies;
    report.mark_checked(code);
    for network in networks {
        if let Some((egress, owners)) = EGRESS.into_iter().find(|(egress, _)| is(egress, |it| it.overlaps(*network))) {
            let seen = format!(
                "{list} contains {network}: programs of {owners} send requests from {egress}, and each can choose its address"
            );
            let fix = "remove the network; for a CDN use the recipe of docs/client-address.md, which reads the CDN's own header";
            report.error(code, seen, fix);
        } else if is_wide_and_public(*network) {
            let seen = format!("{list} contains {network}: any program in this public network can choose its address");
            let fix = "list only proxies of your own; if every address of the network is one, ignore this finding";
            report.warning(code, seen, fix);
        }
    }
}

/// Whether the network is larger than the smallest that the internet routes (RFC 7454, section 6.1.3): it is rarely one
/// operator's.
fn is_wide_and_public(network: Network) -> bool {
    let smallest = if network.net().addr().is_ipv4() { 24 } else { 48 };
    network.net().prefix_len() < smallest && !CLOSED.into_iter().any(|closed| is(closed, |it| it.covers(network)))
}

fn is(text: &str, what: impl Fn(Network) -> bool) -> bool {
    text.parse().is_ok_and(what)
}
