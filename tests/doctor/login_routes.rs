//! Routes on which the upstream of the profile takes a credential that Sentinel does not judge.

use std::{collections::BTreeSet, fs};

use key_ip_sentinel::{credential::PROFILES, doctor::Code};

use crate::{
    Report,
    common::{Home, envoy::EnvoyConfig},
    envoy::{EDGE, edited, fits_text, pair},
};

const LAST: &str = "              - match: { prefix: / }\n";

fn home(file: &str, profile: &str) -> Home {
    pair(file).set("credentials.profile", &format!("\"{profile}\""))
}

/// The file without the routes that it blocks.
fn without_blocks(file: &str) -> String {
    let config = EnvoyConfig::file(file);
    let lines: Vec<_> = config.text().lines().collect();
    let blocks = |line: &str| line.contains("direct_response: { status: 404");
    let is_block = |at: usize| blocks(lines[at]) || lines.get(at + 1).is_some_and(|next| blocks(next));
    let kept = (0..lines.len()).filter(|at| !is_block(*at));
    kept.map(|at| format!("{}\n", lines[at])).collect()
}

/// envoy.yaml with only these routes before its last one.
fn with(profile: &str, routes: &[&str]) -> Report {
    let routes: String = routes.iter().map(|route| format!("              - {route}\n")).collect();
    fits_text(&home(EDGE, profile), &without_blocks(EDGE).replace(LAST, &format!("{routes}{LAST}")))
}

#[test]
fn the_shipped_files_block_the_login_routes_of_every_profile() {
    for file in [EDGE, "envoy-behind-proxy.yaml", "envoy-proxy-protocol.yaml"] {
        for profile in PROFILES {
            let text = EnvoyConfig::file(file);
            let report = fits_text(&home(file, profile.name), text.text());
            let checked = report.assert_nothing().checked.contains("envoy_login_routes");
            assert!(checked, "{file} {}", profile.name);
            let report = fits_text(&home(file, profile.name), &without_blocks(file));
            match profile.login_routes.paths {
                [] => report.assert_nothing(),
                [first, ..] => report
                    .assert_only(Code::EnvoyLoginRoutes, "error", 1)
                    .says(&first.replace('*', "x"))
                    .says(&format!("profile {}", profile.name)),
            };
        }
    }
    let without: BTreeSet<_> =
        PROFILES.iter().filter(|it| it.login_routes.paths.is_empty()).map(|it| it.name).collect();
    assert_eq!(without, BTreeSet::from(["generic", "openai", "azure-openai"]));
}

#[test]
fn a_block_must_be_whole_and_first() {
    const ANSWER: &str = "direct_response: { status: 404 }";
    let whole = |matched: &str| format!("{{ match: {{ {matched} }}, {ANSWER} }}");
    let code = Code::EnvoyLoginRoutes;
    // Anthropic has one.
    let regex = whole("safe_regex: { regex: '/v1(/|%2[fF])oauth(/|%2[fF])token(%0[aA])?' }");
    with("anthropic", &[&regex]).assert_nothing();
    with("anthropic", &[&whole("prefix: /v1")]).assert_nothing();
    // Only some requests of the path, or behind a route that forwards it.
    let methods =
        regex.replace("} }, direct", "}, headers: [ { name: ':method', string_match: { exact: POST } } ] }, direct");
    assert_ne!(methods, regex);
    with("anthropic", &[&methods]).assert_only(code, "error", 1);
    let forwards = "{ match: { prefix: /v1 }, route: { cluster: upstream } }";
    with("anthropic", &[forwards, &regex]).assert_only(code, "error", 1).says("/v1/oauth/token");
    with("anthropic", &["{ match: { prefix: /v2 }, route: { cluster: upstream } }", &regex]).assert_nothing();
    // Envoy matches the whole path.
    with("anthropic", &[&whole("safe_regex: { regex: 'oauth' }")]).assert_only(code, "error", 1);
    // The escaped spelling, which is a finding about the route as well.
    let plain = with("anthropic", &[&whole("path: /v1/oauth/token")]);
    let codes: BTreeSet<_> = plain.findings.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, BTreeSet::from(["envoy_escaped_slashes", "envoy_login_routes"]), "{}", plain.texts);
    plain.says("/v1/oauth/token%0A");
    let action = "path_with_escaped_slashes_action";
    let text = without_blocks(EDGE).replace(&format!("{action}: KEEP_UNCHANGED"), &format!("{action}: REJECT_REQUEST"));
    let route = format!("              - {}\n{LAST}", whole("prefix: /v1/oauth/token"));
    fits_text(&home(EDGE, "anthropic"), &text.replace(LAST, &route)).assert_nothing();
}

#[test]
fn the_profiles_of_routes_are_checked_too() {
    let home = home(EDGE, "openai").set("credentials.route_profiles", "[\"litellm\"]");
    let report = fits_text(&home, &without_blocks(EDGE));
    report.assert_only(Code::EnvoyLoginRoutes, "error", 1).says("/sso/x").says("profile litellm");
    edited(EDGE, home, &[]).assert_nothing();
}

#[test]
fn the_manual_lists_the_login_routes_of_every_profile() {
    let manual = fs::read_to_string("docs/keys-and-profiles.md").unwrap();
    for profile in PROFILES.iter().filter(|profile| !profile.login_routes.paths.is_empty()) {
        let paths = profile.login_routes.paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
        let row = format!("| `{}` | {paths} |", profile.name);
        assert!(manual.lines().any(|line| line == row), "docs/keys-and-profiles.md must have the row\n{row}");
        assert!(!profile.login_routes.source.is_empty());
    }
}
