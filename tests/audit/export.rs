//! `audit export` and `audit tail`, against the real server.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use common::{Home, Sentinel, database::Database};
use key_ip_sentinel::domain::Timestamp;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::*;

const KEY: &str = "sk-owned-0123456789";
const HEADER: &str = "record,kind,reason,key_id,network,count,first_at,last_at,actor,decision_id,detail,undo";
/// What the records of [`seed`] begin with.
const BEGIN: i64 = 1_767_225_600_000;

/// N records, a second apart, every tenth of another kind; the `count` of each is its position.
async fn seed(home: &Home, records: u32) {
    let store = home.store();
    // Digits are hexadecimal digits as well.
    let (at, network) = (store.moment(&format!("{BEGIN} + n * 1000")), "'2001:db8:1:' || (n % 9999 + 1) || '::/64'");
    let network = match store {
        Database::Sqlite(_) => network.to_owned(),
        Database::Postgres(_) => format!("({network})::cidr"),
    };
    let sql = format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {records})
         INSERT INTO audit (kind, reason, key_id, network, count, first_at, last_at, decision_id)
         SELECT CASE n % 10 WHEN 0 THEN 'would_deny' ELSE 'denied' END, 'ip_mismatch',
             CASE n % 2 WHEN 0 THEN 'k_0a1b2c3d000000000000000000000001' ELSE 'k_ffffffff000000000000000000000002' END,
             {network}, n, {at}, {at}, '4f0c0000000000000000000000000000' FROM n"
    );
    store.query(&sql).await;
}

fn moment(second: i64) -> String {
    Timestamp::from_millis(BEGIN + second * 1000).to_string()
}

fn export(sentinel: &Sentinel, args: &[&str]) -> String {
    let done = sentinel.home().cli(&[&["audit", "export"], args].concat());
    assert!(done.status.success() && done.stderr.is_empty(), "{args:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// The numbers of the exported records, in their order.
fn numbers(sentinel: &Sentinel, args: &[&str]) -> Vec<u64> {
    let text = export(sentinel, &[args, &["--format", "jsonl"]].concat());
    let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["count"].as_u64().unwrap();
    text.lines().map(number).collect()
}

/// Reads as RFC 4180 has it.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    let mut is_quoted = false;
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => cell.extend(characters.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => assert_eq!(characters.peek(), Some(&'\n')),
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    assert!(cell.is_empty() && row.is_empty(), "the last line is ended");
    rows
}

/// `VmHWM` in KiB: the most memory that the process ever had.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_records_are_exported_in_their_order_without_the_memory_for_them() {
    const RECORDS: u32 = 100_000;
    let sentinel = sentinel().start().await;
    seed(sentinel.home(), RECORDS).await;
    // What a first page costs is spent.
    export(&sentinel, &["--until", &moment(2_000)]);
    let before = peak(sentinel.pid());
    let csv = cells(&export(&sentinel, &[]));
    assert_eq!(csv[0], HEADER.split(',').collect::<Vec<_>>());
    let counts = csv[1..].iter().map(|row| row[5].parse::<u32>().unwrap());
    assert!(counts.eq(1..=RECORDS));
    assert!(numbers(&sentinel, &[]).into_iter().eq(1..=u64::from(RECORDS)));
    let grown = peak(sentinel.pid()) - before;
    // One export of them is 15 MiB of text, and several times that in memory.
    assert!(grown < 8 * 1024, "{grown} KiB more than before");
    sentinel.stop().await;
}

#[tokio::test]
async fn what_is_exported_is_chosen_by_kind_key_and_time() {
    let sentinel = sentinel().start().await;
    seed(sentinel.home(), 2_500).await;
    let all: Vec<u64> = (1..=2_500).collect();
    let chosen = |keep: fn(&u64) -> bool| all.iter().copied().filter(keep).collect::<Vec<_>>();
    assert_eq!(numbers(&sentinel, &["--kind", "would_deny"]), chosen(|n| n % 10 == 0));
    assert_eq!(numbers(&sentinel, &["--key", "0a1b2c3d"]), chosen(|n| n % 2 == 0));
    let (since, until) = (moment(1_100), moment(2_200));
    assert_eq!(numbers(&sentinel, &["--since", &since]), chosen(|n| *n >= 1_100), "the bound itself belongs to it");
    assert_eq!(numbers(&sentinel, &["--until", &until]), chosen(|n| *n < 2_200), "and this one does not");
    let both = ["--since", &since, "--until", &until, "--key", "ffffffff", "--kind", "denied"];
    assert_eq!(numbers(&sentinel, &both), chosen(|n| (1_100..2_200).contains(n) && n % 2 == 1));
    assert_eq!(numbers(&sentinel, &["--since", "1h"]), Vec::<u64>::new(), "long ago");
    assert_eq!(numbers(&sentinel, &["--until", "1h"]), all);
    assert_eq!(numbers(&sentinel, &["--until", "2026-01-01"]), Vec::<u64>::new());
    assert_eq!(export(&sentinel, &["--key", "01234567"]), format!("{HEADER}\r\n"));
    sentinel.stop().await;
}

#[tokio::test]
async fn json_lines_are_the_records_of_the_list() {
    let sentinel = sentinel().start().await;
    sentinel.check().key(KEY).from("203.0.113.7").send().await;
    sentinel.admin().await.ban(KEY).await.unwrap();
    let listed = sentinel.home().cli(&["audit", "list", "--output", "json"]);
    let mut listed = serde_json::from_slice::<Value>(&listed.stdout).unwrap()["records"].as_array().unwrap().clone();
    listed.reverse();
    for args in [&["--format", "jsonl"][..], &["--output", "json"]] {
        let exported: Vec<Value> =
            export(&sentinel, args).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(exported, listed);
    }
    sentinel.stop().await;
}

#[tokio::test]
async fn no_cell_is_a_formula_and_numbers_and_times_are_what_they_are() {
    let sentinel = sentinel().start().await;
    let store = sentinel.home().store();
    let evil = ["=HYPERLINK(\"http://x\",\"y\")", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a,b\n\"c\"", "plain"];
    for text in evil {
        let at = store.moment(&BEGIN.to_string());
        let columns = "kind, count, first_at, last_at, actor, detail";
        store.query(&format!("INSERT INTO audit ({columns}) VALUES ('ban', 7, {at}, {at}, '{text}', '{text}')")).await;
    }
    let csv = export(&sentinel, &[]);
    for ((row, text), number) in cells(&csv)[1..].iter().zip(evil).zip(1..) {
        let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let written = if is_formula { format!("'{text}") } else { text.to_owned() };
        let (number, time) = (number.to_string(), "2026-01-01T00:00:00.000Z");
        let expected = [&number, "ban", "", "", "", "7", time, time, &written, "", &written, ""];
        assert_eq!(row, &expected);
    }
    assert_eq!(cells(&csv).len(), 1 + evil.len());
    sentinel.stop().await;
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure_and_ends_the_export() {
    let sentinel = sentinel().start().await;
    seed(sentinel.home(), 50_000).await;
    let mut child = spawn(&sentinel, &["audit", "export"], Stdio::piped());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("{HEADER}\r\n"));
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), done.stderr), (Some(0), Vec::new()));
    sentinel.stop().await;
}

#[tokio::test]
async fn what_is_stored_meanwhile_is_not_in_an_export() {
    let sentinel = sentinel().start().await;
    seed(sentinel.home(), 50_000).await;
    let mut child = spawn(&sentinel, &["audit", "export"], Stdio::piped());
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    reader.read_line(&mut text).unwrap();
    // It has begun, and is far from its end: a pipe holds 64 KiB.
    seed(sentinel.home(), 10).await;
    reader.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(text.lines().count(), 1 + 50_000);
    sentinel.stop().await;
}

fn spawn(sentinel: &Sentinel, args: &[&str], out: Stdio) -> Child {
    let socket = format!("unix:{}", sentinel.home().admin_socket().display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.env_clear().args(["--admin", &socket]).args(args).stdin(Stdio::null()).stdout(out).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// The lines of a running `audit tail`, once it listens: bans are made until it shows one.
async fn tail(sentinel: &Sentinel, args: &[&str]) -> (Child, UnboundedReceiver<String>) {
    let mut child = spawn(sentinel, &[&["audit", "tail"], args].concat(), Stdio::piped());
    let out = child.stdout.take().unwrap();
    let (sender, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let admin = sentinel.admin().await;
    eventually("it listens", async || {
        admin.ban("sk-another-0123456789").await.unwrap();
        sleep(Duration::from_millis(300)).await;
        lines.try_recv().ok()
    })
    .await;
    sleep(FLUSH).await;
    while lines.try_recv().is_ok() {}
    (child, lines)
}

/// The next line about this key: of the other one's bans, some may come late.
async fn line_of(id: &str, lines: &mut UnboundedReceiver<String>) -> String {
    loop {
        let line = common::within("a line", lines.recv()).await.unwrap();
        if line.contains(id) {
            return line;
        }
    }
}

fn end(child: Child, signal: Signal) -> Option<i32> {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(done.stderr).unwrap(), "");
    done.status.code()
}

/// How soon is printed, not judged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_a_denial_and_ends_well() {
    let sentinel = sentinel().start().await;
    let owner = sentinel.check().key(KEY).from("203.0.113.7").send().await;
    let id = owner.key_id().unwrap().to_owned();
    let (child, mut lines) = tail(&sentinel, &[]).await;
    for nth in 1..=2 {
        let (denied, attacker) = (std::time::Instant::now(), format!("198.51.100.{nth}"));
        sentinel.check().key(KEY).from(&attacker).send().await;
        let line = line_of(&id, &mut lines).await;
        println!("a denial is shown after {:.1?}", denied.elapsed());
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[2..], ["denied", &id, &format!("{attacker}/32"), "1", "-", "ip_mismatch"]);
    }
    assert_eq!(end(child, Signal::SIGINT), Some(0));
    sentinel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_what_was_asked_for_as_json_too() {
    let sentinel = sentinel().start().await;
    sentinel.check().key(KEY).from("203.0.113.7").send().await;
    let (child, mut lines) = tail(&sentinel, &["--kind", "ban", "--output", "json"]).await;
    sentinel.check().key(KEY).from("198.51.100.9").send().await;
    eventually("the denial is stored", async || {
        (!sentinel.admin().await.audit("denied").await.unwrap().records.is_empty()).then_some(())
    })
    .await;
    let banned = sentinel.admin().await.ban(KEY).await.unwrap().key.unwrap();
    let record: Value = serde_json::from_str(&line_of(&banned.key_id, &mut lines).await).unwrap();
    assert_eq!((record["kind"].as_str(), record["key_id"].as_str()), (Some("ban"), Some(banned.key_id.as_str())));
    assert_eq!(end(child, Signal::SIGINT), Some(0));
    sentinel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_keeps_no_server_from_stopping() {
    let sentinel = sentinel().start().await;
    let (child, _lines) = tail(&sentinel, &[]).await;
    sentinel.stop().await;
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(3), "{done:?}");
}
