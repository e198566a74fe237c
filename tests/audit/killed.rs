//! The real server, killed: what is missing is young, what is there is there once, and the gap says so.

use std::{
    collections::{BTreeMap, HashSet},
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, AtomicU32},
};

use common::{Dice, Home, Sentinel, admin::proto::AuditRecord};

use super::*;

const KEY: &str = "sk-owned-0123456789";
const OWNER: &str = "203.0.113.7";
/// What a kill may take with it.
const LOST: Duration = Duration::from_secs(2);

/// Milliseconds since the epoch, which is the clock of the store as well.
#[allow(clippy::disallowed_methods, reason = "SQLite's clock, which is the store's, is this machine's")]
fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Denials of one key from ever new addresses: each is a record of its own, and known by its network.
#[derive(Default)]
struct Load {
    next: AtomicU32,
    stop: AtomicBool,
    /// Which were answered, and when.
    answered: Mutex<BTreeMap<String, i64>>,
}

impl Load {
    /// Until it is told to stop, or the server is gone.
    async fn run(&self, sentinel: &Sentinel) {
        let channels = join_all((0..4).map(|_| sentinel.connect())).await;
        let workers = channels.iter().map(async |channel| {
            while !self.stop.load(Ordering::Relaxed) {
                let address = Ipv4Addr::from_bits(0x0a00_0000 + self.next.fetch_add(1, Ordering::Relaxed)).to_string();
                let check = sentinel.check().key(KEY).from(&address).over(channel);
                let Some(answer) = check.try_send().await else { return };
                assert_eq!(answer.reason(), "ip_mismatch");
                self.answered.lock().unwrap().insert(format!("{address}/32"), now());
                sleep(Duration::from_millis(2)).await;
            }
        });
        join_all(workers).await;
    }

    fn sent(&self) -> usize {
        self.answered.lock().unwrap().len()
    }
}

async fn owned() -> Sentinel {
    let sentinel = sentinel().start().await;
    let answer = sentinel.check().key(KEY).from(OWNER).send().await;
    assert_eq!(answer.reason(), "first_use");
    sentinel
}

/// The networks of the denials in the store; each must be there once.
async fn stored(home: &Home) -> HashSet<String> {
    let mut networks = HashSet::new();
    for row in home.store().query("SELECT network, count FROM audit WHERE kind = 'denied'").await {
        let [network, count] = &row[..] else { unreachable!() };
        assert_eq!(count, "1", "{network} was denied once");
        assert!(networks.insert(network.clone()), "{network} is there twice");
    }
    networks
}

async fn gaps(sentinel: &Sentinel) -> Vec<AuditRecord> {
    sentinel.admin().await.audit("gap").await.unwrap().records
}

/// The next run, when it has told of the last one and delivered what that left.
async fn settled(home: Home, gaps_before: usize) -> Sentinel {
    let sentinel = home.start().await;
    eventually("the gap is told", async || (gaps(&sentinel).await.len() > gaps_before).then_some(())).await;
    eventually("nothing waits", async || segments(sentinel.home()).is_empty().then_some(())).await;
    sentinel
}

fn segments(home: &Home) -> Vec<PathBuf> {
    let files = std::fs::read_dir(home.data_dir().join("audit")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|it| it == "spill")).collect()
}

/// The earliest moment of which anything may be lost. A machine that stands still writes nothing down.
fn law(killed: i64, pauses: &Pauses) -> i64 {
    killed - (LOST + pauses.most_within(2 * LOST)).as_millis() as i64
}

/// Nothing that was answered earlier than the law allows is missing, nor anything from before what the gap names.
fn assert_young(load: &Load, stored: &HashSet<String>, gap: &AuditRecord, killed: i64, law: i64) {
    assert!(gap.first_at_ms <= killed && gap.first_at_ms >= law, "{gap:?}, killed at {killed}, the law is {law}");
    let answered = load.answered.lock().unwrap();
    let missing: Vec<_> = answered.iter().filter(|(network, _)| !stored.contains(*network)).collect();
    let oldest = missing.iter().map(|(_, at)| **at).min().unwrap_or(killed);
    assert!(oldest >= law, "answered {} ms before the kill", killed - oldest);
    assert!(oldest >= gap.first_at_ms, "answered {} ms before the gap", gap.first_at_ms - oldest);
    assert!(missing.len() < answered.len(), "something is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_costs_at_most_the_last_two_seconds_and_leaves_a_gap() {
    let mut dice = Dice::new(now() as u64);
    let mut sentinel = owned().await;
    let load = Load::default();
    for nth in 0..3 {
        let life = Duration::from_millis(2_500 + dice.below(1_500) as u64);
        let pauses = Pauses::watched();
        let killed = async {
            sleep(life).await;
            sentinel.kill_now();
            now()
        };
        let ((), killed) = tokio::join!(load.run(&sentinel), killed);
        let law = law(killed, &pauses);
        sentinel = settled(sentinel.kill(), nth).await;
        let gap = gaps(&sentinel).await.remove(0);
        assert_young(&load, &stored(sentinel.home()).await, &gap, killed, law);
        // What this kill took is not the next one's.
        load.answered.lock().unwrap().clear();
        assert_eq!(sentinel.check().key(KEY).from(OWNER).send().await.reason(), "bound");
    }
    sentinel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_spilling_and_another_while_delivering_lose_nothing_old_and_double_nothing() {
    let sentinel = owned().await;
    let load = Load::default();
    let lock = sentinel.lock_store().await;
    let pauses = Pauses::watched();
    let killed = async {
        sleep(Duration::from_secs(6)).await;
        assert!(!segments(sentinel.home()).is_empty(), "the store is locked, so the disk has them");
        sentinel.kill_now();
        now()
    };
    let ((), killed) = tokio::join!(load.run(&sentinel), killed);
    let law = law(killed, &pauses);
    drop(lock);
    let home = sentinel.kill();
    assert_eq!(stored(&home).await.len(), 0);

    // More than a moment's work, so that the second kill finds it at it.
    let sentinel = home.start().await;
    eventually("delivering has begun", async || (!stored(sentinel.home()).await.is_empty()).then_some(())).await;
    sentinel.kill_now();
    let home = sentinel.kill();
    let delivered = stored(&home).await.len();
    let sentinel = settled(home, 1).await;
    let all = stored(sentinel.home()).await;
    assert!(delivered <= all.len() && all.len() <= load.sent() + 4, "{delivered}, then {}", all.len());
    let gap = gaps(&sentinel).await.into_iter().min_by_key(|gap| gap.first_at_ms).unwrap();
    assert_young(&load, &all, &gap, killed, law);
    sentinel.stop().await;
}

#[tokio::test]
async fn a_gap_follows_every_run_that_was_cut_off_and_no_other() {
    let sentinel = sentinel().start().await;
    assert_eq!(gaps(&sentinel).await, [], "there was no run before the first");
    let sentinel = sentinel.stop().await.start().await;
    let pauses = Pauses::watched();
    sleep(2 * FLUSH).await;
    assert_eq!(gaps(&sentinel).await, [], "it had stopped well");
    let home = sentinel.kill();
    let killed = now();
    let law = law(killed, &pauses);
    // Nothing happened at all, but who can know?
    let sentinel = settled(home, 0).await;
    let [gap] = &gaps(&sentinel).await[..] else { panic!("one gap") };
    assert!(gap.first_at_ms <= killed && gap.first_at_ms >= law, "{gap:?}, killed at {killed}, the law is {law}");
    assert!(gap.last_at_ms >= killed && gap.count == 1 && gap.network.is_empty() && gap.actor.is_empty(), "{gap:?}");
    let sentinel = sentinel.stop().await.start().await;
    sleep(2 * FLUSH).await;
    assert_eq!(gaps(&sentinel).await.len(), 1, "told once");
    sentinel.stop().await;
}
