//! `credentials.*`.

use super::*;
use crate::credential::{Alphabet, BasicPart, CREDENTIAL_HEADERS, Dialect, Form, PROFILES, Plus, Profile};

fn credential_faults(text: &str) -> Vec<String> {
    let faults = load_text(text, &[]).unwrap_err();
    let place = |line: &str| line.find(": credentials.").map_or(0, |at| at + 2);
    faults.lines().map(|line| line[place(line)..].to_owned()).collect()
}

const ACME: &str = "[credentials.custom.acme]\ncarriers = ['header x-acme-key bare', 'query token', 'cookie acme']\n\
                    strip = 'a_'\nfold_case = true\nalphabet = 'base64url'\nmin_length = 20\nmax_length = 40\n\
                    query_plus = 'literal'\ndialect = 'anthropic'\n";

const SANCTUM: &str = "[credentials.custom.sanctum]\ncarriers = ['header authorization bearer']\nstrip_through = '|'\n";

#[test]
fn every_profile_can_be_configured_and_a_custom_one_too() {
    for profile in PROFILES {
        let config = load_text(&format!("[credentials]\nprofile = '{}'", profile.name), &[]).unwrap();
        assert_eq!(config.credentials.profile.name, profile.name);
    }
    let config = load_text(&format!("credentials.profile = 'acme'\n{ACME}"), &[]).unwrap();
    let Profile { name, dialect, carriers, unread, plus, grammar, .. } = config.credentials.profile;
    assert_eq!((name, dialect, plus), ("acme", Dialect::Anthropic, Plus::Literal));
    let labels: Vec<_> = carriers.iter().map(|carrier| carrier.label()).collect();
    assert_eq!(labels, ["x-acme-key", "?token", "cookie acme", "sec-websocket-protocol"]);
    assert_eq!(*unread, CREDENTIAL_HEADERS);
    assert_eq!((grammar.canonical.strip, grammar.canonical.fold), ("a_", true));
    assert_eq!((grammar.formats[0].alphabet, grammar.formats[0].length), (Alphabet::BASE64URL, (20, 40)));
    let by_environment = load_text(
        "",
        &[
            ("SENTINEL_CREDENTIALS__PROFILE", "acme"),
            ("SENTINEL_CREDENTIALS__CUSTOM__ACME__CARRIERS", "header authorization bearer, query key"),
            ("SENTINEL_CREDENTIALS__CUSTOM__ACME__PREFIXES", "ak_,ck_"),
        ],
    );
    let profile = by_environment.unwrap().credentials.profile;
    assert_eq!((profile.carriers.len(), profile.grammar.formats.len()), (3, 2));
    assert!(!profile.unread.contains(&"authorization") && profile.unread.contains(&"x-api-key"));
}

#[test]
fn a_carrier_may_have_any_scheme() {
    for (form, expected) in [
        ("scheme:Token", Form::Scheme(&["Token"])),
        ("scheme:Token|ApiKey|SSWS", Form::Scheme(&["Token", "ApiKey", "SSWS"])),
        ("scheme:bearer", Form::Bearer),
        ("scheme:Bearer|Key", Form::Scheme(&["Bearer", "Key"])),
        ("scheme:Basic user", Form::Basic(BasicPart::User)),
        ("scheme:basic password", Form::Basic(BasicPart::Password)),
    ] {
        let text =
            format!("credentials.profile = 'a'\n[credentials.custom.a]\ncarriers = ['header authorization {form}']");
        assert_eq!(load_text(&text, &[]).unwrap().credentials.profile.carriers[0].form, expected, "{form}");
    }
}

#[test]
fn one_realm_has_one_canonicalisation() {
    let load = |main: &str, routes: &str| {
        load_text(
            &format!("credentials.profile = '{main}'\ncredentials.route_profiles = [{routes}]\n{ACME}{SANCTUM}"),
            &[],
        )
    };
    for (main, routes) in [
        ("new-api", "'one-api'"),
        ("one-api", "'new-api', 'one-api'"),
        ("generic", "'openai', 'anthropic', 'gemini', 'litellm'"),
        ("acme", "'acme'"),
    ] {
        let config = load(main, routes).unwrap();
        assert_eq!(config.credentials.route_profiles.len(), routes.split(',').count());
    }
    for (main, other) in [
        ("generic", "one-api"),
        ("new-api", "generic"),
        ("litellm", "new-api"),
        ("generic", "azure-openai"),
        ("one-api", "acme"),
        ("acme", "generic"),
        ("generic", "sanctum"),
        ("sanctum", "generic"),
    ] {
        let faults = load(main, &format!("'{other}'")).unwrap_err();
        let expected = format!(
            "FILE: line 2: credentials.route_profiles: {other} and credentials.profile = {main} have different canonical keys, so \
             one key would have two owners"
        );
        assert!(faults.starts_with(&expected) && faults.lines().count() == 1, "{faults}");
    }
    assert_eq!(
        credential_faults("credentials.route_profiles = ['nobody', 'one-api']").len(),
        2,
        "each entry has its own fault"
    );
}

#[test]
fn only_carriers_that_the_upstream_ignores_can_be_exempted() {
    let with = |profile: &str, list: &str| {
        load_text(&format!("credentials.profile = '{profile}'\ncredentials.passthrough = [{list}]"), &[])
    };
    assert_eq!(with("litellm", "'authorization', '?key'").unwrap().credentials.options.passthrough.len(), 2);
    assert!(with("new-api", "'authorization'").is_ok());
    let listed = with("litellm", "'key'").unwrap_err();
    let able = "possible with litellm: \"authorization\", \"x-api-key\", \"?key\", \"authorization beside x-litellm-api-key on \
                /anthropic/* source ";
    assert!(listed.contains("\"key\" alone exempts no carrier; ") && listed.contains(able), "{listed}");
    let generic = with("generic", "'key'").unwrap_err();
    assert!(generic.ends_with("possible with generic: none, so remove the entry"), "{generic}");
    let path = with("generic", "'/healthz'").unwrap_err();
    assert!(path.contains("\"/healthz\" is a path, ") && path.contains("docs/deploy.md"), "{path}");
    let capitals = with("litellm", "'Authorization'").unwrap_err();
    assert!(capitals.contains("\"Authorization\" must be in lower case: \"authorization\""), "{capitals}");
    for (profile, list) in [
        ("generic", "'authorization'"),
        ("new-api", "'x-api-key'"),
        ("litellm", "'x-litellm-api-key'"),
        ("litellm", "'key'"),
        ("one-api", "'cookie session'"),
    ] {
        let faults = with(profile, list).unwrap_err();
        assert!(faults.contains("credentials.passthrough: ") && faults.contains("exempts no carrier"), "{faults}");
    }
}

#[test]
fn every_entry_that_a_fault_proposes_is_accepted() {
    for profile in PROFILES {
        let with = |entry: &str| {
            load_text(&format!("credentials.profile = '{}'\ncredentials.passthrough = ['{entry}']", profile.name), &[])
        };
        for refused in ["key", "authorization beside x-nothing", "x-nothing beside x-none on /a source text"] {
            let fault = with(refused).unwrap_err();
            let (_, proposed) = fault.split_once(&format!("possible with {}: ", profile.name)).unwrap();
            for entry in proposed.split('"').skip(1).step_by(2) {
                with(entry).unwrap();
            }
            assert_eq!(proposed == "none, so remove the entry", profile.ignored.is_empty(), "{fault}");
        }
    }
}

#[test]
fn a_credential_of_another_realm_is_exempt_only_where_the_upstream_cannot_authenticate_by_it() {
    let with = |profile: &str, entry: &str| {
        load_text(&format!("{ACME}{SANCTUM}\n[credentials]\nprofile = '{profile}'\npassthrough = ['{entry}']"), &[])
    };
    for (profile, entry) in [
        ("litellm", "authorization beside x-litellm-api-key on /github_mcp/mcp /vertex_ai/* source docs.litellm.ai"),
        ("litellm", "authorization beside x-litellm-api-key on /v1/messages /mcp /mcp/github source docs.litellm.ai"),
        ("litellm", "x-api-key beside x-litellm-api-key on /anthropic/* source docs.litellm.ai"),
        ("azure-openai", "authorization beside ocp-apim-subscription-key on /* source learn.microsoft.com"),
        ("new-api", "authorization beside x-api-key on /v1/messages source the table"),
        (
            "litellm",
            "authorization beside x-litellm-api-key on /vertex-ai/* /backend-api/codex/* source docs.litellm.ai",
        ),
        ("one-api", "x-api-key beside authorization on /v1/* source one-api reads Authorization only"),
        ("new-api", "api-key beside x-api-key on /v1/chat/completions source its TokenAuth does not read it"),
        ("acme", "authorization beside x-acme-key on /* source our own service"),
        ("acme", "x-api-key beside ?token on /a source our own service"),
    ] {
        let config = with(profile, entry).unwrap_or_else(|faults| panic!("{profile} {entry}: {faults}"));
        assert_eq!(config.credentials.options.foreign.len(), 1, "{entry}");
    }
    for (profile, entry, said) in [
        ("litellm", "authorization beside x-litellm-api-key on /langfuse/* source s.example", "could authenticate by"),
        (
            "litellm",
            "authorization beside x-litellm-api-key on /langfuse/mcp source s.example",
            "could authenticate by",
        ),
        ("litellm", "authorization beside x-litellm-api-key on /* source s.example", "could authenticate by"),
        (
            "litellm",
            "authorization beside x-litellm-api-key on /mcp /v1/chat source s.example",
            "could authenticate by",
        ),
        ("litellm", "authorization beside api-key on /vertex_ai/* source s.example", "could authenticate by"),
        ("litellm", "x-litellm-api-key beside authorization on /vertex_ai/* source s.example", "could authenticate by"),
        ("litellm", "litellm_user_api_key beside x-litellm-api-key on /a source s.example", "could authenticate by"),
        ("generic", "authorization beside x-api-key on /a source s.example", "could authenticate by"),
        ("openai", "authorization beside authorization on /a source s.example", "reads no key in"),
        ("azure-openai", "authorization beside api-key on /a source s.example", "could authenticate by"),
        ("azure-openai", "api-key beside ocp-apim-subscription-key on /a source s.example", "could authenticate by"),
        ("new-api", "authorization beside x-api-key on /v1/messages/x source s.example", "could authenticate by"),
        ("sanctum", "authorization beside x-api-key on /a source s.example", "reads no key in"),
        ("acme", "x-acme-key beside ?token on /a source s.example", "could authenticate by"),
        ("acme", "x-other beside x-acme-key on /a source s.example", "neither reads nor removes"),
        (
            "acme",
            "X-API-Key beside x-acme-key on /a source s.example",
            "nothing to exempt; write headers in lower case",
        ),
        ("acme", "x-api-key beside X-Acme-Key on /a source s.example", "write headers in lower case"),
        // No row of the table says that these upstreams do not read them.
        ("azure-openai", "x-api-key beside api-key on /* source some text", "could authenticate by"),
        ("azure-openai", "x-goog-api-key beside api-key on /a source s.example", "could authenticate by"),
        ("generic", "x-goog-api-key beside x-api-key on /a source s.example", "could authenticate by"),
        ("openai", "x-api-key beside authorization on /v1/* source s.example", "could authenticate by"),
        ("anthropic", "api-key beside x-api-key on /v1/* source s.example", "could authenticate by"),
        ("gemini", "x-api-key beside x-goog-api-key on /v1/* source s.example", "could authenticate by"),
        ("litellm", "mj-api-secret beside x-litellm-api-key on /v1/* source s.example", "could authenticate by"),
        ("one-api", "x-api-key beside authorization on /* source s.example", "could authenticate by"),
        ("one-api", "mj-api-secret beside authorization on /v1/* source s.example", "could authenticate by"),
        (
            "new-api",
            "ocp-apim-subscription-key beside authorization on /v1/* source s.example",
            "could authenticate by",
        ),
        (
            "litellm",
            "authorization beside x-litellm-api-key on /openrouter/mcp source s.example",
            "could authenticate by",
        ),
        ("acme", "authorization beside x-acme-key on /a/../b source s.example", "is not a path"),
        ("acme", "authorization beside x-acme-key on /a/*/b source s.example", "is not a path"),
        ("acme", "authorization beside x-acme-key on /a%2f source s.example", "is not a path"),
        ("acme", "authorization beside x-acme-key on a source s.example", "is not a path"),
        ("acme", "authorization beside x-acme-key on /a source", "is not \"CARRIER beside"),
        ("acme", "authorization beside x-acme-key on /a", "is not \"CARRIER beside"),
        ("acme", "authorization on /a source s.example", "is not \"CARRIER beside"),
    ] {
        let faults = with(profile, entry).unwrap_err();
        assert!(faults.contains("credentials.passthrough: ") && faults.contains(said), "{profile} {entry}: {faults}");
    }
    let opaque = "credentials.profile = 'azure-openai'\ncredentials.jwt = 'opaque'\ncredentials.passthrough = \
                  ['authorization beside ocp-apim-subscription-key on /a source s.example']";
    assert!(load_text(opaque, &[]).unwrap_err().contains("with credentials.jwt = \"opaque\" a token in"));
}

#[test]
fn every_fault_of_a_custom_profile_is_reported_at_once() {
    let faults = credential_faults(
        "credentials.profile = 'acme'\n[credentials.custom.acme]\n\
         carriers = ['header host bare', 'header x-a basic', 'query', 'cookie a b', 'header x-envoy-a bare', 'query ?']\n\
         alphabet = 'any'\nmin_length = 2\nmax_length = 61441\nfold_case = 'yes'\nquery_plus = '+'\ndialect = 'x'\nlenght = 3",
    );
    assert_eq!(faults.len(), 13, "{faults:#?}");
    assert!(faults.iter().all(|fault| fault.contains("credentials.custom.acme.")), "{faults:#?}");
    for (table, expected) in [
        ("[credentials.custom.acme]\nalphabet = 'hex'", "acme: carriers: needs at least one carrier, such as"),
        ("[credentials.custom.acme]\ncarriers = []", "acme.carriers: needs at least one carrier, such as"),
        ("[credentials.custom.litellm]\ncarriers = ['query a']", "litellm: a built-in profile has this name"),
        ("[credentials.custom.Acme]\ncarriers = ['query a']", "Acme: the name of a profile must be 1 to 32"),
        ("[credentials.custom.a]\ncarriers = ['query k', 'query K']", "a: carriers: ?K appears twice"),
        ("[credentials.custom.a]\ncarriers = ['query a.k', 'query a_k']", "a: carriers: ?a_k appears twice"),
        (
            "[credentials.custom.a]\ncarriers = ['header x-k bare', 'header X_K bearer']",
            "a: carriers: x_k appears twice",
        ),
        (
            "[credentials.custom.a]\ncarriers = ['header x-k bare', 'header X.K bearer']",
            "a: carriers: x.k appears twice",
        ),
        (
            "[credentials.custom.a]\ncarriers = ['header x.sentinel.token bare']",
            "a.carriers: the header \"x.sentinel.token\"",
        ),
        ("[credentials.custom.a]\ncarriers = ['header content.type bare']", "a.carriers: the header \"content.type\""),
        (
            "[credentials.custom.a]\ncarriers = ['query k']\nmin_length = 30\nmax_length = 20",
            "a: min_length 30 is greater than",
        ),
        (
            "[credentials.custom.a]\ncarriers = ['query k']\nalphabet = 'hex'\nprefixes = ['xy']",
            "a: \"xy\" contains characters that are not in alphabet",
        ),
        (
            "[credentials.custom.a]\ncarriers = ['query k']\nprefixes = ['acme-key']",
            "a: prefixes: \"acme-key\" alone would",
        ),
        (
            "[credentials.custom.a]\ncarriers = ['query k']\nstrip = 'sk-'\nprefixes = ['SK-a']",
            "a: prefixes: \"SK-a\" begins with strip",
        ),
        (
            "[credentials.custom.a]\ncarriers = ['query k']\nstrip_through = '||'",
            "a.strip_through: \"||\" is not one of",
        ),
        ("[credentials.custom.a]\ncarriers = ['query k']\nstrip_through = '+'", "a.strip_through: \"+\" is not one of"),
        (
            "[credentials.custom.a]\ncarriers = ['query k']\nstrip_through = ':'\nstrip = 'sk:'",
            "a: strip and prefixes must not contain the strip_through character ':'",
        ),
        ("[credentials.custom.a]\ncarriers = ['query k']\nprefixes = ['a=b']", "a: prefixes: \"a=b\" contains \"=\""),
        (
            "[credentials.custom.a]\ncarriers = ['query k']\nprefixes = ['']",
            "a: prefixes: must not contain an empty text",
        ),
        ("[credentials.custom.a]\ncarriers = ['header x scheme:Basic']", "a.carriers: scheme:Basic needs the part"),
        (
            "[credentials.custom.a]\ncarriers = ['header x scheme:Token|Basic']",
            "a.carriers: scheme:Basic needs the part",
        ),
        ("[credentials.custom.a]\ncarriers = ['header x scheme:Basic key']", "a.carriers: \"key\" is not one of: user"),
        ("[credentials.custom.a]\ncarriers = ['header x scheme:Token user']", "a.carriers: \"user\" follows a form"),
        ("[credentials.custom.a]\ncarriers = ['header x bearer user']", "a.carriers: \"user\" follows a form"),
        ("[credentials.custom.a]\ncarriers = ['header x scheme:']", "a.carriers: \"\" is not a scheme"),
        ("[credentials.custom.a]\ncarriers = ['header x scheme:T']", "a.carriers: \"T\" is not a scheme"),
        ("[credentials.custom.a]\ncarriers = ['header x scheme:1Token']", "a.carriers: \"1Token\" is not a scheme"),
        ("[credentials.custom.a]\ncarriers = ['header x scheme:Token:']", "a.carriers: \"Token:\" is not a scheme"),
        ("[credentials.custom.a]\ncarriers = ['header x scheme:Token|']", "a.carriers: \"\" is not a scheme"),
        ("[credentials.custom.a]\ncarriers = ['header x scheme:Tökën']", "a.carriers: \"Tökën\" is not a scheme"),
        (
            "[credentials.custom.a]\ncarriers = ['header x scheme:Key|KEY']",
            "a.carriers: the scheme \"KEY\" appears twice",
        ),
        ("[credentials.custom.a]\ncarriers = ['header x scheme:digest']", "a.carriers: the credentials of the scheme"),
        (
            "[credentials.custom.a]\ncarriers = ['header x scheme:Token', 'header x bearer']",
            "a: carriers: x appears twice",
        ),
        ("[credentials.custom.a.b]\ncarriers = ['query k']", "a.b.carriers: unknown setting"),
    ] {
        let faults = credential_faults(table);
        assert!(faults.len() == 1 && faults[0].contains(&format!("credentials.custom.{expected}")), "{faults:#?}");
    }
}

#[test]
fn opaque_jwt_needs_an_upstream_that_reads_them() {
    let text = |profile: &str, routes: &str| {
        format!(
            "credentials.jwt = 'opaque'\ncredentials.profile = '{profile}'\ncredentials.route_profiles = [{routes}]"
        )
    };
    for profile in ["openai", "anthropic", "gemini", "one-api", "new-api"] {
        let text = format!("credentials.jwt = 'opaque'\ncredentials.profile = '{profile}'");
        let faults = load_text(&text, &[]).unwrap_err();
        assert!(faults.starts_with("credentials.jwt: no upstream of") && faults.lines().count() == 1, "{faults}");
    }
    load_text(&text("openai", "'litellm'"), &[]).unwrap();
}
