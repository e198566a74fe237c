//! The filter's own fields: whether it calls Sentinel, how, for how long, and what it does without an answer.

use std::time::Duration;

use super::case::FilterCheck;
use crate::doctor::{Code, Report, yaml::Node};

/// Envoy's default for `timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(200);

impl FilterCheck<'_> {
    pub(super) fn enforced(&self, report: &mut Report) {
        let code = Code::EnvoyNotEnforced;
        report.mark_checked(code);
        if let Some(node) = self.filter.get("shadow_mode").filter(|node| node.is_true()) {
            let seen = format!("{}: shadow_mode is true: Envoy calls Sentinel but allows every request", self.at(node));
            report.error(code, seen, "remove shadow_mode");
        }
        if let Some(node) = self.filter.get("filter_enabled").filter(|node| !is_all(node)) {
            let seen = format!(
                "{}: filter_enabled is not 100 percent: Envoy allows the other requests unchecked",
                self.at(node)
            );
            report.error(code, seen, "remove filter_enabled");
        }
    }

    pub(super) fn failure_mode(&self, report: &mut Report) {
        let code = Code::EnvoyFailureModeAllow;
        report.mark_checked(code);
        if self.filter.has_true("failure_mode_allow") {
            let at = self.at_field("failure_mode_allow");
            let seen = format!(
                "{at}: failure_mode_allow is true: an attacker who can slow Sentinel down can use any key from anywhere"
            );
            let fix = "set failure_mode_allow: false; store.failsafe = \"open\" is narrower, because it still honours known bans";
            report.error(code, seen, fix);
        }
    }

    pub(super) fn service(&self, report: &mut Report) {
        let code = Code::EnvoyService;
        report.mark_checked(code);
        if let Some(http) = self.filter.get("http_service") {
            let seen = format!("{}: http_service is set, and Sentinel speaks gRPC only", self.at(http));
            report.error(code, seen, "grpc_service: { timeout: 0.25s, envoy_grpc: { cluster_name: sentinel } }");
        } else if self.filter.get("grpc_service").is_none() && !self.context.partial {
            let seen = format!("{}: there is no grpc_service, so Envoy calls no server", self.at(self.filter));
            report.error(code, seen, "grpc_service: { timeout: 0.25s, envoy_grpc: { cluster_name: sentinel } }");
        }
        let version = self.filter.text_of("transport_api_version");
        if version.map_or(!self.context.partial, |version| version != "V3" && version != "2") {
            let at = self.at_field("transport_api_version");
            let seen = version.map_or("not set", |_| "not V3");
            let seen = format!("{at}: transport_api_version is {seen}, and Sentinel speaks V3 only");
            report.error(code, seen, "transport_api_version: V3");
        }
    }

    pub(super) fn response(&self, report: &mut Report) {
        let mut expect = |code, name: &str, is_set: bool, seen: &str, fix: &str| {
            report.mark_checked(code);
            let is_elsewhere = self.context.partial && self.filter.get(name).is_none();
            if !is_set && !is_elsewhere {
                report.warning(code, format!("{}: {seen}", self.at_field(name)), fix);
            }
        };
        let raw = self.filter.has_true("encode_raw_headers");
        let seen = "encode_raw_headers is not true: repeated headers arrive joined and bytes that are not UTF-8 as `!`, so \
                    that some valid requests are denied";
        expect(Code::EnvoyRawHeaders, "encode_raw_headers", raw, seen, "encode_raw_headers: true");
        let status = self.filter.get("status_on_error").and_then(|status| status.text_of("code"));
        let is_503 = status.is_some_and(|code| code == "ServiceUnavailable" || code == "503");
        let seen = "without an answer clients get 403 or another status than 503, as if their key were denied";
        let fix = "status_on_error: { code: ServiceUnavailable }";
        expect(Code::EnvoyStatusOnError, "status_on_error", is_503, seen, fix);
        let validated = self.filter.has_true("validate_mutations");
        let seen =
            "validate_mutations is not true: Envoy would pass a line break in a header of an answer on to the client";
        expect(Code::EnvoyValidateMutations, "validate_mutations", validated, seen, "validate_mutations: true");
    }

    pub(super) fn timeout(&self, report: &mut Report) {
        let code = Code::EnvoyTimeout;
        let Some(service) = self.filter.get("grpc_service") else { return };
        report.mark_checked(code);
        let deadline = self.setup.check_deadline;
        let enough = (deadline * 5 / 3).as_secs_f64();
        let fix = |name: &str| format!("{name}: {enough}s, or a shorter check_deadline");
        let timeout = service.get("timeout").and_then(duration);
        let at = self.at(service.get("timeout").unwrap_or(service));
        match timeout.unwrap_or(DEFAULT_TIMEOUT) {
            Duration::ZERO => {
                let seen = format!("{at}: timeout is 0: a Sentinel that hangs holds every request indefinitely");
                report.warning(code, seen, format!("timeout: {enough}s"));
            }
            timeout if timeout < deadline => {
                let seen = format!("{at}: Envoy waits {timeout:?}, less than check_deadline ({deadline:?})");
                report.warning(code, format!("{seen}: slow first uses are denied"), fix("timeout"));
            }
            _ => {}
        }
        let back_off = service.get("retry_policy").and_then(|policy| policy.get("retry_back_off"));
        let interval = back_off.and_then(|back_off| back_off.get("max_interval"));
        if let Some((node, each)) = interval.and_then(|node| Some((node, duration(node)?)))
            && each < deadline
        {
            let seen = format!("{}: max_interval is {each:?}, and it is also the timeout of each try", self.at(node));
            let seen = format!("{seen}, less than check_deadline ({deadline:?}): slow first uses are denied");
            report.warning(code, seen, fix("max_interval"));
        }
    }
}

/// Whether the default of a `RuntimeFractionalPercent` is all requests.
fn is_all(fraction: &Node) -> bool {
    let Some(value) = fraction.get("default_value") else { return false };
    let number = value.text_of("numerator").and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let of = match value.text_of("denominator") {
        Some("TEN_THOUSAND" | "1") => 10_000,
        Some("MILLION" | "2") => 1_000_000,
        _ => 100,
    };
    number >= of
}

/// Reads a `Duration` in its JSON form, such as `0.25s`.
fn duration(node: &Node) -> Option<Duration> {
    Duration::try_from_secs_f64(node.text()?.strip_suffix('s')?.parse().ok()?).ok()
}
