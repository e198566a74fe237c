//! Memory and start.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use key_ip_sentinel::domain::{KeyDigest, Timestamp};
use rusqlite::Connection;

use crate::{
    Plan,
    report::{Table, cells},
    run::{SERVER_CORE, median},
    server::{Home, Server, Socket},
};

const BINDINGS: u32 = 1_000_000;

pub(crate) async fn measure(plan: &Plan) -> Table {
    let mut table = Table::new("Memory, start and size".to_owned(), &["", "figure", "limit"]);
    let mebi = f64::from(1 << 20);
    let idle = Server::sentinel(&plan.binary, SERVER_CORE, Socket::Unix, "");
    tokio::time::sleep(Duration::from_secs(3)).await;
    table.plain("resident memory, idle", cells!["{:.1} MiB", idle.rss() as f64 / mebi; "{} MiB", 32]);
    drop(idle);
    let memory =
        Command::new(std::env::current_exe().expect("this program")).arg("memory").output().expect("this program");
    let memory = String::from_utf8_lossy(&memory.stdout).into_owned();
    let (bytes, found) = memory.trim().split_once(' ').expect("two figures");
    table.plain(&format!("a cached key, of {found} of 1,000,000"), cells!["{} bytes", bytes; "{} bytes", 160]);
    let mut took = Vec::new();
    for _ in 0..plan.rounds.min(5) {
        let home = Home::new(&plan.binary, Socket::Unix, "");
        if took.is_empty() {
            fill(&home);
            fs::copy(home.database(), std::env::temp_dir().join("sentinel-bench.db")).expect("room");
        } else {
            fs::copy(std::env::temp_dir().join("sentinel-bench.db"), home.database()).expect("room");
        }
        let began = Instant::now();
        let server = home.start("0,1");
        took.push(began.elapsed().as_secs_f64());
        drop(server);
    }
    let _ = fs::remove_file(std::env::temp_dir().join("sentinel-bench.db"));
    table.plain("ready with 1,000,000 bindings in SQLite", cells!["{:.2} s", median(took); "{} s", 0.3]);
    let size = fs::metadata(&plan.binary).expect("a program").len();
    table.plain("the program", cells!["{:.1} MiB", size as f64 / mebi; "{}", "–"]);
    table
}

/// Writes a million bindings as first uses leave them.
fn fill(home: &Home) {
    let mut database = Connection::open(home.database()).expect("SQLite's file");
    database.pragma_update(None, "synchronous", "OFF").expect("a setting");
    database.pragma_update(None, "cache_size", -400_000).expect("a setting");
    let pepper: String = database.query_row("SELECT id FROM peppers", [], |row| row.get(0)).expect("a pepper");
    let all = database.transaction().expect("a transaction");
    {
        let mut binding = all
            .prepare("INSERT INTO bindings (key_id, digest, pepper, realm, state, created_at) VALUES (?, ?, ?, 'default', 'learned', ?)")
            .expect("the schema");
        let mut network = all.prepare("INSERT INTO binding_networks VALUES (?, ?)").expect("the schema");
        for number in 0..BINDINGS {
            let digest = crate::memory::digest(number.into());
            let id = KeyDigest::from_bytes(*digest.as_bytes()).new_id().to_string();
            let at = Timestamp::from_millis(1_767_225_600_000 + i64::from(number)).as_millis();
            binding.execute(rusqlite::params![id, digest.as_bytes(), pepper, at]).expect("a row");
            let [_, a, b, c] = number.to_be_bytes();
            network.execute([id, format!("20.{a}.{b}.{c}/32")]).expect("a row");
        }
    }
    all.commit().expect("room");
}
