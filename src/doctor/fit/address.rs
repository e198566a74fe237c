//! Whether Envoy's client address is the address that `client_ip.source` reads.

use std::collections::BTreeSet;

use super::{
    case::FilterCheck,
    walk::{config, inside},
};
use crate::{
    client_ip::Source,
    doctor::{Code, Report, egress, yaml::Node},
    domain::Network,
};

/// The header with the client's address that Envoy writes.
const EXTERNAL: &str = "x-envoy-external-address";

const USE_METADATA: &str = "set client_ip.source = \"metadata\" and client_ip.trusted_proxies, and add both initial_metadata \
                            entries of envoy/envoy-behind-proxy.yaml";

impl FilterCheck<'_> {
    pub(super) fn client_address(&self, report: &mut Report) {
        let Some(manager) = self.context.manager else { return };
        report.mark_checked(Code::EnvoyClientAddress);
        match &self.setup.client_ip.source {
            Source::Peer => self.peer(manager, report),
            Source::Metadata => self.resolved(manager, report),
            // Sentinel reads the chain itself, from the peer on.
            Source::Xff { .. } => {}
            Source::Header(name) => self.header(name, manager, report),
        }
        if self.setup.client_ip.source != Source::Metadata
            && let Some(proxied) = self.context.proxy_protocol
        {
            let source = self.setup.client_ip.source.as_str();
            let seen = format!(
                "{}: Envoy believes the PROXY header of any host that can connect to the listener, and client_ip.source = \
                 {source:?} does not show which host sent it",
                self.at(proxied)
            );
            report.warning(Code::EnvoyClientAddress, seen, USE_METADATA.replace("behind-proxy", "proxy-protocol"));
        }
    }

    /// Behind a proxy, the peer is the proxy.
    fn peer(&self, manager: &Node, report: &mut Report) {
        let hops = manager.get("xff_num_trusted_hops").filter(|node| node.text() != Some("0"));
        let detection = manager.get("original_ip_detection_extensions").filter(|_| detects(manager));
        let Some(sign) = hops.or(detection) else { return };
        let seen = format!(
            "{}: this Envoy is behind a proxy, so with client_ip.source = \"peer\" all clients have one address and share \
             every key",
            self.at(sign)
        );
        report.error(Code::EnvoyClientAddress, seen, USE_METADATA);
    }

    /// The metadata is only as reliable as the address that Envoy resolved.
    fn resolved(&self, manager: &Node, report: &mut Report) {
        let code = Code::EnvoyClientAddress;
        let is_partial = self.context.partial;
        let remote = manager.has_true("use_remote_address");
        if !remote && !detects(manager) {
            if is_partial {
                return;
            }
            let at = self.at(manager.get("use_remote_address").unwrap_or(manager));
            let seen = format!(
                "{at}: use_remote_address is not true and there is no original_ip_detection_extensions: the x-client-ip that \
                 Envoy sends is the client's own x-forwarded-for"
            );
            let fix = "set original_ip_detection_extensions with xff_trusted_cidrs, as in envoy/envoy-behind-proxy.yaml; behind \
                       the PROXY protocol set use_remote_address: true, as in envoy/envoy-proxy-protocol.yaml";
            return report.error(code, seen, fix);
        }
        let hops = manager.text_of("xff_num_trusted_hops").is_some_and(|hops| hops != "0");
        if !hops && !detects(manager) && self.context.proxy_protocol.is_none() && !is_partial {
            let seen = format!(
                "{}: no field resolves the client behind a proxy, so every client has the proxy's address, and every request \
                 is denied (client_ip_unknown)",
                self.at(manager)
            );
            let fix = "without a proxy in front of Envoy, set client_ip.source = \"peer\"; with a proxy, use \
                       envoy/envoy-behind-proxy.yaml or envoy/envoy-proxy-protocol.yaml";
            report.error(code, seen, fix);
        }
    }

    fn header(&self, name: &str, manager: &Node, report: &mut Report) {
        let code = Code::EnvoyClientAddress;
        if let Some((at, remover)) = self.order.first_remover
            && self.position(manager).is_some_and(|ours| at < ours)
        {
            let seen = format!(
                "{}: this filter removes {name} before Sentinel can read it: every request is denied",
                self.at(remover)
            );
            report.error(code, seen, format!("do not remove {name} there"));
        }
        if name == EXTERNAL && !self.context.partial && (!manager.has_true("use_remote_address") || detects(manager)) {
            let seen = format!("{}: Envoy writes {EXTERNAL} only with use_remote_address: true", self.at(manager));
            let fix = "set use_remote_address: true without original_ip_detection_extensions, or client_ip.source = \"metadata\"";
            report.error(code, format!("{seen}; here the client sends it"), fix);
        }
    }

    /// Both lists must be equal: Envoy finds the client in the chain by its own list.
    pub(super) fn trusted_proxies(&self, report: &mut Report) {
        let Some(manager) = self.context.manager else { return };
        let code = Code::EnvoyTrustedProxies;
        let Some(cidrs) = detections(manager).find_map(|config| config.get("xff_trusted_cidrs")) else { return };
        report.mark_checked(code);
        let envoys: BTreeSet<_> = cidrs.items("cidrs").iter().filter_map(network).collect();
        egress::check(&format!("{}: xff_trusted_cidrs", self.at(cidrs)), &envoys, report);
        let ours: BTreeSet<_> = self.setup.client_ip.trusted_proxies.iter().copied().collect();
        if envoys == ours || self.setup.client_ip.source == Source::Peer {
            return;
        }
        let list =
            |networks: BTreeSet<Network>| networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let only = [("xff_trusted_cidrs", &envoys - &ours), ("client_ip.trusted_proxies", &ours - &envoys)];
        let only = only.into_iter().filter(|(_, networks)| !networks.is_empty());
        let only: Vec<_> = only.map(|(name, networks)| format!("only {name} has {}", list(networks))).collect();
        let seen = format!(
            "{}: {}; clients behind these are denied, or get the proxy's address",
            self.at(cidrs),
            only.join(", ")
        );
        report.error(code, seen, "write the same networks into both lists: all proxies of the chain, and no clients");
    }
}

fn detects(manager: &Node) -> bool {
    !manager.items("original_ip_detection_extensions").is_empty()
}

fn detections(manager: &Node) -> impl Iterator<Item = &Node> {
    manager.items("original_ip_detection_extensions").iter().filter_map(config).map(inside)
}

/// Reads a `CidrRange`. Envoy ignores host bits, so they are cleared before the comparison.
fn network(range: &Node) -> Option<Network> {
    let (address, length) = (range.text_of("address_prefix")?, range.text_of("prefix_len").unwrap_or("0"));
    let net = ipnet::IpNet::new(address.parse().ok()?, length.parse().ok()?).ok()?;
    net.trunc().to_string().parse().ok()
}
