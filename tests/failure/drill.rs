//! The restore drill: a PostgreSQL store is dumped, lost and put back, as docs/backup-and-move.md says, beside a
//! process that never stops. How long it takes is printed, not judged.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use key_ip_sentinel::{
    domain::{Ban, Binding, Fingerprint, KeyFacts, Pepper, Reason, State},
    store::{Action, Decisions, ExportedKey, KnownPepper, Upkeep},
};

use super::{
    ATTACKER, BAN, OWNER, Process,
    common::{
        eventually,
        postgres::{Postgres, program},
    },
    process::listed,
};

const KEYS: usize = 2000;

fn key(number: usize) -> String {
    format!("sk-drill-{number:07}")
}

/// A key of the owner's as it comes from another store; every tenth is banned.
fn exported(process: &Process, number: usize) -> ExportedKey {
    let key = process.fingerprint(&key(number));
    let (id, hint, created_at) = (key.digest.new_id(), key.hint.clone(), process.now());
    let binding = Binding {
        id,
        hint: hint.clone(),
        state: State::Learned,
        networks: vec![OWNER.parse().unwrap()],
        created_at,
        open_until: None,
        expires_at: None,
    };
    let ban = Ban { id, hint, until: None, reason: None, actor: "uid:0".to_owned(), created_at };
    let facts = KeyFacts { binding: Some(binding), ban: number.is_multiple_of(10).then_some(ban), candidates: vec![] };
    let key = Fingerprint { others: vec![], ..key };
    ExportedKey { id, key, facts, used_at: None, refused_at: None, restored_at: None, note: None, archive: vec![] }
}

async fn fill(process: &Process) {
    let known = |it: &Pepper| KnownPepper { id: it.id(), check_value: *it.check_value() };
    let peppers: Vec<_> = listed(&[7]).iter().map(known).collect();
    let keys: Vec<_> = (0..KEYS).map(|number| exported(process, number)).collect();
    let now = process.now();
    for keys in keys.chunks(500) {
        let imported = process.store.import(keys.to_vec(), peppers.clone(), "uid:0", now).await.unwrap();
        assert_eq!(imported.taken, 500);
    }
}

/// With a program of PostgreSQL's, its password in the environment.
fn run(name: &str, url: &str, args: &[&str]) -> Duration {
    let began = Instant::now();
    let url: tokio_postgres::Config = url.parse().unwrap();
    let password = std::str::from_utf8(url.get_password().unwrap()).unwrap();
    let mut command = Command::new(program(name));
    command.args(["--host", "127.0.0.1", "--port", &url.get_ports()[0].to_string()]);
    command.args(["--username", url.get_user().unwrap(), "--dbname", url.get_dbname().unwrap()]);
    let output = command.args(args).env("PGPASSWORD", password).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    began.elapsed()
}

fn dump(url: &str, to: &Path) -> Duration {
    run("pg_dump", url, &["--format", "custom", "--file", to.to_str().unwrap()])
}

fn put_back(url: &str, from: &Path) -> Duration {
    run("pg_restore", url, &["--no-owner", "--exit-on-error", "--single-transaction", from.to_str().unwrap()])
}

/// Drops the database with all its sessions, and creates an empty one of the same name.
async fn destroy(postgres: &Postgres, url: &str) {
    let (beside, name) = (postgres.database().await, url.rsplit('/').next().unwrap());
    postgres.query(&beside, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    postgres.query(&beside, &format!("CREATE DATABASE {name} OWNER {}", super::common::postgres::USER)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_dump_is_followed_by_a_process_that_never_stopped() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let process = Process::of_server(&url, listed(&[7])).await;
    let ask = async |key: &str, from: &str| process.ask(key, from, Duration::ZERO).await;
    process.poll(Duration::ZERO).await;
    fill(&process).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.dump");
    let dumped = dump(&url, &file);

    // After the dump: a binding, a ban, and a ban that is lifted. All of it is in the process's memory.
    assert_eq!(ask("sk-young", OWNER).await, Reason::FirstUse);
    process.change(&key(1), BAN).await;
    process.change(&key(10), Action::Unban).await;
    process.poll(Duration::ZERO).await;
    assert_eq!(ask("sk-young", OWNER).await, Reason::Bound);
    assert_eq!((ask(&key(1), OWNER).await, ask(&key(10), OWNER).await), (Reason::KeyBanned, Reason::Bound));
    let known = process.replica_state.applied();

    let lost = Instant::now();
    destroy(postgres, &url).await;
    let restored = put_back(&url, &file);
    // Others are quicker, and bring the restored store past the revision that this process is at.
    let other = Process::of_server(&url, listed(&[7])).await;
    other.poll(Duration::ZERO).await;
    assert!(other.replica_state.applied() < known, "the restored store is where it was dumped");
    while other.change(&key(20), BAN).await <= known {}
    eventually("the process reaches the restored store", async || process.store.changes_after(known).await.ok()).await;
    process.poll(Duration::ZERO).await;
    let followed = lost.elapsed();

    assert!(process.replica_state.applied() > known);
    assert_eq!(ask(&key(10), OWNER).await, Reason::KeyBanned, "the ban before the dump holds again");
    assert_eq!(ask(&key(1), OWNER).await, Reason::Bound, "the ban after it is gone");
    assert_eq!(ask(&key(1), ATTACKER).await, Reason::IpMismatch);
    assert_eq!(
        ask("sk-young", ATTACKER).await,
        Reason::FirstUse,
        "without an owner, and claimed by the next first use"
    );
    assert_eq!(ask("sk-young", OWNER).await, Reason::IpMismatch);
    for number in (0..KEYS).step_by(97) {
        let reason = if number.is_multiple_of(10) { Reason::KeyBanned } else { Reason::Bound };
        assert_eq!(ask(&key(number), OWNER).await, reason, "{number}");
    }
    eprintln!(
        "restore drill: {KEYS} keys dumped in {:.2} s, restored in {:.2} s, followed {:.2} s after the loss",
        dumped.as_secs_f64(),
        restored.as_secs_f64(),
        followed.as_secs_f64()
    );
}
