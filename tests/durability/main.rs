//! What was acknowledged is on the disk: shown by the order of system calls, and by `kill -9`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

#[path = "../common/mod.rs"]
mod common;
mod trace;

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use common::{Home, Sentinel, admin::Admin, eventually, grpc::Channel, sentinel};
use futures_util::{StreamExt, future::join_all, stream};
use trace::Trace;

const OWNER: &str = "203.0.113.7";
const CALLS: &str = "write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync";

fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH is set");
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
    places.find(|file| file.is_file()).unwrap_or_else(|| panic!("no {name} in PATH: run `make setup`"))
}

fn traced(home: Home) -> (Home, PathBuf) {
    let (strace, log) = (tool("strace"), home.path().join("strace.log"));
    let (strace, file) = (strace.display().to_string(), log.display().to_string());
    // -D: the server keeps the process id that the test knows.
    let options = ["-D", "-f", "-y", "-xx", "-s", "262144", "--seccomp-bpf", "-e", "signal=none", "-o", &file];
    let words: Vec<&str> = [strace.as_str()].into_iter().chain(options).chain(["-e", CALLS]).collect();
    (home.under(&words), log)
}

/// A new key's first use; the key's id.
async fn claim(sentinel: &Sentinel, key: &str) -> String {
    let answer = sentinel.check().key(key).from(OWNER).send().await;
    assert_eq!(answer.reason(), "first_use");
    answer.key_id().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledgement_leaves_before_its_change_is_on_the_disk() {
    let (home, log) = traced(sentinel());
    let sentinel = home.start().await;
    let admin = sentinel.admin().await;
    let mut acknowledged: HashMap<String, usize> = HashMap::new();
    let mut expect = |id: String| *acknowledged.entry(id).or_default() += 1;
    for index in 0..32 {
        expect(claim(&sentinel, &format!("sk-sequential-{index:04}")).await);
    }
    let keys: Vec<String> = (0..200).map(|index| format!("sk-concurrent-{index:04}")).collect();
    join_all(keys.iter().map(|key| claim(&sentinel, key))).await.into_iter().for_each(&mut expect);
    for index in 0..8 {
        let banned = admin.ban(&format!("sk-never-seen-{index:04}")).await.unwrap();
        expect(banned.key.unwrap().key_id);
        let banned = admin.ban(&format!("sk-sequential-{index:04}")).await.unwrap();
        expect(banned.key.unwrap().key_id);
        let lifted = admin.unban(&format!("sk-sequential-{index:04}")).await.unwrap();
        expect(lifted.key.unwrap().key_id);
        let unbound = admin.unbind(&format!("sk-sequential-{:04}", index + 8), None).await.unwrap();
        expect(unbound.key.unwrap().key_id);
    }
    let _home = sentinel.stop().await;
    eventually("strace has written its last line", async || {
        let text = fs::read_to_string(&log).unwrap();
        text.lines().any(|line| line.contains("+++ exited with 0 +++")).then_some(())
    })
    .await;
    let trace = Trace::parse(&fs::read_to_string(&log).unwrap());
    assert!(trace.syncs() >= 32, "{} syncs: each sequential claim needs its own", trace.syncs());
    assert_eq!(trace.answered(), acknowledged.keys().cloned().collect(), "the trace saw every answer");
    let found: Result<HashMap<String, usize>, String> =
        acknowledged.keys().map(|id| Ok((id.clone(), trace.acknowledged(id)?))).collect();
    assert_eq!(found.unwrap_or_else(|broken| panic!("{broken}")), acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_spilled_is_synced_before_it_counts_as_flushed() {
    let (home, log) = traced(sentinel());
    let sentinel = home.start().await;
    claim(&sentinel, "sk-owned-0123456789").await;
    let lock = sentinel.lock_store().await;
    for nth in 0..3 {
        let before = spilled(&sentinel).await;
        sentinel.check().key("sk-owned-0123456789").from(&format!("198.51.100.{nth}")).send().await;
        eventually("the denial is on the disk", async || (spilled(&sentinel).await > before).then_some(())).await;
    }
    let _home = sentinel.stop().await;
    drop(lock);
    eventually("strace has written its last line", async || {
        let text = fs::read_to_string(&log).unwrap();
        text.lines().any(|line| line.contains("+++ exited with 0 +++")).then_some(())
    })
    .await;
    let (writes, unsynced) = Trace::parse(&fs::read_to_string(&log).unwrap()).writes(".spill");
    assert!(writes >= 2 && unsynced == 0, "{writes} writes, {unsynced} of them unsynced");
}

/// Bytes that wait on the disk for the store.
async fn spilled(sentinel: &Sentinel) -> f64 {
    let (_, page) = sentinel.get("/metrics").await;
    let line = page.lines().find(|line| line.starts_with("sentinel_audit_spill_bytes ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// How far a key has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unknown,
    Claimed,
    Banned,
    Reserved,
}

impl Stage {
    /// What its owner is answered now.
    fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "first_use",
            Self::Claimed => "bound",
            Self::Banned => "key_banned",
            Self::Reserved => "not_claimed",
        }
    }
}

/// What the server acknowledged of a key, and what was asked of it last.
#[derive(Clone, Copy, Debug)]
struct History {
    acknowledged: Stage,
    asked: Stage,
}

const OPERATIONS: usize = 10_000;
const KILL_AFTER: usize = 5_000;
const WORKERS: usize = 64;

#[derive(Default)]
struct Progress {
    keys: Mutex<HashMap<String, History>>,
    acknowledged: AtomicUsize,
}

impl Progress {
    fn asks(&self, key: &str, asked: Stage) {
        let mut keys = self.keys.lock().unwrap();
        keys.entry(key.to_owned()).or_insert(History { acknowledged: Stage::Unknown, asked }).asked = asked;
    }

    /// Kills the server the moment that half of the work is acknowledged: nothing has time to become true afterwards.
    fn knows(&self, key: &str, acknowledged: Stage, sentinel: &Sentinel) {
        self.keys.lock().unwrap().get_mut(key).unwrap().acknowledged = acknowledged;
        if self.acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == KILL_AFTER {
            sentinel.kill_now();
        }
    }
}

/// Claims keys and bans or unbinds two of three, until all is done or the server is gone.
async fn work(worker: usize, sentinel: &Sentinel, channel: &Channel, admin: &Admin, progress: &Progress) -> Option<()> {
    for index in 0..OPERATIONS / WORKERS {
        let key = format!("sk-kill-{worker:02}-{index:04}");
        progress.asks(&key, Stage::Claimed);
        let answer = sentinel.check().key(&key).from(OWNER).over(channel).try_send().await?;
        assert_eq!(answer.reason(), "first_use");
        progress.knows(&key, Stage::Claimed, sentinel);
        match index % 3 {
            0 => {
                progress.asks(&key, Stage::Banned);
                admin.ban(&key).await.ok()?;
                progress.knows(&key, Stage::Banned, sentinel);
            }
            1 => {
                progress.asks(&key, Stage::Reserved);
                admin.unbind(&key, None).await.ok()?;
                progress.knows(&key, Stage::Reserved, sentinel);
            }
            _ => {}
        }
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let sentinel = sentinel().start().await;
    let channels = join_all((0..8).map(|_| sentinel.connect())).await;
    let admin = sentinel.admin().await;
    let progress = Progress::default();
    let workers = (0..WORKERS).map(|worker| work(worker, &sentinel, &channels[worker % 8], &admin, &progress));
    let finished = join_all(workers).await;
    assert!(finished.contains(&None), "the server died in the middle of the work");
    let home = sentinel.kill();

    let sentinel = home.start().await;
    let channel = sentinel.connect().await;
    let keys = progress.keys.into_inner().unwrap();
    let acknowledged = keys.values().filter(|history| history.acknowledged != Stage::Unknown).count();
    assert!(acknowledged > KILL_AFTER / 2, "{acknowledged}");
    let (sentinel, channel) = (&sentinel, &channel);
    let judged = stream::iter(keys).map(|(key, history)| async move {
        let answer = sentinel.check().key(&key).from(OWNER).over(channel).send().await;
        (key, history, answer.reason().to_owned())
    });
    let lost: Vec<_> = judged
        .buffer_unordered(64)
        .filter(|(_, history, reason)| {
            // The last operation may have been cut off before or after it happened.
            let known = [history.acknowledged.reason(), history.asked.reason()].contains(&reason.as_str());
            async move { !known }
        })
        .collect()
        .await;
    assert!(lost.is_empty(), "{lost:#?}");
}
