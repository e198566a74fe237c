//! The binary's command line where no server runs: usage, help, and what it says when nobody answers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

/// Looks like a key, and must never be seen again.
const SECRET: &str = "sk-proj-SeCrEt0123456789";
const NOWHERE: &str = "unix:/nonexistent/admin.sock";

fn sentinel(args: &[&str]) -> Output {
    sentinel_reading(args, b"")
}

fn sentinel_reading(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.env_clear().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that fails before it reads closes the pipe; that is not this helper's business.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Exit code 2, one line on stderr, nothing on stdout, and nothing of what may be a key.
fn assert_usage(args: &[&str]) -> String {
    let output = sentinel(args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(!said.contains("SeCrEt"), "{args:?}: {said}");
    assert!(said.starts_with("error: ") && said.lines().count() == 1, "{args:?}: {said}");
    assert_eq!(stdout(&output), "", "{args:?}");
    said
}

#[test]
fn a_key_on_the_command_line_is_refused_and_never_repeated() {
    for command in [&["bindings", "show"][..], &["unbind"], &["ban"], &["unban"], &["audit", "list", "--key"]] {
        let said = assert_usage(&[command, &[SECRET]].concat());
        assert!(said.contains("--key-file PATH"), "{said}");
    }
}

#[test]
fn nothing_typed_in_the_wrong_place_is_repeated() {
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
        (&["unbind", "0a1b2c3d", "--to", "10.0.0.0/8", "--open"], "--to <CIDR> and --open exclude each other"),
        (&["ban", "0a1b2c3d", "--key-file", "-"], "exclude each other"),
        (&["audit", "list", "--key", "0a1b2c3d", "--key-file", "-"], "exclude each other"),
        (&["unbind", "0a1b2c3d", "--to", "10.0.0.1/8"], "did you mean 10.0.0.0/8?"),
        (&["ban", "0a1b2c3d", "--for", "0s"], "--for <DURATION>: must be longer than nothing"),
        (&["ban", "0a1b2c3d", "--for", "500us"], "must be longer than nothing"),
        (&["ban", "0a1b2c3d", "--for", "soon"], "must be a duration such as 30m, 2h or 7d"),
        (&["ban", "0a1b2c3d", "--for", "1h", "--for", "2h"], "--for <DURATION> is given more than once"),
        (&["bindings", "list", "--limit", "0"], "--limit <N>: must be 1 to 1000"),
        (&["bindings", "list", "--limit", "1001"], "must be 1 to 1000"),
        (&["audit", "list", "--kind", "x"], "must be one of denied, first_use, unbind, ban, unban"),
        (&["status", "--output", "csv"], "must be one of table, json"),
        (&["status", "--output", ""], "--output <FORMAT>: must be one of table, json"),
        (&["status", "--admin", "127.0.0.1:1"], "must begin with unix:"),
        (&["bannings"], "no such command"),
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
        let output = sentinel(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains("Usage: sentinel"), "{args:?}");
    }
}

#[test]
fn a_key_file_holds_one_key_and_nothing_else() {
    let ask = |input: &[u8]| {
        let output = sentinel_reading(&["unban", "--key-file", "-", "--admin", NOWHERE], input);
        assert!(!stderr(&output).contains("SeCrEt"), "{}", stderr(&output));
        output.status.code()
    };
    for text in ["", "\n", "sk-SeCrEt\nsk-SeCrEt\n", "sk-SeCrEt\n\n"] {
        assert_eq!(ask(text.as_bytes()), Some(2), "{text:?}");
    }
    assert_eq!(ask(b"sk-\xff"), Some(2));
    assert_eq!(ask(&[b'k'; 20_000]), Some(2));
    // These get as far as the socket.
    for text in ["sk-SeCrEt", "sk-SeCrEt\n", "sk-SeCrEt\r\n"] {
        assert_eq!(ask(text.as_bytes()), Some(3), "{text:?}");
    }
}

#[test]
fn an_unreachable_server_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let stale = format!("unix:{}", stale.display());
    for socket in [NOWHERE, &stale] {
        for command in [&["status"][..], &["bindings", "list"], &["ban", "0a1b2c3d"], &["audit", "list"]] {
            let output = sentinel(&[command, &["--admin", socket]].concat());
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(3), "{command:?}: {said}");
            assert!(said.contains(socket) && said.contains("is `sentinel serve` running?"), "{said}");
            assert_eq!((said.lines().count(), stdout(&output)), (1, String::new()), "{said}");
        }
    }
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
        &["audit", "list"],
    ] {
        let output = sentinel(&[command, &["--help"]].concat());
        let help = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(help.contains("\nExamples:\n  "), "{command:?}: {help}");
        assert!(help.contains(&format!("Usage: sentinel {}", command.join(" "))), "{command:?}: {help}");
        assert!(help.lines().all(|line| line.chars().count() <= 110), "{command:?}: {help}");
        assert!(!help.contains('\u{1b}'), "{command:?} has colour");
    }
}

#[test]
fn each_pepper_is_64_hex_digits_and_new() {
    let pepper = || stdout(&sentinel(&["pepper", "new"]));
    let (one, two) = (pepper(), pepper());
    for text in [&one, &two] {
        let digits = text.strip_suffix('\n').unwrap();
        assert!(digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{text}");
    }
    assert_ne!(one, two);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.env_clear().args(["pepper", "new"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}
