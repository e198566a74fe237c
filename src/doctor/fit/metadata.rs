//! The metadata of each call, which only Envoy's configuration can set.

use super::case::FilterCheck;
use crate::{
    client_ip::Source,
    doctor::{Code, Report, yaml::Node},
    net::caller::Callers,
};

/// The entries that `client_ip.source = "metadata"` reads, and Envoy's operators for each, without and with a port.
/// Both are valid.
const ADDRESSES: [(&str, [&str; 2]); 2] = [
    ("x-client-ip", ["%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_REMOTE_ADDRESS%"]),
    ("x-peer-ip", ["%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"]),
];

const TOKEN: &str = "x-sentinel-token";

impl FilterCheck<'_> {
    pub(super) fn metadata(&self, report: &mut Report) {
        let code = Code::EnvoyMetadata;
        if self.setup.client_ip.source != Source::Metadata || self.is_set_elsewhere() {
            return;
        }
        report.mark_checked(code);
        for (name, operators) in ADDRESSES {
            let fix = format!("initial_metadata: [ {{ key: {name}, value: \"{}\" }} ], once", operators[0]);
            match &self.entries(name)[..] {
                [] => {
                    let seen = format!("{}: initial_metadata does not send {name}", self.at_field("grpc_service"));
                    report.error(code, format!("{seen}: every request is denied (client_ip_unknown)"), fix);
                }
                [entry] => {
                    // The finding does not repeat the value: it may be a secret in a wrong place.
                    if !entry.text_of("value").is_some_and(|value| operators.contains(&value)) {
                        let seen = format!("{}: {name} is not {}", self.at(entry), operators[0]);
                        let why = "Sentinel believes a wrong address, or every request is denied";
                        report.error(code, format!("{seen}: {why}"), fix);
                    }
                }
                [_, again, ..] => {
                    let seen = format!("{}: initial_metadata sends {name} more than once", self.at(again));
                    report.error(code, format!("{seen}: every request is denied (client_ip_unknown)"), fix);
                }
            }
        }
    }

    /// The token itself is never repeated.
    pub(super) fn caller_token(&self, report: &mut Report) {
        let code = Code::EnvoyCallerToken;
        if self.is_set_elsewhere() {
            return;
        }
        report.mark_checked(code);
        let is_configured = matches!(self.setup.callers, Callers::ByToken(_));
        let entries = self.entries(TOKEN);
        let send = "initial_metadata: [ { key: x-sentinel-token, value: \"%ENVIRONMENT(SENTINEL_TOKEN)%\" } ], once";
        match (is_configured, &entries[..]) {
            (true, []) => {
                let seen = format!(
                    "{}: listen.caller_token_file is set, but Envoy sends no {TOKEN}",
                    self.at_field("grpc_service")
                );
                report.error(code, format!("{seen}: every request is denied (caller_rejected)"), send);
            }
            (true, [_, again, ..]) => {
                let seen = format!("{}: Envoy sends {TOKEN} more than once: every request is denied", self.at(again));
                report.error(code, seen, send);
            }
            (false, [entry, ..]) => {
                let seen = format!("{}: Envoy sends {TOKEN}, but listen.caller_token_file is not set", self.at(entry));
                let fix = "set listen.caller_token_file to a file with that token, or remove the entry";
                report.warning(code, format!("{seen}: any host that reaches listen.grpc can call it"), fix);
            }
            _ => {}
        }
        let aborts = |entry: &&&Node| entry.text_of("value").is_some_and(|value| value.contains("%FILE_CONTENT("));
        if let Some(entry) = entries.iter().find(aborts) {
            let seen = format!(
                "{}: Envoy 1.40 accepts %FILE_CONTENT(…)% here and aborts at the first request",
                self.at(entry)
            );
            report.error(code, seen, send);
        }
    }

    /// A patch without metadata does not change the metadata of the configuration that it is merged into.
    fn is_set_elsewhere(&self) -> bool {
        let service = self.filter.get("grpc_service");
        self.context.partial && service.and_then(|service| service.get("initial_metadata")).is_none()
    }

    fn entries(&self, name: &str) -> Vec<&Node> {
        let all = self.filter.get("grpc_service").map(|service| service.items("initial_metadata")).unwrap_or_default();
        all.iter().filter(|entry| entry.text_of("key").is_some_and(|key| key.eq_ignore_ascii_case(name))).collect()
    }
}
