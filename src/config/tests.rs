use super::*;
use crate::{
    domain::{BindingRules, FirstUse},
    settings::Help,
};

mod credentials;
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
        "FILE: line 1: mode: \"no-such\" is not one of: enforce",
        "FILE: line 2: check_deadline: \"150\" is not a duration such as 150ms, 2s or 10m",
        "FILE: line 3: unknown: unknown setting; docs/configuration.md lists the settings",
        "FILE: line 15: binding.confirm: unknown setting",
        "listen.grpc: 0.0.0.0:9191 is not loopback",
        "FILE: line 6: listen.grpc_mode: 0666 lets every user",
        "FILE: line 8: client_ip.source: \"dns\" is not one of: peer, metadata, xff, header",
        "FILE: line 9: client_ip.unclaimable: 10.0.0.1/8 has host bits set; did you mean 10.0.0.0/8?",
        "FILE: line 9: client_ip.unclaimable: \"x\" is not an IP address or CIDR",
        "FILE: line 11: store.url: must be sqlite:PATH or postgres://",
        "FILE: line 13: pepper.secrets: a pepper has at least 32 bytes, this one has 8",
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
            faults.starts_with("FILE: line 2: store.url: ")
                && faults.contains("sqlite:")
                && faults.lines().count() == 1,
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
            faults.contains(&format!("FILE: line 1: answers.help.{key}: ")) && faults.contains(fault),
            "{value:?}: {faults}"
        );
        assert!(!faults.contains("hunter2"), "{faults}");
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
        ("binding.prefix_v4 = 24.5", "FILE: line 1: binding.prefix_v4: is a fraction; write a whole number"),
        ("listen.grpc = '/run/a.sock'", "write unix: before the path of a socket: unix:/run/a.sock"),
        ("listen.grpc = 'localhost:9191'", "\"localhost:9191\" is neither IP:PORT nor unix:/path"),
        ("mode = 2026-12-01", "FILE: line 1: mode: is a date; write a text in quotes"),
        (
            "client_ip.trusted_hops = -1",
            "must be a list in brackets, and -1 looks like a number of proxies; list their",
        ),
        (
            "client_ip.trusted_proxies = [2]",
            "FILE: line 1: client_ip.trusted_proxies: 2 looks like a number of proxies",
        ),
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
