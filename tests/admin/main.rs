//! The admin API and its command line, against the real server on a real store.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod changes;
mod command_line;
#[path = "../common/mod.rs"]
mod common;
mod decisions;
mod explain;
mod giving;
mod in_process;
mod lists;
mod moving;
mod observed;
mod promoting;
mod refusals;
mod requests;
mod run;
mod shells;
mod spreadsheet;
mod terminal;
mod undoing;

use std::{
    path::Path,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use common::{PEPPER, Sentinel, database::Database, sentinel};
use futures_util::{StreamExt, stream};
use key_ip_sentinel::{
    admin::api::{
        AuditRecord, KeyReference, ListAuditRequest, UnbindRequest, admin_client::AdminClient,
        key_reference::Reference, unbind_request::Mode,
    },
    domain::{
        ApiKey, Fingerprint, KeyDigest, KeyHasher, Network, Pepper, Reason, Timestamp,
        event::{EventKind, Record},
    },
    store::{Action, BatchId, Change, Claim, Claimed, Purpose, Slots, SpoolId, Store, Target},
};
use run::{Seen, run};
use tonic::transport::{Channel, Endpoint};

const KEY: &str = "sk-live-0123456789abcdef";
const OWNER: &str = "203.0.113.7";
const ATTACKER: &str = "198.51.100.9";
/// The one batch of audit records that a test's store begins with.
const BATCH: BatchId = BatchId { spool: SpoolId(7), number: 1 };

fn hours(count: u64) -> Duration {
    Duration::from_hours(count)
}

/// The time `time` before these tests began, to the second.
fn ago(time: Duration) -> Timestamp {
    #[allow(clippy::disallowed_methods, reason = "SQLite's clock, which is the store's, is this machine's")]
    static BEGUN: LazyLock<Duration> =
        LazyLock::new(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap());
    Timestamp::from_millis(0).after(Duration::from_secs((*BEGUN - time).as_secs()))
}

fn pepper() -> Pepper {
    Pepper::new(PEPPER.as_bytes()).unwrap()
}

fn hasher() -> KeyHasher {
    KeyHasher::new(pepper(), "default", true)
}

fn fingerprint(key: &str) -> Fingerprint {
    hasher().fingerprint(&ApiKey::new(key.to_owned()))
}

fn id_of(key: &str) -> String {
    fingerprint(key).digest.new_id().to_string()
}

/// The key whose id has these bits, with the hint of [`KEY`].
fn crafted(id: u128) -> Fingerprint {
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(&id.to_be_bytes());
    Fingerprint { digest: KeyDigest::from_bytes(digest), ..fingerprint(KEY) }
}

/// A server whose store was filled before it started.
async fn seeded(fill: impl AsyncFnOnce(&dyn Store)) -> Sentinel {
    sentinel().filled(&pepper().into(), fill).await.start().await
}

/// Many at once, but no more than get their turn in good time at a store of few connections.
async fn together(calls: impl IntoIterator<Item = impl Future<Output = ()>>) {
    stream::iter(calls).buffer_unordered(64).collect().await
}

/// The key's first use.
async fn append(store: &dyn Store, records: Vec<Record>) {
    store.deliver(BATCH, records).await.unwrap();
}

async fn bind(store: &dyn Store, key: Fingerprint, owner: &str, now: Timestamp) {
    let purpose = Purpose::Own(Slots { networks: 1, window: Duration::ZERO });
    let claim = Claim { key, network: owner.parse().unwrap(), purpose, now, decision_id: "a-decision".to_owned() };
    assert!(matches!(store.claim(claim).await, Ok(Claimed::Won { .. })), "{owner}");
}

/// A change by root.
async fn change(store: &dyn Store, key: &Fingerprint, action: Action, now: Timestamp) {
    let target = Target::Key(key.clone());
    store.apply(Change::Key { target, action }, "uid:0", now).await.unwrap();
}

/// What observe mode writes down of a request.
async fn observe(store: &dyn Store, key: Fingerprint, from: &str, now: Timestamp) {
    let network = from.parse().unwrap();
    let claim = Claim { key, network, purpose: Purpose::Observe, now, decision_id: "a-decision".to_owned() };
    assert!(matches!(store.claim(claim).await, Ok(Claimed::Noted(_))), "{from}");
}

/// Delays each audit record of this kind by about `millis` milliseconds, like a slow disk.
async fn slow_down(store: &Database, kind: &str, millis: u32) {
    let statements = match store {
        Database::Sqlite(_) => vec![format!(
            "CREATE TRIGGER slow AFTER INSERT ON audit WHEN NEW.kind = '{kind}' BEGIN SELECT count(*) FROM
                (WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT {millis} * 4000)
                SELECT n FROM number); END"
        )],
        Database::Postgres(_) => vec![
            format!(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                    'BEGIN PERFORM pg_sleep({millis} / 1000.0); RETURN NEW; END'"
            ),
            format!(
                "CREATE TRIGGER slow AFTER INSERT ON audit FOR EACH ROW WHEN (NEW.kind = '{kind}')
                    EXECUTE FUNCTION slow()"
            ),
        ],
    };
    for statement in statements {
        store.query(&statement).await;
    }
}

/// Undoes [`slow_down`].
async fn speed_up(store: &Database) {
    let on = if matches!(store, Database::Postgres(_)) { " ON audit" } else { "" };
    store.query(&format!("DROP TRIGGER slow{on}")).await;
}

/// `count` denials of the attacker, for [`Reason::IpMismatch`].
fn denied(key: &Fingerprint, count: u64, at: Timestamp) -> Record {
    Record {
        kind: EventKind::Denied,
        reason: Some(Reason::IpMismatch),
        key_id: Some(key.digest.new_id()),
        network: Some(ATTACKER.parse::<Network>().unwrap()),
        count,
        first_at: at,
        last_at: at,
        actor: None,
        decision_id: Some("a-decision".to_owned()),
        detail: None,
        delta: None,
    }
}

/// What the server decides of a request.
async fn decide(sentinel: &Sentinel, key: &str, from: &str) -> String {
    sentinel.check().key(key).from(from).send().await.reason().to_owned()
}

type Client = AdminClient<Channel>;

async fn client(socket: &Path) -> Client {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
    AdminClient::new(endpoint.connect().await.unwrap())
}

async fn client_of(sentinel: &Sentinel) -> Client {
    client(&sentinel.home().admin_socket()).await
}

async fn audit(api: &mut Client, kind: &str) -> Vec<AuditRecord> {
    let request = ListAuditRequest { kind: kind.to_owned(), ..Default::default() };
    api.list_audit(request).await.unwrap().into_inner().records
}

fn by_id(text: impl ToString) -> Option<KeyReference> {
    Some(KeyReference { reference: Some(Reference::KeyId(text.to_string())), profile: String::new() })
}

fn by_key(text: &str) -> Option<KeyReference> {
    by_key_as("", text)
}

fn by_key_as(profile: &str, text: &str) -> Option<KeyReference> {
    Some(KeyReference { reference: Some(Reference::ApiKey(text.to_owned())), profile: profile.to_owned() })
}

fn unbind(key: &str, mode: Option<Mode>) -> UnbindRequest {
    UnbindRequest { key: by_key(key), mode }
}

fn my_uid() -> String {
    format!("uid:{}", nix::unistd::Uid::effective())
}

/// A command that asks this server, with this key on standard input.
fn ask_of(sentinel: &Sentinel, key: &str, args: &[&str]) -> Seen {
    let socket = format!("unix:{}", sentinel.home().admin_socket().display());
    run(&[&["--admin", &socket], args].concat(), format!("{key}\n").as_bytes())
}

/// A command that asks this server, with [`KEY`] on standard input; it may never show the key. What it changed is in
/// effect.
fn ask(sentinel: &Sentinel, args: &[&str]) -> Seen {
    let mut seen = ask_of(sentinel, KEY, args);
    assert!(!seen.out.contains(KEY) && !seen.err.contains(KEY), "{args:?} shows the key: {seen:?}");
    if let Some(said) = seen.err.split_inclusive('\n').find(|line| line.ends_with(LATE)).map(str::to_owned) {
        seen.err = seen.err.replace(&said, "");
        catches_up(sentinel);
    }
    seen
}

/// What a command says that had its answer before the server read its own change back, as from a busy one.
const LATE: &str = "the next poll applies it\n";

fn catches_up(sentinel: &Sentinel) {
    let caught_up = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(sentinel.catches_up());
    };
    // The test's own runtime waits for this very call.
    std::thread::scope(|scope| scope.spawn(caught_up).join().unwrap());
}

/// The answer of a command that has nothing to complain of.
fn says(sentinel: &Sentinel, args: &[&str]) -> String {
    let Seen { code, out, err } = ask(sentinel, args);
    assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
    out
}

fn json(sentinel: &Sentinel, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&says(sentinel, &[args, &["--output", "json"]].concat())).unwrap()
}
