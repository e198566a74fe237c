//! Envoy files: the shipped files have no findings, and one edit of a shipped file provokes each finding.

use std::fs;

use key_ip_sentinel::doctor::Code;

use crate::{
    Report, chmod,
    common::{CALLER_TOKEN, Home, envoy::EnvoyConfig, sentinel},
    doctor, report,
};

pub(crate) const EDGE: &str = "envoy.yaml";
const BEHIND_PROXY: &str = "envoy-behind-proxy.yaml";
const PROXY_PROTOCOL: &str = "envoy-proxy-protocol.yaml";

const CLIENT: &str = "- { key: x-client-ip, value: \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\" }";
const PEER: &str = "- { key: x-peer-ip, value: \"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%\" }";
const SERVICE: &str = "envoy_grpc: { cluster_name: sentinel }";
const RAW: &str = "encode_raw_headers: true";

/// The configuration at the top of a shipped file. No server runs.
pub(crate) fn pair(file: &str) -> Home {
    let settings = EnvoyConfig::file(file).settings();
    settings.into_iter().fold(sentinel().unset("check_deadline"), |home, (key, value)| home.set(&key, &value))
}

/// The report about this text.
pub(crate) fn fits_text(home: &Home, text: &str) -> Report {
    let file = home.path().join("envoy.yaml");
    fs::write(&file, text).unwrap();
    let report = report(home, &["--envoy", file.to_str().unwrap()]);
    assert_eq!(report.code, 3, "no server runs");
    report
}

/// The report about a shipped file after these edits. Each edit matches exactly once.
pub(crate) fn edited(file: &str, home: Home, edits: &[(&str, &str)]) -> Report {
    let config = edits.iter().fold(EnvoyConfig::file(file), |config, (from, to)| config.replace(from, to));
    fits_text(&home, config.text())
}

/// One edit gives exactly one finding, of this severity and with this text.
fn one(file: &str, edit: (&str, &str), code: Code, severity: &str, said: &str) {
    let report = edited(file, pair(file), &[edit]);
    report.assert_only(code, severity, 1).says(said);
}

#[test]
fn every_shipped_file_fits_its_own_lines() {
    for entry in fs::read_dir("envoy").unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let report = fits_text(&pair(&file), EnvoyConfig::file(&file).text());
        let envoys = report.assert_nothing().checked.iter().filter(|code| code.starts_with("envoy_")).count();
        assert_eq!(
            envoys,
            if file == EDGE {
                15
            } else if file == BEHIND_PROXY {
                17
            } else {
                16
            },
            "{file}: {report:?}"
        );
    }
}

#[test]
fn a_shipped_file_with_the_settings_of_another_one_has_findings() {
    let text = |file| EnvoyConfig::file(file).text().to_owned();
    let address = |settings, file| {
        let report = fits_text(&pair(settings), &text(file));
        (report.findings.iter().map(|(code, severity)| format!("{code} {severity}")).collect::<Vec<_>>(), report.texts)
    };
    let (found, texts) = address(EDGE, BEHIND_PROXY);
    assert_eq!(found, ["envoy_client_address error"], "{texts}");
    assert!(texts.contains("this Envoy is behind a proxy"), "{texts}");
    let (found, texts) = address(EDGE, PROXY_PROTOCOL);
    assert_eq!(found, ["envoy_client_address warning"], "{texts}");
    assert!(texts.contains("the PROXY header of any host"), "{texts}");
    let (found, texts) = address(BEHIND_PROXY, EDGE);
    assert_eq!(found, ["envoy_client_address error", "envoy_metadata error", "envoy_metadata error"], "{texts}");
    assert!(texts.contains("no field resolves the client behind a proxy"), "{texts}");
}

#[test]
fn every_request_must_be_checked_and_the_decision_enforced() {
    use Code::*;
    let late = "failure_mode_allow: true";
    for yes in [late, "failure_mode_allow: Yes", "failure_mode_allow: \"true\"", "failureModeAllow: on"] {
        one(EDGE, ("failure_mode_allow: false", yes), EnvoyFailureModeAllow, "error", "can use any key from anywhere");
    }
    let shadow = format!("{RAW}\n              shadow_mode: true");
    one(EDGE, (RAW, &shadow), EnvoyNotEnforced, "error", "shadow_mode is true");
    for (percent, enforced) in [("99", false), ("100", true)] {
        let enabled = format!("{RAW}\n              filter_enabled: {{ default_value: {{ numerator: {percent} }} }}");
        let report = edited(EDGE, pair(EDGE), &[(RAW, &enabled)]);
        assert_eq!(report.findings.is_empty(), enforced, "{}", report.texts);
    }
    let disabled = "- name: envoy.filters.http.ext_authz\n            disabled: true\n            typed_config:";
    let name = "- name: envoy.filters.http.ext_authz\n            typed_config:";
    one(EDGE, (name, disabled), EnvoyNotEnforced, "error", "no route of this connection manager enables it");
    let version = "transport_api_version: V3";
    one(EDGE, (version, "transport_api_version: V2"), EnvoyService, "error", "is not V3, and Sentinel speaks V3");
    one(EDGE, (version, "clear_route_cache: false"), EnvoyService, "error", "is not set");
    let kind = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz\n";
    let other = "type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz\n";
    one(EDGE, (kind, other), EnvoyExtAuthzMissing, "error", "there is no ext_authz filter");
    let report = fits_text(&pair(EDGE), "static_resources: {}\n");
    report.assert_only(EnvoyExtAuthzMissing, "error", 1);
    let http = "http_service: { server_uri: { uri: x, cluster: sentinel, timeout: 1s } }\n              xgrpc_service:";
    one(EDGE, ("              grpc_service:", &format!("              {http}")), EnvoyService, "error", "gRPC only");
}

#[test]
fn a_second_manager_without_the_filter_is_found() {
    const SECOND: &str = "
  - name: second
    filter_chains: [ { filters: [ { name: m, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s } } ] } ]
  clusters:\n";
    let report = edited(EDGE, pair(EDGE), &[("\n  clusters:\n", SECOND)]);
    report.assert_only(Code::EnvoyExtAuthzMissing, "warning", 1).says("its requests are not checked");
}

#[test]
fn metadata_is_sent_once_and_with_envoys_own_address() {
    use Code::EnvoyMetadata;
    for (file, entry, name) in [(BEHIND_PROXY, CLIENT, "x-client-ip"), (PROXY_PROTOCOL, PEER, "x-peer-ip")] {
        let said = format!("does not send {name}");
        one(file, (entry, &entry.replace(name, "x-other")), EnvoyMetadata, "error", &said);
        let twice = format!("{entry}\n                {}", entry.replace(name, &name.to_uppercase()));
        one(file, (entry, &twice), EnvoyMetadata, "error", &format!("sends {name} more than once"));
    }
    // A header of the client; and the same address twice, which would make each client its own proxy.
    let header = "%REQ(X-FORWARDED-FOR)%";
    let edit = CLIENT.replace("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", header);
    one(
        BEHIND_PROXY,
        (CLIENT, &edit),
        EnvoyMetadata,
        "error",
        "x-client-ip is not %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    );
    let same = PEER.replace("DIRECT_", "");
    one(
        BEHIND_PROXY,
        (PEER, &same),
        EnvoyMetadata,
        "error",
        "x-peer-ip is not %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    );
    let crossed = CLIENT.replace("DOWNSTREAM_", "DOWNSTREAM_DIRECT_");
    one(BEHIND_PROXY, (CLIENT, &crossed), EnvoyMetadata, "error", "x-client-ip is not");
    let ported = CLIENT.replace("_WITHOUT_PORT", "");
    edited(BEHIND_PROXY, pair(BEHIND_PROXY), &[(CLIENT, &ported)]).assert_nothing();
}

#[test]
fn the_client_cannot_choose_the_resolved_address() {
    use Code::EnvoyClientAddress;
    let remote = "use_remote_address: true";
    one(
        PROXY_PROTOCOL,
        (remote, "use_remote_address: false"),
        EnvoyClientAddress,
        "error",
        "the client's own x-forwarded-for",
    );
    one(
        PROXY_PROTOCOL,
        (remote, "add_user_agent: false"),
        EnvoyClientAddress,
        "error",
        "the client's own x-forwarded-for",
    );
    let hops = ("xff_num_trusted_hops: 0", "xff_num_trusted_hops: 1");
    one(EDGE, hops, EnvoyClientAddress, "error", "all clients have one address");
    // With xff_num_trusted_hops, envoy.yaml is a file for a proxy in front.
    let both =
        format!("{SERVICE}\n                initial_metadata:\n                {CLIENT}\n                {PEER}");
    edited(EDGE, pair(BEHIND_PROXY), &[hops, (SERVICE, &both)]).assert_nothing();
    let off = ("use_remote_address: true", "use_remote_address: false");
    let report = edited(EDGE, pair(BEHIND_PROXY), &[hops, off, (SERVICE, &both)]);
    report.assert_only(EnvoyClientAddress, "error", 1).says("the client's own x-forwarded-for");
}

#[test]
fn envoy_and_sentinel_trust_the_same_proxies() {
    let listed = "{ address_prefix: 10.0.0.0, prefix_len: 24 } ] }";
    let more = format!("{{ address_prefix: 192.0.2.0, prefix_len: 24 }}, {listed}");
    one(BEHIND_PROXY, (listed, &more), Code::EnvoyTrustedProxies, "error", "only xff_trusted_cidrs has 192.0.2.0/24");
    let home = pair(BEHIND_PROXY).set("client_ip.trusted_proxies", "[\"10.0.0.0/24\", \"2001:db8::/48\"]");
    let report = edited(BEHIND_PROXY, home, &[]);
    report.assert_only(Code::EnvoyTrustedProxies, "error", 1).says("only client_ip.trusted_proxies has 2001:db8::/48");
    // Envoy ignores host bits, and so does doctor.
    let host = "{ address_prefix: 10.0.0.7, prefix_len: 24 } ] }";
    edited(BEHIND_PROXY, pair(BEHIND_PROXY), &[(listed, host)]).assert_nothing();
}

fn by_header(name: &str) -> Home {
    let proxies = sentinel().unset("check_deadline").set("client_ip.trusted_proxies", "[\"10.0.0.0/24\"]");
    proxies.set("client_ip.source", "\"header\"").set("client_ip.header", &format!("\"{name}\""))
}

#[test]
fn the_header_of_the_source_is_kept_and_set_by_envoy() {
    use Code::EnvoyClientAddress;
    edited(EDGE, by_header("cf-connecting-ip"), &[]).assert_nothing();
    let report = edited(EDGE, by_header("x-envoy-external-address"), &[]);
    report.assert_only(EnvoyClientAddress, "error", 1).says("removes x-envoy-external-address before Sentinel");
    let kept = ("prefix: x-envoy- }", "prefix: x-other- }");
    edited(EDGE, by_header("x-envoy-external-address"), &[kept]).assert_nothing();
    let off = ("use_remote_address: true", "use_remote_address: false");
    let report = edited(EDGE, by_header("x-envoy-external-address"), &[kept, off]);
    report.assert_only(EnvoyClientAddress, "error", 1).says("here the client sends it");
    let report = edited(PROXY_PROTOCOL, by_header("cf-connecting-ip"), &[]);
    report.assert_only(EnvoyClientAddress, "warning", 1).says("does not show which host sent it");
    let xff = by_header("x").unset("client_ip.header").set("client_ip.source", "\"xff\"");
    edited(EDGE, xff, &[]).assert_nothing();
}

#[test]
fn the_callers_token_is_sent_if_configured_and_never_shown() {
    use Code::EnvoyCallerToken;
    let asking = || {
        let home = pair(EDGE).with_caller_token();
        chmod(&home.path().join("caller-token"), 0o600);
        home
    };
    let report = edited(EDGE, asking(), &[]);
    report.assert_only(EnvoyCallerToken, "error", 1).says("Envoy sends no x-sentinel-token");
    let sent = |value: &str| {
        format!("{SERVICE}\n                initial_metadata: [ {{ key: x-sentinel-token, value: \"{value}\" }} ]")
    };
    edited(EDGE, asking(), &[(SERVICE, &sent("%ENVIRONMENT(SENTINEL_TOKEN)%"))]).assert_nothing();
    let report = edited(EDGE, pair(EDGE), &[(SERVICE, &sent(CALLER_TOKEN))]);
    report.assert_only(EnvoyCallerToken, "warning", 1).says("listen.caller_token_file is not set");
    assert!(!format!("{report:?}").contains(CALLER_TOKEN));
    let report = edited(EDGE, asking(), &[(SERVICE, &sent("%FILE_CONTENT(/run/token)%"))]);
    report.assert_only(EnvoyCallerToken, "error", 1).says("aborts at the first request");
    let twice =
        sent(CALLER_TOKEN).replace(" ]", &format!(", {{ key: X-Sentinel-Token, value: \"{CALLER_TOKEN}\" }} ]"));
    let report = edited(EDGE, asking(), &[(SERVICE, &twice)]);
    report.assert_only(EnvoyCallerToken, "error", 1).says("more than once");
    assert!(!format!("{report:?}").contains(CALLER_TOKEN));
}

#[test]
fn every_header_that_is_read_is_sent() {
    let list = |text: &str| format!("{RAW}\n              {text}");
    let hidden = |home: Home, text: &str| edited(EDGE, home, &[(RAW, &list(text))]);
    let all = "{ exact: authorization }, { exact: x-api-key }, { exact: api-key }, { exact: sec-websocket-protocol }";
    let allowed = |patterns: &str| format!("allowed_headers: {{ patterns: [ {patterns} ] }}");
    // The list has the header's name but not the spellings that upstreams read as the same.
    let report = hidden(pair(EDGE), &allowed(all));
    report.assert_only(Code::EnvoyHiddenHeaders, "error", 1).says("does not see api_key and api.key");
    let wide = "{ exact: authorization }, { contains: key }, { prefix: sec }";
    hidden(pair(EDGE), &allowed(wide)).assert_nothing();
    let report = hidden(pair(EDGE), "disallowed_headers: { patterns: [ { contains: _ } ] }");
    report.assert_only(Code::EnvoyHiddenHeaders, "error", 1).says("does not see api_key and api.key");
    let report = hidden(pair(EDGE), &allowed(&all.replace("{ exact: x-api-key }, ", "")));
    report.assert_only(Code::EnvoyHiddenHeaders, "error", 1).says("Sentinel does not see x-api-key:");
    let report = hidden(pair(EDGE).set("credentials.profile", "\"litellm\""), &allowed(all));
    report.assert_only(Code::EnvoyHiddenHeaders, "error", 1).says("x-litellm-api-key");
    // The profile of a route reads more headers than the main profile.
    let routes =
        pair(EDGE).set("credentials.profile", "\"openai\"").set("credentials.route_profiles", "[\"anthropic\"]");
    let report = hidden(routes, &allowed("{ exact: authorization }, { prefix: Sec-, ignore_case: true }"));
    report.assert_only(Code::EnvoyHiddenHeaders, "error", 1).says("does not see x-api-key:");
    let report = hidden(by_header("cf-connecting-ip"), &allowed(all));
    report.assert_only(Code::EnvoyHiddenHeaders, "error", 1).says("does not see cf-connecting-ip");
    let disallowed = "disallowed_headers: { patterns: [ { exact: upgrade } ] }";
    hidden(pair(EDGE), disallowed).assert_nothing();
    let exempting =
        pair(EDGE).set("credentials.profile", "\"new-api\"").set("credentials.passthrough", "[\"authorization\"]");
    let report = hidden(exempting, disallowed);
    report.assert_only(Code::EnvoyHiddenHeaders, "error", 1).says("does not see upgrade");
    let report = hidden(pair(EDGE), "disallowed_headers: { patterns: [ { suffix: -key } ] }");
    report.assert_only(Code::EnvoyHiddenHeaders, "error", 1).says("does not see api-key, x-api-key");
    let report = hidden(pair(EDGE), &allowed("{ safe_regex: { regex: \".*\" } }"));
    report.assert_only(Code::EnvoyHiddenHeaders, "warning", 1).says("depends on a regular expression");
}

#[test]
fn a_secret_in_a_wrong_field_is_not_repeated() {
    const SECRET: &str = "hunter2-0123456789abcdef";
    for (from, to) in [
        (CLIENT, CLIENT.replace("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", SECRET)),
        ("transport_api_version: V3", format!("transport_api_version: {SECRET}")),
        ("timeout: 0.25s", format!("timeout: {SECRET}")),
        (RAW, format!("{RAW}\n              filter_enabled: {SECRET}")),
    ] {
        let report = edited(BEHIND_PROXY, pair(BEHIND_PROXY), &[(from, &to)]);
        assert!(!report.texts.contains(SECRET), "{to}: {}", report.texts);
    }
}

/// A comparison of each filter with every other one would take hours.
#[test]
fn many_filters_of_one_manager_are_all_checked() {
    let of = |name: &str, kind: &str| {
        format!("{{name: {name}, typed_config: {{'@type': x/envoy.extensions.filters.{kind}}}}}")
    };
    let asking = of("a", "http.ext_authz.v3.ExtAuthz");
    let cors = of("c", "http.cors.v3.Cors");
    let filters = format!("- {asking}\n").repeat(12_000);
    let manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let text = format!("'@type': x/{manager}\nhttp_filters:\n- {cors}\n{filters}- {cors}\n");
    let started = std::time::Instant::now();
    let report = fits_text(&pair(EDGE), &text);
    assert_eq!(report.findings.iter().filter(|(code, _)| code == "envoy_cors_order").count(), 12_000);
    println!("12,000 filters were checked in {:.1?}", started.elapsed());
}

#[test]
fn a_fifo_in_place_of_a_file_does_not_hang() {
    let home = pair(EDGE);
    let fifo = home.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let report = doctor(&home, &["--envoy", fifo.to_str().unwrap()]);
    assert_eq!(report.code, 2, "{report:?}");
    assert!(report.err.contains("fifo: is not a regular file"), "{report:?}");
}

#[test]
fn a_disadvantage_without_a_risk_is_a_warning() {
    use Code::*;
    one(EDGE, (RAW, "encode_raw_headers: false"), EnvoyRawHeaders, "warning", "repeated headers arrive joined");
    let validate = "validate_mutations: true";
    one(EDGE, (validate, "validate_mutations: false"), EnvoyValidateMutations, "warning", "a line break");
    let status = "status_on_error: { code: ServiceUnavailable }";
    one(EDGE, (status, "status_on_error: { code: Forbidden }"), EnvoyStatusOnError, "warning", "as if their key");
    one(EDGE, (status, "clear_route_cache: false"), EnvoyStatusOnError, "warning", "clients get 403");
    one(
        EDGE,
        ("timeout: 0.25s", "timeout: 0.1s"),
        EnvoyTimeout,
        "warning",
        "Envoy waits 100ms, less than check_deadline (150ms)",
    );
    one(EDGE, ("timeout: 0.25s", "timeout: 0s"), EnvoyTimeout, "warning", "indefinitely");
    one(EDGE, ("max_interval: 0.25s", "max_interval: 0.05s"), EnvoyTimeout, "warning", "the timeout of each try");
    // Envoy's default is 200 ms.
    let absent = ("                timeout: 0.25s\n", "");
    edited(EDGE, pair(EDGE), &[absent]).assert_nothing();
    let slow = pair(EDGE).set("check_deadline", "\"220ms\"");
    edited(EDGE, slow, &[absent]).assert_only(EnvoyTimeout, "warning", 1).says("waits 200ms");
    let cors = "          - name: envoy.filters.http.cors\n            typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors }\n";
    let router = "          - name: envoy.filters.http.router\n";
    let report = edited(EDGE, pair(EDGE), &[(cors, ""), (router, &format!("{cors}{router}"))]);
    report.assert_only(EnvoyCorsOrder, "warning", 1).says("a preflight has no key and is denied");
}

#[test]
fn an_istio_patch_and_a_list_of_resources_are_read_at_any_depth() {
    let patch = |value: &str| {
        format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nspec:\n  configPatches:\n  - applyTo: HTTP_FILTER\n    \
             patch:\n      operation: MERGE\n      value:\n        name: envoy.filters.http.ext_authz\n        typed_config:\n          \
             \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz\n          {value}\n"
        )
    };
    let entries = format!("grpc_service: {{ initial_metadata: [ {} ] }}", [CLIENT, PEER].map(|it| &it[2..]).join(", "));
    fits_text(&pair(BEHIND_PROXY), &patch(&entries)).assert_nothing();
    // A field that a patch omits may be set elsewhere; a field of the patch is checked.
    fits_text(&pair(BEHIND_PROXY), &patch("stat_prefix: x")).assert_nothing();
    let report = fits_text(&pair(BEHIND_PROXY), &patch(&entries.replace("DIRECT_", "")));
    report.assert_only(Code::EnvoyMetadata, "error", 1);
    let report = fits_text(&pair(BEHIND_PROXY), &patch("failure_mode_allow: true"));
    report.assert_only(Code::EnvoyFailureModeAllow, "error", 1).says("envoy.yaml:12: failure_mode_allow");
    let inserted = patch("failure_mode_allow: false").replace("MERGE", "INSERT_BEFORE");
    let report = fits_text(&pair(BEHIND_PROXY), &inserted);
    let codes: Vec<_> = report.findings.iter().map(|(code, _)| code.as_str()).collect();
    assert!(codes.contains(&"envoy_metadata") && codes.contains(&"envoy_service"), "{codes:?}");
    let resources = r#"{"resources": [{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "filterChains": [{"filters": [
        {"name": "m", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
         "xffNumTrustedHops": 1, "useRemoteAddress": true, "httpFilters": [{"name": "a", "typedConfig": {
           "@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
           "value": {"transportApiVersion": "V3", "encodeRawHeaders": true, "validateMutations": true, "statusOnError": {"code": 503},
             "failureModeAllow": true, "grpcService": {"googleGrpc": {"targetUri": "x"}}}}}]}}]}]}]}"#;
    let report = fits_text(&pair(EDGE), resources);
    let codes: Vec<_> = report.findings.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["envoy_failure_mode_allow", "envoy_client_address"], "{}", report.texts);
}

#[test]
fn an_invalid_file_is_an_error_with_its_name_and_line() {
    let home = pair(EDGE);
    let file = home.path().join("broken.yaml");
    let name = file.to_str().unwrap();
    for (text, said) in [
        ("a: 1\nb: [1, 2\nc: 3\n", "line 3: "),
        ("a: 1\nb: 1\na: 2\n", "line 3: repeats the name of line 1"),
        ("\u{1}\u{2}", "line 1: "),
    ] {
        fs::write(&file, text).unwrap();
        let seen = doctor(&home, &["--envoy", name]);
        assert_eq!((seen.code, seen.out.as_str(), seen.err.lines().count()), (2, "", 1), "{seen:?}");
        assert!(seen.err.contains(&format!("--envoy {name}: {said}")), "{seen:?}");
    }
    fs::write(&file, b"\xff\xfe").unwrap();
    for path in [name, "/nonexistent/envoy.yaml", "/"] {
        let seen = doctor(&home, &["--envoy", path]);
        assert_eq!((seen.code, seen.out.as_str(), seen.err.lines().count()), (2, "", 1), "{seen:?}");
        assert!(seen.err.contains(path), "{seen:?}");
    }
}

#[test]
fn each_of_several_files_is_checked() {
    let home = pair(EDGE);
    let bad = EnvoyConfig::file(EDGE).replace("failure_mode_allow: false", "failure_mode_allow: true");
    let [first, second] = ["a.yaml", "b.yaml"].map(|name| home.path().join(name).display().to_string());
    fs::write(&first, bad.text()).unwrap();
    fs::write(&second, bad.text()).unwrap();
    let found = report(&home, &["--envoy", &first, "--envoy", &second, "--envoy", "envoy/envoy.yaml"]);
    found.assert_only(Code::EnvoyFailureModeAllow, "error", 2).says(&format!("{first}:")).says(&format!("{second}:"));
}

/// Cloudflare lists the network from which its customers' programs send requests.
#[test]
fn networks_with_programs_of_strangers_are_found_in_both_files() {
    use Code::StrangersInProxies;
    let listed = "{ address_prefix: 10.0.0.0, prefix_len: 24 } ] }";
    let with = |address: &str, bits: u8| {
        let home =
            pair(BEHIND_PROXY).set("client_ip.trusted_proxies", &format!("[\"10.0.0.0/24\", \"{address}/{bits}\"]"));
        let more = format!("{{ address_prefix: \"{address}\", prefix_len: {bits} }}, {listed}");
        edited(BEHIND_PROXY, home, &[(listed, &more)])
    };
    for (address, bits) in [("2a06:98c0::", 29), ("2a06:98c0:3600::", 48), ("2a06::", 16)] {
        with(address, bits).assert_only(StrangersInProxies, "error", 1).says("programs of Cloudflare's customers");
    }
    with("34.0.0.0", 8).assert_only(StrangersInProxies, "warning", 1).says("xff_trusted_cidrs contains 34.0.0.0/8");
    for (address, bits) in [("172.16.0.0", 12), ("35.191.0.0", 16), ("203.0.113.0", 24)] {
        with(address, bits).assert_nothing();
    }
    let hops = |networks: &str| {
        let home = sentinel().unset("check_deadline").set("client_ip.source", "\"xff\"");
        edited(
            EDGE,
            home.set("client_ip.trusted_proxies", "[\"10.0.0.0/24\"]").set("client_ip.trusted_hops", networks),
            &[],
        )
    };
    hops("[\"2a06:98c0::/29\"]").assert_only(StrangersInProxies, "error", 1).says("client_ip.trusted_hops contains");
    hops("[\"10.0.1.0/24\"]").assert_nothing();
}
