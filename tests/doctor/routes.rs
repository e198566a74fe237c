//! Routes that an upstream may find by another path than Envoy.

use key_ip_sentinel::doctor::Code;

use crate::{
    Report,
    common::envoy::EnvoyConfig,
    envoy::{EDGE, edited, fits_text, pair},
};

const LAST: &str = "              - match: { prefix: / }\n";
const KEPT: &str = "path_with_escaped_slashes_action: KEEP_UNCHANGED";
const DISABLED: &str =
    "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true";

/// The report about envoy.yaml with one more route and this action.
fn with_route(matched: &str, rest: &str, action: &str) -> Report {
    let route = format!("              - match: {matched}\n                {rest}\n{LAST}");
    edited(EDGE, pair(EDGE), &[(LAST, &route), (KEPT, action)])
}

#[test]
fn a_route_without_a_check_matches_only_plain_paths() {
    let filter = |config: &str| {
        format!(
            "route: {{ cluster: upstream }}\n                typed_per_filter_config: {{ envoy.filters.http.ext_authz: {{ \"@type\": {config} }} }}"
        )
    };
    let public = filter(DISABLED);
    let generic = filter("type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true");
    for rest in [&public, &generic] {
        for matched in [
            "{ prefix: /public/ }",
            "{ prefix: / }",
            "{ path_separated_prefix: /public }",
            "{ pathSeparatedPrefix: /public }",
        ] {
            let report = with_route(matched, rest, KEPT);
            report.assert_only(Code::EnvoyEscapedSlashes, "error", 1).says("reads /public/..%2fv1 as /v1");
            with_route(matched, rest, "path_with_escaped_slashes_action: REJECT_REQUEST").assert_nothing();
        }
    }
    // Envoy's default keeps them too.
    let report = with_route("{ prefix: /public/ }", &public, "merge_slashes_is_set_above: true");
    report.assert_only(Code::EnvoyEscapedSlashes, "error", 1);
    let regex = |regex: &str| with_route(&format!("{{ safe_regex: {{ regex: '{regex}' }} }}"), &public, KEPT);
    regex("/public/.*").assert_only(Code::EnvoyEscapedSlashes, "warning", 1).says("may match escaped paths");
    regex("/public/[A-Za-z0-9._~/-]*").assert_nothing();
    with_route("{ path: /public }", &public, KEPT).assert_nothing();
    // Nothing reaches an upstream.
    with_route(
        "{ prefix: /public/ }",
        &public.replace("route: { cluster: upstream }", "direct_response: { status: 200 }"),
        KEPT,
    )
    .assert_nothing();
    fits_text(&pair(EDGE), EnvoyConfig::shipped().with_public_route().text()).assert_nothing();
}

#[test]
fn a_route_that_blocks_or_has_a_profile_matches_the_escaped_spelling_too() {
    let profile = "route: { cluster: upstream }\n                typed_per_filter_config: { envoy.filters.http.ext_authz: { \"@type\": \
        type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, check_settings: { context_extensions: { \
        sentinel.profile: openai } } } }";
    for (rest, said) in
        [("direct_response: { status: 403 }", "is not blocked"), (profile, "without its sentinel.profile")]
    {
        for matched in ["{ path: /v2/login }", "{ prefix: /gemini/ }", "{ path_separated_prefix: /gemini }"] {
            let report = with_route(matched, rest, KEPT);
            report.assert_only(Code::EnvoyEscapedSlashes, "warning", 1).says(said);
            with_route(matched, rest, "path_with_escaped_slashes_action: REJECT_REQUEST").assert_nothing();
        }
        for matched in ["{ path: /login }", "{ prefix: /gemini }", "{ safe_regex: { regex: '/v2(/|%2[fF])login' } }"] {
            with_route(matched, rest, KEPT).assert_nothing();
        }
    }
}
