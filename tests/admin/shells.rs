//! Completions and manual pages.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::run::run;

#[test]
fn every_shell_gets_a_script_and_bash_can_read_its_own() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let seen = run(&["completions", shell], b"");
        assert!(seen.code == 0 && seen.err.is_empty() && seen.out.contains("promote"), "{shell}");
    }
    let script = run(&["completions", "bash"], b"").out;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let read = bash.wait_with_output().unwrap();
    assert!(read.status.success() && read.stderr.is_empty(), "{}", String::from_utf8_lossy(&read.stderr));

    let asked = format!(
        "{script}\nCOMP_WORDS=(sentinel bindings pro); COMP_CWORD=2; _sentinel sentinel pro bindings; echo \"${{COMPREPLY[@]}}\""
    );
    let completed = Command::new("bash").args(["-c", &asked]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout), "promote\n", "{completed:?}");
}

#[test]
fn the_program_and_every_command_have_a_page() {
    for (args, title) in [
        (&["man"][..], ".TH sentinel 1"),
        (&["man", "bindings", "promote"], ".TH sentinel-bindings-promote 1"),
        (&["man", "undo"], ".TH sentinel-undo 1"),
    ] {
        let seen = run(args, b"");
        assert!(seen.code == 0 && seen.out.contains(title) && seen.out.contains("Examples:"), "{args:?}: {}", seen.out);
    }
    let seen = run(&["man", "bindings", "no-such"], b"");
    assert_eq!(
        (seen.code, seen.err.as_str()),
        (2, "error: COMMAND: unknown command; `sentinel --help` lists the commands\n")
    );
}
