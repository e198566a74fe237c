//! The output of control planes: routes and listeners in files of their own, filters that routes enable, resources that
//! doctor does not read, and dumps of a real Envoy.

use std::fs;

use key_ip_sentinel::doctor::Code::{self, EnvoyExtAuthzMissing, EnvoyNotEnforced, EnvoyNotRead};

use crate::{
    Report,
    common::{Home, edge::Edge, envoy::EnvoyConfig, eventually, grpc::Target, sentinel, upstream::Upstream},
    envoy::{EDGE, pair},
    report,
};

const LISTENERS: &str = include_str!("envoy-gateway/listeners.yaml");
const ROUTES: &str = include_str!("envoy-gateway/routes.yaml");
const RESOURCES: &str = include_str!("envoy-gateway/resources.yaml");

/// The report about these texts, as files with these names.
fn together(files: &[(&str, &str)]) -> Report {
    about(&pair(EDGE), files)
}

fn about(home: &Home, files: &[(&str, &str)]) -> Report {
    let write = |(name, text): &(&str, &str)| {
        let path = home.path().join(name).display().to_string();
        fs::write(&path, text).unwrap();
        ["--envoy".to_owned(), path]
    };
    let args: Vec<_> = files.iter().flat_map(write).collect();
    report(home, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

impl Report {
    /// The findings about what is checked and what was read are these.
    fn assert_coverage(&self, expected: &[(Code, &str)]) -> &Self {
        let about = [EnvoyNotRead, EnvoyExtAuthzMissing, EnvoyNotEnforced, Code::EnvoyEscapedSlashes];
        let found = self.findings.iter().filter(|(code, _)| about.iter().any(|it| it.as_str() == code));
        let found: Vec<_> = found.map(|(code, severity)| (code.as_str(), severity.as_str())).collect();
        let expected: Vec<_> = expected.iter().map(|(code, severity)| (code.as_str(), *severity)).collect();
        assert_eq!(found, expected, "{}", self.texts);
        self
    }
}

fn once(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

#[test]
fn listeners_and_routes_in_files_of_their_own_are_one_configuration() {
    let found = together(&[("routes.yaml", ROUTES), ("listeners.yaml", LISTENERS)]);
    assert!(found.assert_coverage(&[]).checked.contains("envoy_escaped_slashes"));
    // Its own settings are checked as in any file.
    found.says("listeners.yaml:16: encode_raw_headers is not true").says("listeners.yaml:28: encode_raw_headers");

    let found = together(&[("listeners.yaml", LISTENERS)]);
    found.assert_coverage(&[(EnvoyNotRead, "warning")]);
    found.says("listeners.yaml:11: its routes (route configuration default/eg/http) were not read");
    let found = together(&[("routes.yaml", ROUTES)]);
    found.assert_coverage(&[(EnvoyNotRead, "warning")]).says("routes.yaml:4: no file has the connection manager");
    let other = ROUTES.replace("name: default/eg/http\n", "name: default/eg/https\n");
    let found = together(&[("listeners.yaml", LISTENERS), ("routes.yaml", &other)]);
    found.assert_coverage(&[(EnvoyNotRead, "warning")]).says("(route configuration default/eg/http)");
}

#[test]
fn routes_on_which_no_policy_is_enabled_are_named() {
    let files = |routes: &str| together(&[("listeners.yaml", LISTENERS), ("routes.yaml", routes)]);
    let without = once(ROUTES, "default/all-of-eg:\n", "default/deleted:\n");
    let found = files(&without);
    found.assert_coverage(&[(EnvoyNotEnforced, "warning")]).says("1 of 3 routes forward requests without a check");
    found.says("routes.yaml:35 (httproute/default/www/rule/0/match/0/www_example_com)");
    files(
        &without
            .replace("route:\n        cluster: httproute/default/www/rule/0", "directResponse:\n        status: 404"),
    )
    .assert_coverage(&[]);
    // A policy on the virtual host or on all routes enables it too.
    let policy = "envoy.filters.http.ext_authz/securitypolicy/default/all-of-eg: { '@type': \
                  type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {} }";
    for (at, indent) in [("    name: default/eg/http/www_example_com\n", 4), ("  name: default/eg/http\n", 2)] {
        let set = format!("{at}{}typedPerFilterConfig: {{ {policy} }}\n", " ".repeat(indent));
        files(&once(&without, at, &set)).assert_coverage(&[]);
    }

    let found = files(&ROUTES.replace("ext_authz/securitypolicy", "other"));
    found.assert_coverage(&[(EnvoyNotEnforced, "error")]);
    found.says("listeners.yaml:13: the filter is disabled, and no route of this connection manager enables it");
    let (head, route) = without.split_at(without.find("    - match:\n        prefix: /\n").unwrap());
    let found = files(&format!("{head}{}", route.repeat(7)));
    found.assert_coverage(&[(EnvoyNotEnforced, "warning")]).says("7 of 9 routes").says(" and 2 more");
    // What Envoy keeps as %2F also matters on these.
    let kept = once(LISTENERS, "UNESCAPE_AND_REDIRECT", "KEEP_UNCHANGED");
    let found = together(&[("listeners.yaml", &kept), ("routes.yaml", &without)]);
    found.assert_coverage(&[(EnvoyNotEnforced, "warning"), (Code::EnvoyEscapedSlashes, "error")]);
}

#[test]
fn kubernetes_resources_are_not_read_and_not_an_envoy_without_a_filter() {
    let found = together(&[("k8s.yaml", RESOURCES)]);
    found.assert_coverage(&[(EnvoyNotRead, "warning")]).says("SecurityPolicy (line 1), HTTPRoute (line 8)");
    found.says("k8s.yaml:1: not read: ").says("`egctl config envoy-proxy all -o json`");
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "spec": {"action": "CUSTOM"}}]}"#;
    together(&[("list.json", list)]).assert_coverage(&[(EnvoyNotRead, "warning")]).says("AuthorizationPolicy (line 2)");
    let found = together(&[("listeners.yaml", LISTENERS), ("k8s.yaml", RESOURCES), ("routes.yaml", ROUTES)]);
    found.assert_coverage(&[(EnvoyNotRead, "warning")]);
    let patch = "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nspec: { configPatches: [] }\n";
    together(&[("envoy.yaml", EnvoyConfig::shipped().text()), ("patch.yaml", patch)]).assert_nothing();
}

#[test]
fn parts_that_come_from_a_server_are_named() {
    let manager = "'@type': x/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let ecds = format!(
        "{manager}\nhttp_filters:\n- name: sentinel\n  config_discovery:\n    type_urls: \
         [ type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz ]\n"
    );
    let found = together(&[("ecds.yaml", &ecds)]);
    found.assert_coverage(&[(EnvoyNotRead, "warning")]).says("ecds.yaml:3: this ext_authz filter comes from a server");
    let wasm = ecds.replace("http.ext_authz.v3.ExtAuthz", "http.wasm.v3.Wasm");
    together(&[("wasm.yaml", &wasm)]).assert_coverage(&[(EnvoyExtAuthzMissing, "error")]);
    let bootstrap = "dynamic_resources: { lds_config: { ads: {} } }\n";
    together(&[("b.yaml", bootstrap)]).assert_coverage(&[(EnvoyNotRead, "warning")]).says("b.yaml:1: listeners come");
    together(&[("b.yaml", bootstrap), ("l.yaml", LISTENERS), ("r.yaml", ROUTES)]).assert_coverage(&[]);
    let scoped = LISTENERS.replace("rds:\n", "scopedRoutes:\n");
    together(&[("scoped.yaml", &scoped)]).assert_coverage(&[(EnvoyNotRead, "warning")]).says("(scoped_routes)");
    let vhds = ROUTES.replace("ignorePortInHostMatching: true", "vhds: { configSource: { ads: {} } }");
    let found = together(&[("l.yaml", LISTENERS), ("r.yaml", &vhds)]);
    found.assert_coverage(&[(EnvoyNotRead, "warning")]).says("r.yaml:4: the routes that come from a server (vhds)");
}

#[test]
fn a_listener_that_redirects_needs_no_filter() {
    const REDIRECT: &str = "
  - name: redirect
    filter_chains: [ { filters: [ { name: m, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s,
      route_config: { virtual_hosts: [ { name: a, domains: [ '*' ], routes: [ { match: { prefix: / }, redirect: { https_redirect: true } } ] } ] } } } ] } ]
  clusters:\n";
    let config = EnvoyConfig::shipped().replace("\n  clusters:\n", REDIRECT);
    together(&[("envoy.yaml", config.text())]).assert_nothing();
}

const NAME: &str = "envoy.filters.http.ext_authz/securitypolicy/default/api";
const FILTER_CONFIG: &str = "\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig";
const PER_ROUTE: &str = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute";

/// A virtual host with one route, and whether Envoy checks its requests although the filter is disabled in
/// `http_filters`. The configurations of virtual host, route and weighted cluster are for the filter of this name.
struct Case<'a> {
    domain: &'a str,
    filter: &'a str,
    configs: [&'a str; 3],
    is_checked: bool,
}

impl Case<'_> {
    fn host(&self) -> String {
        let Self { domain, filter, configs, .. } = self;
        let [host, route, cluster] = configs.map(|config| match config {
            "" => String::new(),
            config => format!("typed_per_filter_config: {{ {filter}: {{ {config} }} }}, "),
        });
        let to = match cluster.as_str() {
            "" => "cluster: upstream".to_owned(),
            cluster => format!("weighted_clusters: {{ clusters: [ {{ {cluster}name: upstream, weight: 1 }} ] }}"),
        };
        format!(
            "  - {{ name: {domain}, domains: [ {domain} ], {host}routes: [ {{ name: {domain}, match: {{ prefix: / }}, \
             {route}route: {{ {to} }} }} ] }}\n"
        )
    }
}

/// A discovery response, as Envoy reads it from a file.
fn route_configuration(hosts: &str) -> String {
    format!(
        "resources:\n- \"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration\n  name: edge\n  \
         virtual_hosts:\n{hosts}"
    )
}

/// envoy.yaml with its filter disabled and its routes in a file.
fn disabled_with_routes_in(path: &str) -> EnvoyConfig {
    let filter = "- name: envoy.filters.http.ext_authz\n            typed_config:";
    let config = EnvoyConfig::shipped()
        .patient()
        .replace(filter, &format!("- name: {NAME}\n            disabled: true\n            typed_config:"));
    let text = config.text();
    let routes =
        &text[text.find("          route_config:\n").unwrap()..text.find("          http_filters:\n").unwrap()];
    let rds = format!(
        "          rds: {{ route_config_name: edge, config_source: {{ path_config_source: {{ path: {path} }} }} }}\n"
    );
    let node = "node: { id: edge, cluster: edge }\nstatic_resources:\n";
    config
        .clone()
        .replace(routes, &rds)
        .replace("static_resources:\n", node)
        .replace("allow_paths: [", "allow_paths: [ { prefix: /config_dump },")
}

#[tokio::test]
async fn doctor_knows_which_routes_of_a_real_envoy_enable_a_disabled_filter() {
    let empty = format!("{FILTER_CONFIG}, config: {{}}");
    let settings = format!("{PER_ROUTE}, check_settings: {{ context_extensions: {{ sentinel.mode: enforce }} }}");
    let wrapped = format!("{FILTER_CONFIG}, config: {{ {settings} }}");
    let off = format!("{FILTER_CONFIG}, disabled: true");
    let off_inside = format!("{PER_ROUTE}, disabled: true");
    let case = |domain, configs, is_checked| Case { domain, filter: NAME, configs, is_checked };
    let cases = [
        case("none", ["", "", ""], false),
        case("empty", ["", &empty, ""], true),
        case("settings", ["", &settings, ""], true),
        case("wrapped", ["", &wrapped, ""], true),
        case("disabled", ["", &off, ""], false),
        case("off-inside", ["", &off_inside, ""], false),
        case("host", [&empty, "", ""], true),
        case("host-but-off", [&empty, &off, ""], false),
        case("host-but-off-inside", [&settings, &off_inside, ""], false),
        // The route enables the filter; its configuration is still the virtual host's.
        case("host-off-inside", [&off_inside, &empty, ""], false),
        case("host-off-but-settings", [&off, &settings, ""], true),
        case("cluster", ["", "", &empty], true),
        case("cluster-off", ["", &empty, &off], false),
        Case { filter: "envoy.filters.http.ext_authz", ..case("another-name", ["", &settings, ""], false) },
    ];
    let hosts: String = cases.iter().map(Case::host).collect();
    let home = pair(EDGE);
    let routes = home.path().join("rds.yaml");
    fs::write(&routes, route_configuration(&hosts)).unwrap();
    let config = disabled_with_routes_in(routes.to_str().unwrap());
    let edge = Edge::start(sentinel(), config.clone()).await;
    for Case { domain, is_checked, .. } in &cases {
        let reply = edge.envoy.get(&format!("http://{domain}/")).send().await;
        let reached = edge.upstream.take().len();
        assert_eq!((reply.status, reached), if *is_checked { (401, 0) } else { (200, 1) }, "{domain}: {reply:?}");
    }
    for it @ Case { domain, is_checked, .. } in &cases {
        let files = [("envoy.yaml", config.text()), ("routes.yaml", &route_configuration(&it.host()))];
        let expected: &[_] = if *is_checked { &[] } else { &[(EnvoyNotEnforced, "error")] };
        let found = about(&home, &files);
        let found = found.findings.iter().filter(|(code, _)| code == EnvoyNotEnforced.as_str());
        assert_eq!(found.count(), expected.len(), "{domain}");
    }
    let unchecked = cases.iter().filter(|case| !case.is_checked).count();
    let found = about(&home, &[("dump.json", &edge.envoy.config_dump().await)]);
    found.says(&format!("{unchecked} of {} routes forward requests without a check", cases.len())).says(" (none)");
    assert!(!found.texts.contains("(empty)") && !found.texts.contains("were not read"), "{}", found.texts);

    // There is no case `disabled: false` without a config: Envoy refuses it.
    let neither = format!("{FILTER_CONFIG}, disabled: false");
    let refused = route_configuration(&case("x", ["", &neither, ""], true).host());
    fs::write(home.path().join("new.yaml"), refused).unwrap();
    fs::rename(home.path().join("new.yaml"), &routes).unwrap();
    eventually("envoy refuses the routes", async || {
        edge.envoy.output().1.contains("Empty route/virtual host per filter configuration").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_dump_of_a_shipped_file_has_the_findings_of_the_file() {
    for file in [EDGE, "envoy-behind-proxy.yaml"] {
        let config = EnvoyConfig::file(file).replace("allow_paths: [", "allow_paths: [ { prefix: /config_dump },");
        let envoy = config.start_asking(&Target::Unix("/nonexistent".into()), &Upstream::start().await).await;
        let dump = envoy.config_dump().await;
        let home = pair(file);
        let found = about(&home, &[("dump.json", &dump)]);
        assert!(found.assert_nothing().checked.contains("envoy_escaped_slashes"), "{found:?}");
    }
}

#[test]
fn secrets_of_a_dump_are_not_repeated() {
    const SECRET: &str = "hunter2-0123456789abcdef";
    let token = format!("initialMetadata: [ {{ key: x-sentinel-token, value: {SECRET} }} ]");
    let listeners = LISTENERS.replace("timeout: 0.250s", &format!("timeout: 0.250s\n              {token}"));
    let secrets = format!(
        "configs:\n- '@type': type.googleapis.com/envoy.admin.v3.SecretsConfigDump\n  static_secrets: [ {{ name: s, secret: \
         {{ generic_secret: {{ secret: {{ inline_string: {SECRET} }} }} }} }} ]\n"
    );
    let resource = format!("apiVersion: v1\nkind: Secret\nstringData: {{ token: {SECRET} }}\n");
    let found = together(&[("l.yaml", &listeners), ("s.yaml", &secrets), ("k.yaml", &resource)]);
    found.assert_coverage(&[(EnvoyNotRead, "warning"), (EnvoyNotRead, "warning")]).says("Secret (line 1)");
    assert!(!found.texts.contains(SECRET), "{}", found.texts);
}
