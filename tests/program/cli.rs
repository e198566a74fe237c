//! The command line without a server: usage, help, the configuration, and the error if no server answers.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, net::UnixListener},
    process::{Command, Stdio},
};

use crate::common::sentinel;
use crate::run::{Seen, run};

/// Looks like a key, and must not be in any output.
const SECRET: &str = "sk-proj-SeCrEt0123456789";
const NOWHERE: &str = "unix:/nonexistent/admin.sock";

/// Exit code 2, one line on stderr, nothing on stdout, and no part of the key.
fn assert_usage(args: &[&str]) -> String {
    let Seen { code, out, err } = run(args, b"");
    assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
    assert!(!err.contains("SeCrEt"), "{args:?}: {err}");
    assert!(err.starts_with("error: ") && err.lines().count() == 1, "{args:?}: {err}");
    err
}

#[test]
fn a_key_on_the_command_line_is_rejected_and_not_repeated() {
    for command in [&["bindings", "show"][..], &["unbind"], &["ban"], &["unban"], &["audit", "list", "--key"]] {
        let said = assert_usage(&[command, &[SECRET]].concat());
        assert!(said.contains("--key-file PATH"), "{said}");
    }
}

#[test]
fn no_misplaced_argument_is_repeated() {
    let flag = format!("--{SECRET}");
    let assigned = format!("--key={SECRET}");
    let path = format!("/{SECRET}");
    let (s, key) = (SECRET, "0a1b2c3d");
    for args in [
        &[s][..],
        &["help", s],
        &["bindings", s],
        &["bindings", "list", s],
        &["serve", s],
        &["status", s],
        &["unban", key, s],
        &["unban", key, "--profile", s],
        &["unban", &flag],
        &["unban", &assigned],
        &["unban", "--", s],
        &["unban", "--key", s],
        &["ban", key, "--for", s],
        &["unbind", key, "--to", s],
        &["unbind", key, "--open", s],
        &["unbind", key, &format!("--open={s}")],
        &["bindings", "list", "--network", s],
        &["bindings", "list", "--state", s],
        &["bindings", "list", "--limit", s],
        &["audit", "list", "--kind", s],
        &["audit", "list", "--since", s],
        &["audit", "list", "--decision", s],
        &["audit", "export", "--until", s],
        &["audit", "export", "--format", s],
        &["audit", "tail", s],
        &["explain", "--peer", s],
        &["doctor", s],
        &["explain", s, "--peer", "203.0.113.7"],
        &["explain", "--peer", "203.0.113.7", "--metadata", s],
        &["explain", "--peer", "203.0.113.7", "--missing", s],
        &["status", "--output", s],
        &["status", "--admin", s],
        &["unban", "--key-file", &path, "--admin", NOWHERE],
    ] {
        assert_usage(args);
    }
}

#[test]
fn a_usage_error_says_what_to_do() {
    for (args, said) in [
        (&["unban"][..], "missing <REF|--key-file <PATH>>; --help shows how"),
        (&["unbind", "0a1b2c3d", "--to", "10.0.0.0/8", "--open"], "--to <CIDR> and --open cannot be used together"),
        (&["ban", "0a1b2c3d", "--key-file", "-"], "cannot be used together"),
        (&["audit", "list", "--key", "0a1b2c3d", "--key-file", "-"], "cannot be used together"),
        (&["unban", "0a1b2c3d", "--profile", "generic"], "cannot be used together"),
        (&["audit", "list", "--key", "0a1b2c3d", "--profile", "generic"], "cannot be used together"),
        (&["unban", "--profile", "generic"], "missing "),
        (&["audit", "list", "--profile", "generic"], "missing --key-file <PATH>"),
        (&["unbind", "0a1b2c3d", "--to", "10.0.0.1/8"], "did you mean 10.0.0.0/8?"),
        (&["ban", "0a1b2c3d", "--for", "0s"], "--for <DURATION>: must be at least 1ms"),
        (&["ban", "0a1b2c3d", "--for", "500us"], "must be at least 1ms"),
        (&["ban", "0a1b2c3d", "--for", "soon"], "must be a duration such as 30m, 2h or 7d"),
        (&["ban", "0a1b2c3d", "--for", "1h", "--for", "2h"], "--for <DURATION> is given more than once"),
        (&["bindings", "list", "--limit", "0"], "--limit <N>: must be 1 to 1000"),
        (&["bindings", "list", "--limit", "1001"], "must be 1 to 1000"),
        (
            &["audit", "list", "--kind", "x"],
            "must be one of denied, would_deny, first_use, network_added, archived, set, claim",
        ),
        (&["audit", "export", "--since", "yesterday"], "must be a time such as 2026-11-21T08:30:00Z or 2026-11-21"),
        (&["audit", "export", "--format", "xml"], "--format <FORMAT>: must be one of csv, jsonl"),
        (&["status", "--output", "csv"], "csv is for listings: bindings list, bindings promote, audit list"),
        (&["pepper", "list", "--output", "csv"], "csv is for listings"),
        (&["pepper", "activate", "0a1b2c3d", "--output", "csv"], "csv is for listings"),
        (&["doctor", "--output", "csv"], "csv is for listings"),
        (&["status", "--output", "xml"], "must be one of table, json, csv"),
        (&["status", "--output", ""], "--output <FORMAT>: must be one of table, json, csv"),
        (&["status", "--admin", "127.0.0.1:1"], "must begin with unix:"),
        (&["explain"], "missing --peer <ADDR>; --help shows how"),
        (&["explain", "--peer", "203.0.113.7:80"], "must be an IP address without a port"),
        (&["explain", "--peer", "::1", "--metadata", "x-client-ip"], "must be x-client-ip=ADDR or x-peer-ip=ADDR"),
        (&["bannings"], "unknown command"),
        (&["unbna", "0a1b2c3d"], "; did you mean unbind, unban?"),
        (&["unban", "0a1b2c3d", "--opne"], "unexpected argument"),
    ] {
        let whole = assert_usage(args);
        assert!(whole.contains(said), "{args:?}: {whole}");
    }
}

#[test]
fn no_command_shows_the_help_and_is_a_usage_error() {
    for args in [&[][..], &["bindings"], &["audit"], &["pepper"]] {
        let seen = run(args, b"");
        assert!(seen.code == 2 && seen.err.contains("Usage: sentinel"), "{args:?}: {seen:?}");
    }
}

#[test]
fn a_key_file_holds_one_key_and_nothing_else() {
    let ask = |input: &[u8]| {
        let seen = run(&["unban", "--key-file", "-", "--admin", NOWHERE], input);
        assert!(!seen.err.contains("SeCrEt"), "{seen:?}");
        seen.code
    };
    for text in ["", "\n", "sk-SeCrEt\nsk-SeCrEt\n", "sk-SeCrEt\n\n"] {
        assert_eq!(ask(text.as_bytes()), 2, "{text:?}");
    }
    assert_eq!(ask(b"sk-\xff"), 2);
    assert_eq!(ask(&[b'k'; 70_000]), 2);
    // These are valid, so the error is about the socket.
    for text in ["sk-SeCrEt", "sk-SeCrEt\n", "sk-SeCrEt\r\n"] {
        assert_eq!(ask(text.as_bytes()), 3, "{text:?}");
    }
}

#[test]
fn an_unreachable_server_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let stale = directory.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    let stale = format!("unix:{}", stale.display());
    for socket in [NOWHERE, &stale] {
        for command in
            [&["status"][..], &["bindings", "list"], &["ban", "0a1b2c3d"], &["audit", "list"], &["audit", "tail"]]
        {
            let Seen { code, out, err } = run(&[command, &["--admin", socket]].concat(), b"");
            assert_eq!((code, out.as_str(), err.lines().count()), (3, "", 1), "{command:?}: {err}");
            assert!(err.contains(socket) && err.contains("is `sentinel serve` running?"), "{err}");
        }
    }
}

#[test]
fn a_connection_that_fails_has_the_exit_code_of_an_unreachable_server() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("admin.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let Seen { code, out, err } = run(&["status", "--admin", &format!("unix:{}", socket.display())], b"");
    assert_eq!((code, out.as_str(), err.lines().count()), (3, "", 1), "{err}");
    assert!(err.contains("failed ("), "{err}");
}

#[test]
fn check_config_lists_every_fault_at_once_and_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (directory.path().join("sentinel.toml"), directory.path().join("data"));
    let check = |text: &str| {
        fs::write(&file, format!("data_dir = {data:?}\n{text}")).unwrap();
        run(&["check-config", "--config", file.to_str().unwrap()], b"")
    };
    let valid = Seen { code: 0, out: "The configuration is valid.\n".to_owned(), err: String::new() };
    assert_eq!(check("credentials.missing = \"allow\"\n"), valid);
    let Seen { code, out, err } = check(
        "mode = \"no-such\"\nlisten.grpc = \"0.0.0.0:9191\"\nclient_ip.unclaimable = [\"10.0.0.1/8\"]\n\
         store.url = \"mysql://u:SeCrEt@db/s\"\npepper.secrets = [\"SeCrEt\"]\nno_such = 1\n",
    );
    assert_eq!((code, out.as_str()), (2, ""));
    let mut lines = err.lines();
    assert_eq!(lines.next(), Some("error: the configuration is not valid:"));
    let faults: Vec<_> = lines.collect();
    for setting in ["mode", "listen.grpc", "client_ip.unclaimable", "store.url", "pepper.secrets", "no_such"] {
        let naming = faults.iter().filter(|fault| fault.contains(setting)).count();
        assert_eq!(naming, 1, "{setting}: {err}");
    }
    assert!(faults.len() == 6 && !err.contains("SeCrEt"), "{err}");
    assert!(!data.exists(), "a check makes nothing");
    let missing = run(&["check-config", "--config", "/nonexistent/sentinel.toml"], b"");
    assert!(missing.code == 2 && missing.err.contains("/nonexistent/sentinel.toml"), "{missing:?}");
}

#[test]
fn migrate_makes_the_same_store_as_serve_and_can_be_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (directory.path().join("sentinel.toml"), directory.path().join("data"));
    fs::write(&file, format!("data_dir = {data:?}\n")).unwrap();
    let migrate = || run(&["migrate", "--config", file.to_str().unwrap()], b"");
    for _ in 0..2 {
        let Seen { code, out, err } = migrate();
        assert_eq!((code, out), (0, format!("sqlite:{}/sentinel.db is up to date.\n", data.display())), "{err}");
    }
    fs::write(
        &file,
        "store.url = \"postgres://u:SeCrEt@127.0.0.1:1/s\"\npepper.secrets = [\"0123456789abcdef0123456789abcdef\"]\n",
    )
    .unwrap();
    let Seen { code, out, err } = migrate();
    assert!(code == 1 && out.is_empty(), "{out}");
    assert!(
        err.starts_with("error: store.url: 127.0.0.1:1/s: the store is unavailable") && !err.contains("SeCrEt"),
        "{err}"
    );
}

/// The service has the pepper in its environment, and the file may have faults: an operator still reaches the server.
#[tokio::test]
async fn a_command_needs_only_the_settings_that_lead_to_the_socket() {
    let sentinel = sentinel().start().await;
    let file = sentinel.home().path().join("operator.toml");
    let socket = sentinel.home().admin_socket();
    for rest in [
        "mode = \"no-such\"",
        "no_such = 1",
        "store.url = \"postgres://u@db/s\"",
        "pepper.secrets_file = [\"/nonexistent\"]",
        "credentials.profile = \"no-such\"",
    ] {
        fs::write(&file, format!("listen.admin = \"unix:{}\"\n{rest}\n", socket.display())).unwrap();
        let with_file = |command: &[&str]| run(&[command, &["--config", file.to_str().unwrap()]].concat(), b"");
        for command in [&["bindings", "list"][..], &["status"], &["audit", "list"], &["pepper", "list"]] {
            let Seen { code, err, .. } = with_file(command);
            assert_eq!((code, err.as_str()), (0, ""), "{rest} {command:?}");
        }
        assert_eq!(with_file(&["check-config"]).code, 2, "{rest}");
    }
    for rest in ["listen.admin = \"127.0.0.1:1\"", "listen.admin = 1 = 2", "data_dir = []", "data_dir = 1.5"] {
        fs::write(&file, rest).unwrap();
        let Seen { code, err, .. } = run(&["bindings", "list", "--config", file.to_str().unwrap()], b"");
        assert!(code == 2 && err.contains("operator.toml: "), "{rest}: {err}");
    }
    sentinel.stop().await;
}

#[test]
fn a_variable_that_is_not_utf_8_is_named_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    for variable in ["SENTINEL_HMAC_SECRET", "SENTINEL_PEPPER__SECRETS", "SENTINEL_DATA_DIR", "SENTINEL_NO_SUCH"] {
        // check-config first: if it finds no fault, `serve` would not end. `status` reads only what leads to the socket.
        let commands: &[&[&str]] = match variable {
            "SENTINEL_DATA_DIR" => &[&["check-config"], &["status"], &["serve"]],
            _ => &[&["check-config"], &["serve"]],
        };
        for arguments in commands {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
            command.env_clear().env(variable, OsStr::from_bytes(b"SeCrEt-0123456789-0123456789-0123456789\xff"));
            // A variable of another program is ignored.
            command.env("LC_ALL", OsStr::from_bytes(b"\xff")).args(*arguments).current_dir(&directory);
            let output = command.stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{variable}: {said}");
            assert_eq!(said, format!("error: the configuration is not valid:\n{variable}: is not UTF-8\n"));
        }
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "nothing was made");
}

#[test]
fn every_command_has_a_summary_and_examples() {
    for command in [
        &[][..],
        &["serve"],
        &["check-config"],
        &["pepper", "new"],
        &["bindings", "list"],
        &["bindings", "show"],
        &["unbind"],
        &["ban"],
        &["unban"],
        &["status"],
        &["explain"],
        &["audit", "list"],
        &["audit", "export"],
        &["audit", "tail"],
    ] {
        let Seen { code, out: help, .. } = run(&[command, &["--help"]].concat(), b"");
        assert_eq!(code, 0, "{command:?}");
        assert!(help.contains("\nExamples:\n  "), "{command:?}: {help}");
        assert!(help.contains(&format!("Usage: sentinel {}", command.join(" "))), "{command:?}: {help}");
        assert!(help.lines().all(|line| line.chars().count() <= 110), "{command:?}: {help}");
        assert!(!help.contains('\u{1b}'), "{command:?} has colour");
    }
}

#[test]
fn each_pepper_is_64_hex_digits_and_new() {
    let pepper = || {
        let Seen { code, out, err } = run(&["pepper", "new"], b"");
        let id = key_ip_sentinel::domain::Pepper::new(out.trim_end().as_bytes()).unwrap().id();
        assert_eq!((code, err), (0, format!("pepper {id}\n")), "its id, by which other commands name it");
        out
    };
    let (one, two) = (pepper(), pepper());
    for text in [&one, &two] {
        let digits = text.strip_suffix('\n').unwrap();
        assert!(digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{text}");
    }
    assert_ne!(one, two);
}

#[test]
fn a_reader_that_closes_the_pipe_is_not_an_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.env_clear().args(["pepper", "new"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
