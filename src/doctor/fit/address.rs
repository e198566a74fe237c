//! Whether what Envoy takes for the client is what `client_ip.source` believes.

use std::collections::BTreeSet;

use super::{
    case::Case,
    walk::{config, inside},
};
use crate::{
    client_ip::Source,
    doctor::{Code, Report, yaml::Node},
    domain::Network,
};

/// The one header that Envoy itself writes.
const EXTERNAL: &str = "x-envoy-external-address";

const USE_METADATA: &str = "client_ip.source = \"metadata\" with client_ip.trusted_proxies, and both initial_metadata entries of \
                            envoy/envoy-behind-proxy.yaml";

impl Case<'_> {
    pub(super) fn addresses(&self, report: &mut Report) {
        let Some(manager) = self.around.manager else { return };
        report.looked_at(Code::EnvoyClientAddress);
        match &self.setup.client_ip.source {
            Source::Peer => self.peer(manager, report),
            Source::Metadata => self.resolved(manager, report),
            // The walk begins at the peer, whatever Envoy makes of the chain.
            Source::Xff => {}
            Source::Header(name) => self.header(name, manager, report),
        }
        if self.setup.client_ip.source != Source::Metadata
            && let Some(proxied) = self.around.proxy_protocol
        {
            let source = self.setup.client_ip.source.as_str();
            let seen = format!(
                "{}: the PROXY header of everyone who reaches the listener is believed, and client_ip.source = {source:?} \
                 cannot tell who sent it",
                self.at(proxied)
            );
            report.warning(Code::EnvoyClientAddress, seen, USE_METADATA.replace("behind-proxy", "proxy-protocol"));
        }
    }

    /// The peer is whoever connects: with a proxy in front, the proxy.
    fn peer(&self, manager: &Node, report: &mut Report) {
        let hops = manager.get("xff_num_trusted_hops").filter(|node| node.text() != Some("0"));
        let detection = manager.get("original_ip_detection_extensions").filter(|_| detects(manager));
        let Some(sign) = hops.or(detection) else { return };
        let seen = format!(
            "{}: this Envoy is behind a proxy, so with client_ip.source = \"peer\" every client has the proxy's address: the \
             first owns nothing and all share",
            self.at(sign)
        );
        report.error(Code::EnvoyClientAddress, seen, USE_METADATA);
    }

    /// Metadata is as good as Envoy's own resolution.
    fn resolved(&self, manager: &Node, report: &mut Report) {
        let code = Code::EnvoyClientAddress;
        let is_partial = self.around.partial;
        let remote = manager.says("use_remote_address");
        if !remote && !detects(manager) {
            if is_partial {
                return;
            }
            let at = self.at(manager.get("use_remote_address").unwrap_or(manager));
            let seen = format!(
                "{at}: use_remote_address is not true and there is no original_ip_detection_extensions: what Envoy sends as \
                 x-client-ip is whatever the client wrote into x-forwarded-for"
            );
            let fix = "original_ip_detection_extensions with xff_trusted_cidrs, as in envoy/envoy-behind-proxy.yaml; behind the \
                       PROXY protocol use_remote_address: true, as in envoy/envoy-proxy-protocol.yaml";
            return report.error(code, seen, fix);
        }
        let hops = manager.text_of("xff_num_trusted_hops").is_some_and(|hops| hops != "0");
        if !hops && !detects(manager) && self.around.proxy_protocol.is_none() && !is_partial {
            let seen = format!(
                "{}: nothing here resolves a client behind a proxy, so the proxy is everybody's address and denied \
                 (client_ip_unknown)",
                self.at(manager)
            );
            let fix = "without a proxy in front, client_ip.source = \"peer\"; with one, envoy/envoy-behind-proxy.yaml or \
                       envoy/envoy-proxy-protocol.yaml";
            report.error(code, seen, fix);
        }
    }

    fn header(&self, name: &str, manager: &Node, report: &mut Report) {
        let code = Code::EnvoyClientAddress;
        if let Some((at, remover)) = self.order.first_remover
            && self.position(manager).is_some_and(|ours| at < ours)
        {
            let seen = format!(
                "{}: this filter removes {name} before Sentinel can read it: everybody is denied",
                self.at(remover)
            );
            report.error(code, seen, format!("leave {name} out of what is removed there"));
        }
        if name == EXTERNAL && !self.around.partial && (!manager.says("use_remote_address") || detects(manager)) {
            let seen = format!("{}: Envoy writes {EXTERNAL} only under use_remote_address: true", self.at(manager));
            let fix =
                "use_remote_address: true without original_ip_detection_extensions, or client_ip.source = \"metadata\"";
            report.error(code, format!("{seen}; here it is whatever the client sends"), fix);
        }
    }

    /// Two lists that must be one: Envoy takes the client out of the chain by its own.
    pub(super) fn trusted(&self, report: &mut Report) {
        let Some(manager) = self.around.manager else { return };
        let code = Code::EnvoyTrustedProxies;
        let Some(cidrs) = detections(manager).find_map(|config| config.get("xff_trusted_cidrs")) else { return };
        report.looked_at(code);
        let envoys: BTreeSet<_> = cidrs.items("cidrs").iter().filter_map(network).collect();
        let ours: BTreeSet<_> = self.setup.client_ip.trusted_proxies.iter().copied().collect();
        if envoys == ours || self.setup.client_ip.source == Source::Peer {
            return;
        }
        let list =
            |networks: BTreeSet<Network>| networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let only = [("xff_trusted_cidrs", &envoys - &ours), ("client_ip.trusted_proxies", &ours - &envoys)];
        let only = only.into_iter().filter(|(_, networks)| !networks.is_empty());
        let only: Vec<_> = only.map(|(name, networks)| format!("only {name} has {}", list(networks))).collect();
        let seen =
            format!("{}: {}; clients behind those are denied, or seen as the proxy", self.at(cidrs), only.join(", "));
        report.error(code, seen, "write the same networks into both: all proxies of the chain, and no clients");
    }
}

fn detects(manager: &Node) -> bool {
    !manager.items("original_ip_detection_extensions").is_empty()
}

fn detections(manager: &Node) -> impl Iterator<Item = &Node> {
    manager.items("original_ip_detection_extensions").iter().filter_map(config).map(inside)
}

/// A `CidrRange`. Envoy ignores host bits, so they are no difference.
fn network(range: &Node) -> Option<Network> {
    let (address, length) = (range.text_of("address_prefix")?, range.text_of("prefix_len").unwrap_or("0"));
    let net = ipnet::IpNet::new(address.parse().ok()?, length.parse().ok()?).ok()?;
    net.trunc().to_string().parse().ok()
}
