//! What Envoy's configuration, and nobody else, can tell Sentinel with each call.

use super::case::Case;
use crate::{
    client_ip::Source,
    doctor::{Code, Report, yaml::Node},
    net::caller::Callers,
};

/// What `client_ip.source = "metadata"` reads, and Envoy's names for it; the second of each has a port, which is read too.
const ADDRESSES: [(&str, [&str; 2]); 2] = [
    ("x-client-ip", ["%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_REMOTE_ADDRESS%"]),
    ("x-peer-ip", ["%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"]),
];

const TOKEN: &str = "x-sentinel-token";

impl Case<'_> {
    pub(super) fn metadata(&self, report: &mut Report) {
        let code = Code::EnvoyMetadata;
        if self.setup.client_ip.source != Source::Metadata || self.is_told_elsewhere() {
            return;
        }
        report.looked_at(code);
        for (name, operators) in ADDRESSES {
            let fix = format!("initial_metadata: [ {{ key: {name}, value: \"{}\" }} ], once", operators[0]);
            match &self.entries(name)[..] {
                [] => {
                    let seen = format!("{}: initial_metadata does not send {name}", self.at_field("grpc_service"));
                    report.error(code, format!("{seen}: every request is denied (client_ip_unknown)"), fix);
                }
                [entry] => {
                    // Another one is not told: it may be a secret in a wrong place.
                    if !entry.text_of("value").is_some_and(|value| operators.contains(&value)) {
                        let seen = format!("{}: {name} is not {}", self.at(entry), operators[0]);
                        let why = "a wrong address is believed, or every request denied";
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
        if self.is_told_elsewhere() {
            return;
        }
        report.looked_at(code);
        let asked = matches!(self.setup.callers, Callers::ByToken(_));
        let entries = self.entries(TOKEN);
        let send = "initial_metadata: [ { key: x-sentinel-token, value: \"%ENVIRONMENT(SENTINEL_TOKEN)%\" } ], once";
        match (asked, &entries[..]) {
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
                let fix = "set listen.caller_token_file to a file with that token, or send none";
                report.warning(code, format!("{seen}: whoever reaches listen.grpc may ask"), fix);
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

    /// A patch that does not speak of metadata leaves it as it is.
    fn is_told_elsewhere(&self) -> bool {
        let service = self.filter.get("grpc_service");
        self.around.partial && service.and_then(|service| service.get("initial_metadata")).is_none()
    }

    fn entries(&self, name: &str) -> Vec<&Node> {
        let all = self.filter.get("grpc_service").map(|service| service.items("initial_metadata")).unwrap_or_default();
        all.iter().filter(|entry| entry.text_of("key").is_some_and(|key| key.eq_ignore_ascii_case(name))).collect()
    }
}
