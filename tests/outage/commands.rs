//! The answers to operators while the store is down.

use crate::{common::postgres::Postgres, replica};

#[tokio::test]
async fn a_command_that_changes_nothing_does_not_speak_of_a_change() {
    let mut postgres = Postgres::start().await;
    let sentinel = replica(&postgres.database().await).start().await;
    postgres.stop().await;
    let outcome = |arguments: &[&str]| {
        let seen = sentinel.home().cli(arguments);
        assert_eq!(seen.status.code(), Some(3), "{seen:?}");
        String::from_utf8(seen.stderr).unwrap()
    };
    let lost = "error: the store did not answer; the server's log says why\n";
    for arguments in [
        &["bindings", "list"][..],
        &["bindings", "show", "k_0123456789abcdef"],
        &["bindings", "export"],
        &["audit", "list"],
        &["pepper", "list"],
        &["bindings", "promote", "--dry-run"],
    ] {
        assert_eq!(outcome(arguments), lost, "{arguments:?}");
    }
    let unchanged =
        "error: the store did not answer in time; nothing was changed; try again (the server's log says why)\n";
    assert_eq!(outcome(&["unban", "k_0123456789abcdef"]), unchanged, "no COMMIT was sent");
    sentinel.stop().await;
}

#[tokio::test]
async fn doctor_does_not_deny_that_it_asked_a_server_whose_store_is_away() {
    let mut postgres = Postgres::start().await;
    let sentinel = replica(&postgres.database().await).start().await;
    postgres.stop().await;
    let config = sentinel.home().config();
    let seen = sentinel.home().cli(&["--config", config.to_str().unwrap(), "doctor"]);
    let out = String::from_utf8(seen.stdout).unwrap();
    assert_eq!(seen.status.code(), Some(3), "{out}");
    assert!(out.ends_with(". The server did not answer.\n"), "{out}");
    sentinel.stop().await;
}
