use super::*;

fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.toml");
    std::fs::write(&file, text).unwrap();
    let env = env.iter().map(|(name, value)| (name.into(), value.into()));
    load(Some(&file), env).map_err(|faults| faults.to_string().replace(&file.display().to_string(), "FILE"))
}

#[test]
fn nothing_written_is_the_embedded_default() {
    let config = load(None, []).unwrap();
    assert_eq!(config.grpc.to_string(), "127.0.0.1:9191");
    assert_eq!(config.http.to_string(), "127.0.0.1:9192");
    assert_eq!(config.admin, Path::new("./sentinel-data/admin.sock"));
    assert_eq!(config.database, Path::new("./sentinel-data/sentinel.db"));
    assert_eq!(config.check_deadline, Duration::from_millis(150));
    assert_eq!(config.engine.stale_grace, Duration::from_secs(600));
    assert!(config.pepper.is_none());
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
    assert_eq!(config.grpc.to_string(), "unix:/run/x.sock");
    assert_eq!(config.admin, Path::new("/b/admin.sock"));
    assert_eq!(config.engine.unclaimable.len(), 2);
}

#[test]
fn every_fault_is_listed_at_once_with_its_place() {
    let faults = load_text(
        "mode = 'observe'\ncheck_deadline = 150\nunknown = 1\n[listen]\ngrpc = '0.0.0.0:9191'\ngrpc_mode = '0666'\n\
         [client_ip]\nsource = 'metadata'\nunclaimable = ['10.0.0.1/8', 'x']\n[store]\nurl = 'postgres://u:hunter2@h/d'\n\
         [pepper]\nsecrets = ['tooshort']\n[binding]\nmax_networks = 2",
        &[("SENTINEL_MODES", "x"), ("SENTINEL_CREDENTIALS__PROFILE", "openai"), ("SENTINEL_PORT", "tcp://10.0.0.1:9")],
    )
    .unwrap_err();
    for expected in [
        "FILE: mode: \"observe\" is not one of: enforce",
        "FILE: check_deadline: \"150\" is not a duration such as 150ms, 2s or 10m",
        "FILE: unknown: there is no such setting in this version",
        "FILE: binding.max_networks: there is no such setting in this version",
        "FILE: listen.grpc: 0.0.0.0:9191 is not loopback",
        "FILE: listen.grpc_mode: 0666 lets every user",
        "FILE: client_ip.source: \"metadata\" is not one of: peer",
        "FILE: client_ip.unclaimable: 10.0.0.1/8 has host bits set; did you mean 10.0.0.0/8?",
        "FILE: client_ip.unclaimable: \"x\" is not an IP address or CIDR",
        "FILE: store.url: sqlite:PATH is expected",
        "FILE: pepper.secrets: a pepper has at least 32 bytes, this one has 8",
        "SENTINEL_MODES: there is no such setting in this version",
        "SENTINEL_CREDENTIALS__PROFILE: credentials.profile: there is no profile \"openai\"",
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
fn one_pepper_from_any_of_its_places() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let id = Pepper::new(SECRET.as_bytes()).unwrap().id();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let file = file.display().to_string();
    for (text, env) in [
        (format!("[pepper]\nsecrets = ['{SECRET}']"), vec![]),
        (format!("[pepper]\nsecrets_file = ['{file}']"), vec![]),
        (String::new(), vec![("SENTINEL_PEPPER__SECRETS", SECRET)]),
        (String::new(), vec![("SENTINEL_PEPPER__SECRETS_FILE", &*file)]),
        (String::new(), vec![("SENTINEL_HMAC_SECRET", SECRET)]),
        (String::new(), vec![("SENTINEL_HMAC_SECRET_FILE", &*file)]),
    ] {
        assert_eq!(load_text(&text, &env).unwrap().pepper.unwrap().id(), id, "{text} {env:?}");
    }
    let two = load_text(&format!("[pepper]\nsecrets = ['{SECRET}']"), &[("SENTINEL_HMAC_SECRET", SECRET)]);
    assert!(two.unwrap_err().contains("this version takes one"));
    let debug = format!("{:?}", load_text(&format!("[pepper]\nsecrets = ['{SECRET}']"), &[]).unwrap());
    assert!(!debug.contains(SECRET), "{debug}");
}

#[test]
fn a_store_that_is_no_file_is_refused() {
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
        assert!(faults.starts_with("FILE: store.url: sqlite:") && faults.lines().count() == 1, "{url}: {faults}");
    }
    let config = load_text("[store]\nurl = 'sqlite:memory'", &[]).unwrap();
    assert_eq!(config.database, Path::new("memory"), "a file may have any name");
}

#[test]
fn a_variable_that_is_no_text_is_a_fault_of_ours_and_nobodys_panic() {
    use std::os::unix::ffi::OsStringExt;
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let faults = load(None, [(text(b"FOO"), text(b"\xff")), (text(b"\xff"), text(b"x"))]);
    assert!(faults.is_ok());
    let faults = load(None, [("SENTINEL_HMAC_SECRET".into(), text(b"hunter2hunter2hunter2hunter2hunter2\xff"))]);
    assert_eq!(faults.unwrap_err().to_string(), "SENTINEL_HMAC_SECRET: is not UTF-8");
}
