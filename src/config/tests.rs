use super::*;
use crate::{
    credential::{Alphabet, BasicPart, CREDENTIAL_HEADERS, Dialect, Form, PROFILES, Plus, Profile},
    domain::{BindingRules, FirstUse},
    settings::Help,
};

mod secrets;

pub(super) fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sentinel.toml");
    std::fs::write(&file, text).unwrap();
    let env = env.iter().map(|(name, value)| (name.into(), value.into()));
    load(Some(&file), env).map_err(|faults| faults.to_string().replace(&file.display().to_string(), "FILE"))
}

#[test]
fn an_empty_configuration_has_the_defaults() {
    let config = load(None, []).unwrap();
    assert_eq!(config.listen.grpc.to_string(), "127.0.0.1:9191");
    assert_eq!(config.listen.http.to_string(), "127.0.0.1:9192");
    assert_eq!(config.listen.admin, Path::new("./sentinel-data/admin.sock"));
    assert!(matches!(&config.store, Store::Sqlite(path) if path == Path::new("./sentinel-data/sentinel.db")));
    assert_eq!(config.settings.check_deadline, Duration::from_millis(150));
    assert_eq!(config.settings.stale_grace, Duration::from_secs(600));
    assert!(config.peppers.is_none());
}

#[test]
fn the_environment_overrides_the_file() {
    let config = load_text(
        "data_dir = '/a'\n[listen]\ngrpc = 'unix:/run/x.sock'\n[client_ip]\nunclaimable = ['10.0.0.0/8']",
        &[
            ("SENTINEL_DATA_DIR", "/b"),
            ("SENTINEL_CLIENT_IP__UNCLAIMABLE", "192.168.0.0/16, fc00::/7"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.data_dir, Path::new("/b"));
    assert_eq!(config.listen.grpc.to_string(), "unix:/run/x.sock");
    assert_eq!(config.listen.admin, Path::new("/b/admin.sock"));
    assert_eq!(config.settings.binding.unclaimable.len(), 2);
}

#[test]
fn every_fault_is_listed_at_once_with_its_place() {
    let faults = load_text(
        "mode = 'no-such'\ncheck_deadline = 150\nunknown = 1\n[listen]\ngrpc = '0.0.0.0:9191'\ngrpc_mode = '0666'\n\
         [client_ip]\nsource = 'dns'\nunclaimable = ['10.0.0.1/8', 'x']\n[store]\nurl = 'mysql://u:hunter2@h/d'\n\
         [pepper]\nsecrets = ['tooshort']\n[binding]\nconfirm = 'upstream'",
        &[("SENTINEL_MODES", "x"), ("SENTINEL_CREDENTIALS__PROFILE", "open-ai"), ("SENTINEL_PORT", "tcp://10.0.0.1:9")],
    )
    .unwrap_err();
    for expected in [
        "FILE: mode: \"no-such\" is not one of: enforce",
        "FILE: check_deadline: \"150\" is not a duration such as 150ms, 2s or 10m",
        "FILE: line 3: unknown: unknown setting; docs/configuration.md lists the settings",
        "FILE: line 15: binding.confirm: unknown setting",
        "listen.grpc: 0.0.0.0:9191 is not loopback",
        "FILE: listen.grpc_mode: 0666 lets every user",
        "FILE: client_ip.source: \"dns\" is not one of: peer, metadata, xff, header",
        "FILE: client_ip.unclaimable: 10.0.0.1/8 has host bits set; did you mean 10.0.0.0/8?",
        "FILE: client_ip.unclaimable: \"x\" is not an IP address or CIDR",
        "FILE: store.url: must be sqlite:PATH or postgres://",
        "FILE: pepper.secrets: a pepper has at least 32 bytes, this one has 8",
        "SENTINEL_MODES: unknown setting; did you mean SENTINEL_MODE?",
        "SENTINEL_CREDENTIALS__PROFILE: credentials.profile: unknown profile \"open-ai\"",
    ] {
        assert!(faults.contains(expected), "{expected}\nnot in:\n{faults}");
    }
    assert_eq!(faults.lines().count(), 13, "{faults}");
    assert!(!faults.contains("hunter2") && !faults.contains("tooshort"), "a fault shows a secret: {faults}");
}

#[test]
fn an_empty_list_is_a_fault() {
    assert!(load_text("[client_ip]\nunclaimable = []", &[]).unwrap_err().contains("the list is empty"));
    assert!(load_text("", &[("SENTINEL_CLIENT_IP__UNCLAIMABLE", "")]).unwrap_err().contains("the list is empty"));
}

#[test]
fn a_broken_file_names_its_line_and_shows_nothing_of_it() {
    let faults =
        load_text("mode = 'enforce'\n[pepper]\nsecrets = ['hunter2hunter2hunter2hunter2hunter2\n", &[]).unwrap_err();
    assert!(faults.contains("FILE: line 3"), "{faults}");
    assert!(!faults.contains("hunter2"), "{faults}");
}

#[test]
fn a_fault_in_the_first_column_has_the_right_line() {
    for (text, line) in [
        ("mode = 'enforce'\nmode = 'observe'\n", 2),
        ("= 1\n", 1),
        ("\n\nmode = 'enforce'\n\nmode = 'observe'", 5),
        ("mode = 'enforce'\r\n= 1\r\n", 2),
    ] {
        let faults = load_text(text, &[]).unwrap_err();
        assert!(faults.starts_with(&format!("FILE: line {line}: ")), "{text:?}: {faults}");
    }
}

#[test]
fn a_range_of_days_is_in_days() {
    for (text, expected) in [
        ("binding.archive_after = '3651d'", "3651d is not between 0s and 3650 days"),
        ("binding.learn_window = '366d'\nbinding.max_networks = 2", "366d is not between 0s and 365 days"),
        ("store.stale_grace = '1s'", "1s is not between 2s and 7 days"),
        ("check_deadline = '11s'", "11s is not between 1ms and 10s"),
        ("audit.retention = '1h'", "1h is not between 1 day and 36500 days"),
    ] {
        let faults = load_text(text, &[]).unwrap_err();
        assert!(faults.contains(expected), "{faults}");
    }
}

#[test]
fn a_sqlite_url_must_name_a_file() {
    for url in [
        "sqlite::memory:",
        "sqlite:",
        "sqlite:?mode=memory",
        "sqlite:a.db?mode=memory",
        "sqlite:a\\u0000.db",
        "a.db",
        "",
    ] {
        let faults = load_text(&format!("[store]\nurl = \"{url}\""), &[]).unwrap_err();
        assert!(
            faults.starts_with("FILE: store.url: ") && faults.contains("sqlite:") && faults.lines().count() == 1,
            "{url}: {faults}"
        );
    }
    let config = load_text("[store]\nurl = 'sqlite:memory'", &[]).unwrap();
    assert!(matches!(&config.store, Store::Sqlite(path) if path == Path::new("memory")), "a file may have any name");
}

#[test]
fn a_variable_that_is_not_utf_8_is_a_fault_if_it_is_a_setting() {
    use std::os::unix::ffi::OsStringExt;
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let faults = load(None, [(text(b"FOO"), text(b"\xff")), (text(b"\xff"), text(b"x"))]);
    assert!(faults.is_ok());
    let faults = load(None, [("SENTINEL_HMAC_SECRET".into(), text(b"hunter2hunter2hunter2hunter2hunter2\xff"))]);
    assert_eq!(faults.unwrap_err().to_string(), "SENTINEL_HMAC_SECRET: is not UTF-8");
}

#[test]
fn the_help_of_denials_is_validated() {
    let config = load_text(
        "[answers.help]\ntext = 'Frag den Schlüsseldienst: 1 \"x\"'\nurl = 'https://help.example:8443/a?b=c#d'",
        &[("SENTINEL_ANSWERS__HELP__TEXT", "Ask \u{1f511}.")],
    );
    let help = config.unwrap().settings.help;
    assert_eq!(help.text.as_deref(), Some("Ask \u{1f511}."));
    assert_eq!(help.url.as_deref(), Some("https://help.example:8443/a?b=c#d"));
    let (text, url) = ("é".repeat(500), format!("http://h/{}", "x".repeat(491)));
    let longest = load_text(&format!("answers.help.text = '{text}'\nanswers.help.url = '{url}'"), &[]).unwrap();
    assert_eq!((longest.settings.help.text, longest.settings.help.url), (Some(text), Some(url)));
    assert_eq!(load_text("", &[]).unwrap().settings.help, Help::default());
    for (key, value, fault) in [
        ("text", "x".repeat(501), "the text has 501 characters; the maximum is 500"),
        ("text", "a\u{7f}b".into(), "the text has a control character"),
        ("text", "a\nb".into(), "the text has a control character"),
        ("text", "\u{85}".into(), "the text has a control character"),
        ("text", "a\u{2028}b".into(), "the text has a control character"),
        ("text", "a\u{2029}b".into(), "the text has a control character"),
        ("text", "a\u{202e}b".into(), "the text has a control character"),
        ("text", "a\u{2066}b".into(), "the text has a control character"),
        ("text", "  ".into(), "the text is blank"),
        ("url", format!("http://h/{}", "x".repeat(492)), "the URL has 501 characters; the maximum is 500"),
        ("url", "help.example/keys".into(), "is not an absolute http:// or https:// URL"),
        ("url", "/keys".into(), "is not an absolute http:// or https:// URL"),
        ("url", "ftp://help.example/".into(), "is not an absolute http:// or https:// URL"),
        ("url", "javascript:alert(1)".into(), "is not an absolute http:// or https:// URL"),
        ("url", "mailto:a@help.example".into(), "is not an absolute http:// or https:// URL"),
        ("url", "https://".into(), "is not an absolute http:// or https:// URL"),
        ("url", "https://:8443/".into(), "is not an absolute http:// or https:// URL"),
        ("url", "https://a:hunter2@help.example/".into(), "the URL contains a user name or password"),
        ("url", "https://help.example/a b".into(), "has characters that must be percent-encoded"),
        ("url", "https://help.example/\"".into(), "has characters that must be percent-encoded"),
        ("url", "https://help.example/ü".into(), "has characters that must be percent-encoded"),
        ("url", "https://help.example/\r\nx: y".into(), "has characters that must be percent-encoded"),
    ] {
        let written = toml::Value::String(value.clone());
        let faults = load_text(&format!("answers.help.{key} = {written}"), &[]).unwrap_err();
        assert!(
            faults.contains(&format!("FILE: answers.help.{key}: ")) && faults.contains(fault),
            "{value:?}: {faults}"
        );
        assert!(!faults.contains("hunter2"), "{faults}");
    }
}

fn credential_faults(text: &str) -> Vec<String> {
    let faults = load_text(text, &[]).unwrap_err();
    faults.lines().map(|line| line.trim_start_matches("FILE: ").to_owned()).collect()
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
            "FILE: credentials.route_profiles: {other} and credentials.profile = {main} have different canonical keys, so \
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
    let able = "new-api: authorization; litellm: authorization, x-api-key, ?key; any other needs its paths";
    assert!(listed.contains("\"key\" alone cannot be exempted for litellm") && listed.contains(able), "{listed}");
    let generic = with("generic", "'key'").unwrap_err();
    assert!(generic.contains("cannot be exempted for generic") && generic.contains(able), "{generic}");
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
        assert!(faults.contains("credentials.passthrough: ") && faults.contains("cannot be exempted"), "{faults}");
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
fn the_defaults_of_the_engine_are_those_of_the_settings() {
    let config = load_text("", &[]).unwrap();
    assert_eq!(config.settings, Settings::default());
}

#[test]
fn binding_settings_are_read_and_contradictions_are_faults() {
    let config = load_text(
        "[binding]\nprefix_v4 = 24\nprefix_v6 = 56\nprefix_overrides = ['2001:db8::/32=128', '203.0.113.0/24=32']\n\
         max_networks = 2\nlearn_window = '10m'\nfirst_use = 'deny'\n[claims]\nper_network = '5/h'\nglobal = '1000/min'\n\
         exempt = ['10.0.0.0/8']",
        &[],
    )
    .unwrap();
    let Settings { binding, claims, .. } = config.settings;
    let BindingRules { shape, first_use, .. } = binding;
    assert_eq!((shape.prefix_v4, shape.prefix_v6, shape.max_networks), (24, 56, 2));
    assert_eq!(shape.overrides.iter().map(|entry| entry.bits).collect::<Vec<_>>(), [128, 32]);
    assert_eq!((shape.learn_window, first_use), (Duration::from_secs(600), FirstUse::Deny));
    assert_eq!(claims.per_network.unwrap().claims, 5);
    assert_eq!(claims.global.unwrap().per, Duration::from_secs(60));
    assert_eq!(claims.exempt.len(), 1);

    for (text, fault) in [
        ("binding.max_networks = 2", "binding.max_networks: 2 needs binding.learn_window greater than 0s"),
        ("binding.learn_window = '1m'", "binding.learn_window: has no effect with binding.max_networks = 1"),
        ("binding.max_networks = 0", "\"0\" is not a number from 1 to 64"),
        ("binding.prefix_v4 = 33", "\"33\" is not a prefix length from 8 to 32"),
        ("binding.prefix_v6 = 8", "\"8\" is not a prefix length from 16 to 128"),
        ("binding.prefix_overrides = ['2001:db8::/32']", "is not CIDR=BITS"),
        ("binding.prefix_overrides = ['2001:db8::/32=16']", "/16 is wider than 2001:db8::/32; use at least /32"),
        ("binding.prefix_overrides = ['2001:db8::1/32=64']", "host bits set"),
        ("binding.first_use = 'ask'", "\"ask\" is not one of: claim, deny"),
        ("claims.per_network = '30'", "\"30\" is not a rate such as 30/min"),
        ("claims.per_network = '0/min'", "is not a rate"),
        ("claims.global = '5/week'", "is not a rate"),
        ("claims.exempt = []", "claims.exempt: the list is empty"),
    ] {
        let faults = load_text(text, &[]).unwrap_err().to_string();
        assert!(faults.contains(fault), "{text}: {faults}");
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

#[test]
fn the_grpc_socket_has_an_absolute_path() {
    for path in ["run/x.sock", "./x.sock", "@abstract"] {
        let faults = load_text(&format!("[listen]\ngrpc = 'unix:{path}'"), &[]).unwrap_err();
        assert!(faults.contains("must be unix: and an absolute path") && faults.lines().count() == 1, "{faults}");
    }
}

#[test]
fn audit_settings_are_read() {
    let kept = |text: &str| load_text(text, &[]).map(|config| config.audit);
    let default = kept("").unwrap();
    assert_eq!(default.retention, Some(Duration::from_hours(24 * 90)));
    assert_eq!((default.spill_max, default.mask_addresses), (256 << 20, false));
    let set = kept("[audit]\nretention = '0'\nspill_max = '64KiB'\nmask_addresses = true").unwrap();
    assert_eq!((set.retention, set.spill_max, set.mask_addresses), (None, 64 << 10, true));
    for (text, fault) in [
        ("audit.retention = '1h'", "audit.retention: 1h is not between 1 day and 36500 days"),
        ("audit.spill_max = '63KiB'", "audit.spill_max: \"63KiB\" is not a size from 64KiB"),
        ("audit.spill_max = '2048GiB'", "is not a size"),
        ("audit.spill_max = 268435456", "is not a size"),
        ("audit.spill_max = 'MiB'", "is not a size"),
        ("audit.mask_addresses = 'yes'", "\"yes\" is not one of: true, false"),
    ] {
        let faults = kept(text).unwrap_err().to_string();
        assert!(faults.contains(fault), "{text}: {faults}");
    }
}
