//! Every denial is in the audit exactly once, or counted as lost: the pipeline over the real SQLite store behind a
//! switch, and the real server.
//!
//! The clock is paused where a test says so: it then moves only when every task waits, so that a moment of it means
//! "after everything that can happen now".
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on panics; figures are printed")]

mod blocked;
#[path = "../common/mod.rs"]
mod common;
mod export;
mod killed;
mod retention;
mod spilling;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use common::{database::open_sqlite, eventually, log::Log, sentinel, switch::Switch};
use futures_util::future::join_all;
use key_ip_sentinel::{
    domain::{
        ClientIp, KeyDigest, KeyId, Network, Pepper, Reason,
        event::{DecisionId, EventKind, Record},
    },
    events::{Denial, Event, EventSink, Events, JsonLog, Options},
    store::{AuditOrder, AuditQuery, Decisions, Operators, RecordId, ReplicaState, Revision},
    telemetry::metrics::Metrics,
};
use serde_json::Value;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, advance, resume, sleep},
};

const MOMENT: Duration = Duration::from_millis(1);
/// The longest time that denials wait before they are handed to the store.
const FLUSH: Duration = Duration::from_secs(1);
/// Records of one flush.
const MAX_PENDING: u64 = 100_000;
const SPILL_MAX: u64 = 256 << 20;

fn key_id(number: u8) -> KeyId {
    KeyDigest::from_bytes([number; 32]).new_id()
}

/// When the last flush was, in milliseconds by the store's clock, as is written in this folder of a run's; zero before the
/// first.
fn last_flush(folder: &Path) -> i64 {
    let line = std::fs::read_to_string(folder.join("run")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap_or_default()
}

/// The denials, counted in every place that reports them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Accounts {
    in_store: u64,
    /// By the metric.
    stored: u64,
    /// By the metric.
    lost: u64,
    /// By the log's lines of the audit.
    logged: u64,
    /// By the log.
    logged_as_lost: u64,
}

impl Accounts {
    fn all_stored(denials: u64) -> Self {
        Self { in_store: denials, stored: denials, logged: denials, ..Self::default() }
    }

    fn all_lost(denials: u64) -> Self {
        Self { lost: denials, logged_as_lost: denials, ..Self::default() }
    }
}

/// What a sink received.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<Record>>>);

impl EventSink for Received {
    fn receive(&self, record: &Record) {
        self.0.lock().unwrap().push(record.clone());
    }
}

/// The pipeline with everything around it.
struct Pipeline {
    events: Events,
    received: Received,
    store: Arc<Switch>,
    replica_state: Arc<ReplicaState>,
    metrics: Metrics,
    stop: Option<oneshot::Sender<()>>,
    log: Log,
    folder: tempfile::TempDir,
}

impl Pipeline {
    /// Not driven yet, and before its first poll.
    fn new() -> (Self, impl Future<Output = ()> + Send + use<>) {
        Self::over(tempfile::tempdir().unwrap(), SPILL_MAX)
    }

    /// The same over what an earlier one left.
    fn over(folder: tempfile::TempDir, spill_max: u64) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let pepper = Pepper::new(&[7; 32]).unwrap();
        // Under a paused clock a server that takes its time would be one that never answers.
        let sqlite = open_sqlite(&folder.path().join("sentinel.db")).start(&pepper.into()).unwrap();
        let store = Arc::new(Switch::new(Arc::new(sqlite)));
        let (replica_state, metrics) = (Arc::new(ReplicaState::new(Instant::now())), Metrics::new().unwrap());
        let (stop, stopped) = oneshot::channel();
        let options = Options { directory: folder.path().join("audit"), spill_max, mask_addresses: false };
        let (over, audit, received) = (Arc::clone(&store) as _, metrics.audit.clone(), Received::default());
        let sinks: Vec<Box<dyn EventSink>> = vec![Box::new(JsonLog), Box::new(received.clone())];
        let (events, run) = Events::new(over, Arc::clone(&replica_state), audit, &options, sinks, stopped).unwrap();
        (Self { events, received, store, replica_state, metrics, stop: Some(stop), log: Log::begin(), folder }, run)
    }

    /// Under a paused clock: polled, and driven as far as its first tick, which found nothing.
    async fn running() -> (Self, JoinHandle<()>) {
        Self::started(Self::new()).await
    }

    async fn started((this, run): (Self, impl Future<Output = ()> + Send + 'static)) -> (Self, JoinHandle<()>) {
        this.poll().await;
        let run = tokio::spawn(run);
        sleep(MOMENT).await;
        (this, run)
    }

    async fn poll(&self) {
        let changes = self.store.changes_after(Revision(0)).await.unwrap();
        self.replica_state.polled(&changes, Instant::now());
    }

    fn deny(&self, reason: Reason, key: Option<u8>, ip: &str) {
        self.denied(reason, key.map(key_id), Some(ip.parse().unwrap()));
    }

    fn denied(&self, reason: Reason, key_id: Option<KeyId>, ip: Option<ClientIp>) {
        self.events.publish(Event::Denied(Denial { reason, key_id, ip, decision_id: DecisionId(7) }));
    }

    /// One denial from each of these IPv4 addresses.
    fn deny_addresses(&self, addresses: Range<u32>) {
        for address in addresses {
            let ip = ClientIp::new(IpAddr::V4(Ipv4Addr::from_bits(address)));
            self.denied(Reason::IpMismatch, Some(key_id(1)), Some(ip));
        }
    }

    async fn records(&self) -> Vec<Record> {
        self.records_of(EventKind::Denied).await
    }

    async fn records_of(&self, kind: EventKind) -> Vec<Record> {
        let query = AuditQuery { kind: Some(kind), ..AuditQuery::ALL };
        self.store.audit(query).await.unwrap().into_iter().map(|stored| stored.record).collect()
    }

    fn counter(&self, outcome: &str) -> u64 {
        let series = format!("sentinel_audit_events_total{{outcome=\"{outcome}\"}} ");
        let text = self.metrics.exposition.render();
        text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
    }

    /// The segments that wait.
    fn segments(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path().join("audit")).unwrap().map(|entry| entry.unwrap().path());
        let mut segments: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "spill")).collect();
        segments.sort();
        segments
    }

    async fn spilled(&self) {
        eventually("something waits on the disk", async || (!self.segments().is_empty()).then_some(())).await;
    }

    async fn stored(&self, denials: u64) {
        eventually("the denials are stored", async || (self.counter("stored") == denials).then_some(())).await;
    }

    /// Ends the pipeline as the process does, in real time: the store's threads know no other.
    async fn stop(&mut self, run: JoinHandle<()>) -> Accounts {
        resume();
        self.end(run).await
    }

    /// The same on whichever clock there is.
    async fn end(&mut self, run: JoinHandle<()>) -> Accounts {
        self.stop.take().unwrap().send(()).unwrap();
        run.await.unwrap();
        Accounts {
            in_store: self.records().await.iter().map(|record| record.count).sum(),
            stored: self.counter("stored"),
            lost: self.counter("lost"),
            logged: self.log.sum("count"),
            logged_as_lost: self.log.sum("denials"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn denials_of_one_key_network_and_reason_are_one_record_with_their_exact_count() {
    let (mut pipeline, run) = Pipeline::running().await;
    let denials = [
        (5, Reason::IpMismatch, Some(1), "203.0.113.7", "203.0.113.7/32"),
        (1, Reason::IpMismatch, Some(1), "203.0.113.8", "203.0.113.8/32"),
        (3, Reason::IpMismatch, Some(2), "203.0.113.7", "203.0.113.7/32"),
        (4, Reason::KeyBanned, Some(1), "203.0.113.7", "203.0.113.7/32"),
        (2, Reason::NoKey, None, "203.0.113.7", "203.0.113.7/32"),
        (6, Reason::NoKey, None, "2001:db8:1:2::1", "2001:db8:1:2::/64"),
        (7, Reason::NoKey, None, "2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        (1, Reason::NoKey, None, "2001:db8:1:3::1", "2001:db8:1:3::/64"),
    ];
    let mut expected = BTreeMap::new();
    for (times, reason, key, ip, network) in denials {
        (0..times).for_each(|_| pipeline.deny(reason, key, ip));
        *expected.entry((reason.as_str(), key.map(|key| key_id(key).to_string()), network.to_owned())).or_insert(0) +=
            times;
    }
    pipeline.denied(Reason::MalformedRequest, None, None);
    assert_eq!(pipeline.stop(run).await, Accounts::all_stored(30));
    let records = pipeline.records().await;
    assert_eq!(records.len(), expected.len() + 1, "{records:#?}");
    for Record { reason, key_id, network, count, decision_id, .. } in records {
        assert_eq!(decision_id.as_deref(), Some("00000000000000000000000000000007"));
        let Some(network) = network else {
            assert_eq!((reason, count), (Some(Reason::MalformedRequest), 1));
            continue;
        };
        let same = (reason.unwrap().as_str(), key_id.map(|id| id.to_string()), network.to_string());
        assert_eq!(expected.get(&same), Some(&count), "{same:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_sink_receives_each_record_once_and_what_is_stored_already_is_not_stored_again() {
    let (mut pipeline, run) = Pipeline::running().await;
    let mut first_use = Record::new(EventKind::FirstUse, pipeline.replica_state.time(Instant::now()).unwrap());
    first_use.key_id = Some(key_id(1));
    pipeline.events.publish(Event::Stored(&first_use));
    assert_eq!(*pipeline.received.0.lock().unwrap(), [first_use.clone()], "at once");
    (0..3).for_each(|_| pipeline.deny(Reason::IpMismatch, Some(1), "203.0.113.7"));
    assert_eq!(pipeline.stop(run).await, Accounts { logged: 4, ..Accounts::all_stored(3) });
    assert_eq!(pipeline.records_of(EventKind::FirstUse).await, []);
    let denied = pipeline.records().await;
    assert_eq!(*pipeline.received.0.lock().unwrap(), [vec![first_use], denied].concat());
}

#[tokio::test(start_paused = true)]
async fn a_record_tells_the_first_and_the_last_time_by_the_stores_clock() {
    let (mut pipeline, run) = Pipeline::running().await;
    let first = pipeline.replica_state.time(Instant::now()).unwrap();
    for _ in 0..3 {
        pipeline.deny(Reason::IpMismatch, Some(1), "203.0.113.7");
        advance(Duration::from_millis(150)).await;
    }
    assert_eq!(pipeline.stop(run).await, Accounts::all_stored(3));
    let records = pipeline.records().await;
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((record.first_at, record.last_at), (first, first.after(Duration::from_millis(300))));
}

#[tokio::test(start_paused = true)]
async fn without_a_stop_denials_are_stored_by_the_next_flush() {
    let (mut pipeline, run) = Pipeline::running().await;
    for flush in 1..=3 {
        pipeline.deny(Reason::IpMismatch, Some(1), "203.0.113.7");
        pipeline.stored(flush).await;
    }
    assert_eq!(pipeline.stop(run).await, Accounts::all_stored(3));
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_tried_again_and_each_denial_is_stored_and_logged_once() {
    let (mut pipeline, run) = Pipeline::running().await;
    // A flush of three batches, of which the store takes the first.
    pipeline.store.take_batches(1);
    pipeline.deny_addresses(0..2_500);
    pipeline.stored(1_000).await;
    pipeline.deny_addresses(0..10);
    assert_eq!(pipeline.records().await.len(), 1_000);
    pipeline.store.take_batches(usize::MAX);
    pipeline.stored(2_510).await;
    assert_eq!(pipeline.stop(run).await, Accounts::all_stored(2_510));
    let mut networks: Vec<Network> = pipeline.records().await.iter().map(|record| record.network.unwrap()).collect();
    networks.sort();
    networks.dedup();
    assert_eq!(networks.len(), 2_500);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_process_stores_what_waits() {
    let (mut pipeline, run) = Pipeline::running().await;
    pipeline.deny(Reason::IpMismatch, Some(1), "203.0.113.7");
    sleep(MOMENT).await;
    pipeline.deny(Reason::KeyBanned, Some(1), "203.0.113.7");
    assert_eq!(pipeline.stop(run).await, Accounts::all_stored(2));
}

#[tokio::test]
async fn a_process_that_stops_before_its_first_poll_counts_its_denials_as_lost() {
    let (mut pipeline, run) = Pipeline::new();
    (0..5).for_each(|_| pipeline.deny(Reason::StoreUnavailable, Some(1), "203.0.113.7"));
    assert_eq!(pipeline.end(tokio::spawn(run)).await, Accounts::all_lost(5));
}

#[tokio::test(start_paused = true)]
async fn a_flush_holds_a_bounded_number_of_records_and_the_rest_is_counted_as_lost() {
    let (mut pipeline, run) = Pipeline::running().await;
    pipeline.deny_addresses(0..MAX_PENDING as u32 + 10);
    assert_eq!(pipeline.counter("lost"), 10);
    // What only counts on needs no room.
    pipeline.deny_addresses(0..1);
    assert_eq!(pipeline.counter("lost"), 10);
    let accounts = pipeline.stop(run).await;
    assert_eq!((accounts.lost, accounts.logged_as_lost, accounts.logged), (10, 10, MAX_PENDING + 1));
}

#[tokio::test]
async fn after_sigterm_the_audit_holds_exactly_the_denials_that_were_sent() {
    const OWNED: &str = "sk-owned-0123456789";
    const BANNED: &str = "sk-banned-0123456789";
    let sentinel = sentinel().start().await;
    let owner = sentinel.check().key(OWNED).from("203.0.113.7").send().await;
    sentinel.admin().await.ban(BANNED).await.unwrap();
    let banned = sentinel.check().key(BANNED).from("192.0.2.1").send().await;
    let [owned_id, banned_id] = [owner, banned].map(|answer| answer.key_id().unwrap().to_owned());
    let mut sent = BTreeMap::from([(("key_banned", banned_id.clone(), "192.0.2.1/32"), 1)]);
    let denials = [
        (Some(OWNED), "198.51.100.9", ("ip_mismatch", owned_id.clone(), "198.51.100.9/32")),
        (Some(OWNED), "2001:db8:1:2::10", ("ip_mismatch", owned_id.clone(), "2001:db8:1:2::/64")),
        (Some(OWNED), "2001:db8:1:2::20", ("ip_mismatch", owned_id, "2001:db8:1:2::/64")),
        (Some(BANNED), "198.51.100.9", ("key_banned", banned_id, "198.51.100.9/32")),
        (None, "198.51.100.9", ("no_key", String::new(), "198.51.100.9/32")),
        (Some("!"), "198.51.100.9", ("malformed_key", String::new(), "198.51.100.9/32")),
        (Some(OWNED), "nowhere", ("client_ip_unknown", String::new(), "")),
    ];
    for _ in 0..50 {
        let calls = denials.iter().map(|(key, from, same)| {
            *sent.entry(same.clone()).or_insert(0) += 1;
            let check = sentinel.check().from(from);
            key.map_or(check.clone(), |key| check.key(key)).send()
        });
        assert!(join_all(calls).await.iter().all(|answer| !answer.is_allow()));
    }

    let sentinel = sentinel.stop().await.start().await;
    let listed = sentinel.admin().await.audit("denied").await.unwrap().records;
    let mut counted = BTreeMap::new();
    for record in &listed {
        *counted.entry((record.reason.as_str(), record.key_id.clone(), record.network.as_str())).or_insert(0) +=
            record.count;
    }
    assert_eq!(counted, sent);
    sentinel.stop().await;
}
