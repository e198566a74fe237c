//! The real server, killed: what is missing came after the last flush, what is there is there once, and the gap says so.

use std::{
    collections::{BTreeMap, HashSet},
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, AtomicU32},
};

use common::{Dice, Home, Sentinel, admin::proto::AuditRecord};

use super::*;

const KEY: &str = "sk-owned-0123456789";
const OWNER: &str = "203.0.113.7";
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
    /// Until it is stopped, or the server is gone.
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

/// The next run, once it has recorded the gap of the last run and delivered what that left.
async fn settled(home: Home, gaps_before: usize) -> Sentinel {
    let sentinel = home.start().await;
    eventually("the gap is recorded", async || (gaps(&sentinel).await.len() > gaps_before).then_some(())).await;
    eventually("nothing waits", async || segments(sentinel.home()).is_empty().then_some(())).await;
    sentinel
}

fn segments(home: &Home) -> Vec<PathBuf> {
    let files = std::fs::read_dir(home.data_dir().join("audit")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|it| it == "spill")).collect()
}

fn flushed(home: &Home) -> i64 {
    last_flush(&home.data_dir().join("audit"))
}

/// Waits until what is answered now is flushed.
async fn flushes(sentinel: &Sentinel) {
    let answered = now();
    eventually("the next flush", async || (flushed(sentinel.home()) > answered).then_some(())).await;
}

/// Nothing is missing that was answered before the last flush, which is what the gap names. How old it was is printed.
fn assert_young(load: &Load, stored: &HashSet<String>, gap: &AuditRecord, flushed: i64, killed: i64) {
    assert_eq!(gap.first_at_ms, flushed, "{gap:?}, killed at {killed}");
    let answered = load.answered.lock().unwrap();
    let missing: Vec<_> = answered.iter().filter(|(network, _)| !stored.contains(*network)).collect();
    let oldest = missing.iter().map(|(_, at)| **at).min().unwrap_or(killed);
    println!(
        "{} of {} denials lost, the oldest of {} ms before the kill",
        missing.len(),
        answered.len(),
        killed - oldest
    );
    assert!(oldest >= flushed, "answered {} ms before the last flush", flushed - oldest);
    assert!(missing.len() < answered.len(), "something is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_costs_nothing_from_before_the_last_flush_and_leaves_a_gap() {
    let mut dice = Dice::new(now() as u64);
    let mut sentinel = owned().await;
    let load = Load::default();
    for nth in 0..3 {
        let more = Duration::from_millis(dice.below(1_500) as u64);
        let killed = async {
            eventually("the load is on", async || (load.sent() > 0).then_some(())).await;
            flushes(&sentinel).await;
            sleep(more).await;
            sentinel.kill_now();
            now()
        };
        let ((), killed) = tokio::join!(load.run(&sentinel), killed);
        let home = sentinel.kill();
        let flushed = flushed(&home);
        sentinel = settled(home, nth).await;
        let gap = gaps(&sentinel).await.remove(0);
        assert_young(&load, &stored(sentinel.home()).await, &gap, flushed, killed);
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
    let killed = async {
        let spilled = async || (!segments(sentinel.home()).is_empty()).then_some(());
        eventually("the store is locked, so the disk has them", spilled).await;
        // More than a moment's work to deliver, so that the second kill finds it at it.
        sleep(4 * FLUSH).await;
        flushes(&sentinel).await;
        sentinel.kill_now();
        now()
    };
    let ((), killed) = tokio::join!(load.run(&sentinel), killed);
    drop(lock);
    let home = sentinel.kill();
    let flushed = flushed(&home);
    assert_eq!(stored(&home).await.len(), 0);

    let sentinel = home.start().await;
    eventually("delivering has begun", async || (!stored(sentinel.home()).await.is_empty()).then_some(())).await;
    sentinel.kill_now();
    let home = sentinel.kill();
    let delivered = stored(&home).await.len();
    let sentinel = settled(home, 1).await;
    let all = stored(sentinel.home()).await;
    assert!(delivered <= all.len() && all.len() <= load.sent() + 4, "{delivered}, then {}", all.len());
    let gap = gaps(&sentinel).await.into_iter().min_by_key(|gap| gap.first_at_ms).unwrap();
    assert_young(&load, &all, &gap, flushed, killed);
    sentinel.stop().await;
}

#[tokio::test]
async fn a_gap_follows_every_run_that_was_cut_off_and_no_other() {
    let sentinel = sentinel().start().await;
    assert_eq!(gaps(&sentinel).await, [], "there was no run before the first");
    let sentinel = sentinel.stop().await.start().await;
    flushes(&sentinel).await;
    assert_eq!(gaps(&sentinel).await, [], "it had stopped well");
    let home = sentinel.kill();
    let (killed, flushed) = (now(), flushed(&home));
    // Nothing happened at all, but who can know?
    let sentinel = settled(home, 0).await;
    let [gap] = &gaps(&sentinel).await[..] else { panic!("one gap") };
    assert!(gap.first_at_ms == flushed && flushed <= killed, "{gap:?}, flushed at {flushed}, killed at {killed}");
    assert!(gap.last_at_ms >= killed && gap.count == 1 && gap.network.is_empty() && gap.actor.is_empty(), "{gap:?}");
    let sentinel = sentinel.stop().await.start().await;
    flushes(&sentinel).await;
    assert_eq!(gaps(&sentinel).await.len(), 1, "recorded once");
    sentinel.stop().await;
}
