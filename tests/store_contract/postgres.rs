//! The PostgreSQL backend, and what only a server can do.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::{Either, join_all, select};
use key_ip_sentinel::{
    domain::{Fingerprint, Timestamp},
    store::{Action, AuditOrder, AuditQuery, Claimed, Decisions, KeyQuery, Store, StoreError, Use, postgres::Options},
};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::{
    common::{PATIENCE, database::open_postgres, eventually, postgres::Postgres},
    fixture::*,
};

/// A database of its own on the server that all tests share.
pub(crate) struct Database {
    url: String,
}

#[async_trait(?Send)]
impl Backend for Database {
    async fn fresh() -> Self {
        Self { url: Postgres::shared().await.database().await }
    }

    async fn open(&self) -> Arc<dyn Store> {
        let options = Options::parse(&self.url, 8).unwrap().with_patience(PATIENCE);
        Arc::new(open_postgres(&options, &pepper().into()).await)
    }

    async fn make_provisional(&self, key: &Fingerprint, expires_at: Timestamp) {
        let key = key.digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let sql = format!(
            "UPDATE bindings SET state = 'provisional', expires_at = to_timestamp({}::float8 / 1000)
             WHERE digest = '\\x{key}' RETURNING key_id",
            expires_at.as_millis()
        );
        assert_eq!(Postgres::shared().await.query(&self.url, &sql).await.len(), 1);
    }
}

impl Database {
    /// A connection that has begun a transaction with these statements and does not end it.
    async fn in_the_middle_of(&self, sql: &str) -> Client {
        let client = Postgres::shared().await.connect(&self.url).await;
        client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
        client
    }
}

/// What a replica holds that is in the middle of a long write, such as archiving thousands.
const WRITING: &str = "SELECT pg_advisory_xact_lock_shared(x'534E544C'::int, 1)";

/// How often a busy machine may spoil what depends on who is first.
const TRIES: usize = 5;

const LAST: AuditQuery = AuditQuery { order: AuditOrder::LastStored, limit: 1, ..AuditQuery::ALL };

/// Enough first uses to be delayed by concurrent work.
async fn claims_are_won(store: &dyn Store) {
    for nth in 0..50 {
        bind(store, &key(&format!("claimed-{nth}")), "203.0.113.7").await;
    }
}

/// `audit tail` asks every second; each time, all first uses waited until the longest of the writers came to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_last_record_waits_for_writers_and_does_not_block_them() {
    let place = Database::fresh().await;
    let store = place.open().await;
    bind(&*store, &key("first"), "203.0.113.7").await;
    let writer = place.in_the_middle_of(WRITING).await;
    let asking = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.audit(LAST).await }
    });
    claims_are_won(&*store).await;
    assert!(!asking.is_finished(), "the writer's record may have a lower number");
    writer.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap().len(), 1);
    let [last] = &store.audit(LAST).await.unwrap()[..] else { panic!("no record") };
    let newest = store.audit(AuditQuery { limit: 100, ..AuditQuery::ALL }).await.unwrap();
    assert_eq!((newest.len(), newest.iter().map(|it| it.id).max()), (51, Some(last.id)));
}

/// Each start took the lock of a pepper rotation, and all writers waited behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_starts_waits_for_no_writer() {
    let place = Database::fresh().await;
    let _first = place.open().await;
    let _writer = place.in_the_middle_of(WRITING).await;
    claims_are_won(&*place.open().await).await;
}

/// A new partition needs a lock on the whole audit: behind a long listing, that lock blocked every first use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_cannot_be_made_beside_a_long_listing_is_made_later() {
    let place = Database::fresh().await;
    let store = place.open().await;
    let days = async || {
        let days = "SELECT relname FROM pg_class WHERE relname ~ '^audit_[0-9]{8}$' AND relkind = 'r' ORDER BY 1";
        Postgres::shared().await.query(&place.url, days).await.concat()
    };
    let all = days().await;
    let last = all.last().unwrap();
    Postgres::shared().await.query(&place.url, &format!("DROP TABLE {last}")).await;
    let listing = place.in_the_middle_of("SELECT count(*) FROM audit").await;
    let prune = || store.prune_audit(Timestamp::from_millis(0), 10);
    let (pruned, ()) = tokio::join!(prune(), claims_are_won(&*store));
    pruned.unwrap();
    assert!(!days().await.contains(last));
    place.open().await;
    listing.batch_execute("ROLLBACK").await.unwrap();
    prune().await.unwrap();
    // At midnight a day more is made.
    assert!(days().await.contains(last));
}

/// Under overload, each call got a connection just in time to run out of time, which cost the connection and half of
/// its claim.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_connection_gives_up_before_who_has_one() {
    let place = Database::fresh().await;
    let store = open_postgres(&Options::parse(&place.url, 1).unwrap(), &pepper().into()).await;
    let _stranger = place.in_the_middle_of("LOCK TABLE bindings IN EXCLUSIVE MODE").await;
    let (one, other) = (key("one"), key("other"));
    for _ in 0..TRIES {
        let having = Box::pin(store.claim(claim(&one, "203.0.113.7", START)));
        let waiting = Box::pin(store.claim(claim(&other, "203.0.113.7", START)));
        match select(having, waiting).await {
            Either::Right((Err(StoreError::NotWritten(_, why)), having)) => {
                assert_eq!(why, "no connection became free in time");
                having.await.unwrap_err();
                return;
            }
            Either::Left((Err(_), waiting)) => drop(waiting.await.unwrap_err()),
            Either::Right((other, _)) | Either::Left((other, _)) => panic!("{other:?}"),
        }
    }
    panic!("who had the connection gave up first, each time");
}

/// A ban that was made is reported as made, whatever else operators query.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_answered_while_all_connections_for_listings_are_in_use() {
    let place = Database::fresh().await;
    let store = place.open().await;
    let writer = place.in_the_middle_of(WRITING).await;
    let listings = [(); 2].map(|()| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.audit(LAST).await })
    });
    for nth in 0..2 {
        change(&*store, &key(&format!("banned-{nth}")), Action::Ban { lasting: None, reason: None }).await;
    }
    assert!(listings.iter().all(|listing| !listing.is_finished()));
    writer.batch_execute("ROLLBACK").await.unwrap();
    for listing in listings {
        listing.await.unwrap().unwrap();
    }
}

/// Two archives of a slow disk had both connections on which a ban could be made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_made_while_all_connections_for_chores_are_in_use() {
    let place = Database::fresh().await;
    let store = place.open().await;
    let used = bind(&*store, &key("used"), "203.0.113.7").await.facts.binding.unwrap().id;
    for _ in 0..TRIES {
        let stranger = place.in_the_middle_of("LOCK TABLE bindings IN SHARE ROW EXCLUSIVE MODE").await;
        let chores = [(); 2].map(|()| {
            let (store, key) = (Arc::clone(&store), used);
            let uses = vec![Use { key, used_at: Some(at(hours(1))), refused_at: None }];
            tokio::spawn(async move { store.note_uses(uses).await })
        });
        eventually("both chores wait for the lock", async || {
            let waiting =
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let both_wait = Postgres::shared().await.query(&place.url, waiting).await.len() == 2;
            // No operation waits for a lock for long.
            (both_wait || chores.iter().any(JoinHandle::is_finished)).then_some(())
        })
        .await;
        change(&*store, &key("banned"), Action::Ban { lasting: None, reason: None }).await;
        let made_beside_them = chores.iter().all(|chore| !chore.is_finished());
        stranger.batch_execute("ROLLBACK").await.unwrap();
        for chore in chores {
            let tended = chore.await.unwrap();
            assert!(
                matches!(tended, Ok(_) | Err(StoreError::Unavailable(_) | StoreError::NotWritten(..))),
                "{tended:?}"
            );
        }
        if made_beside_them {
            return;
        }
    }
    panic!("no change was made beside the chores");
}

/// In a new database, a look-up of a key under two peppers was compiled, which took longer than a request waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_compiled() {
    let place = Database::fresh().await;
    let server = Postgres::shared().await;
    for setting in ["jit = on", "jit_above_cost = 0", "log_min_messages = debug1"] {
        server.alter(&place.url, setting).await;
    }
    let store = place.open().await;
    bind(&*store, &key("some"), "203.0.113.7").await;
    assert_eq!(store.list(KeyQuery { limit: 10, ..KeyQuery::ALL }).await.unwrap().len(), 1);
    let compiled = || server.log().contains("JIT provider");
    assert!(!compiled());
    server.query(&place.url, "SELECT count(*) FROM bindings").await;
    assert!(compiled(), "the server reports when it compiles");
}

/// Under the database's own isolation, what was read under a lock was as old as the wait for it: a key got more networks
/// than it may have, and a first use beside a ban.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_isolation_that_the_database_defaults_to_does_not_matter() {
    let place = Database::fresh().await;
    Postgres::shared().await.alter(&place.url, "default_transaction_isolation = serializable").await;
    let store = place.open().await;
    let one = key("one");
    let claims = join_all((0..32).map(|nth| {
        let claim = claim(&one, &format!("203.0.113.{nth}"), START);
        let store = Arc::clone(&store);
        async move { store.claim(claim).await.unwrap() }
    }))
    .await;
    assert_eq!(claims.iter().filter(|claimed| matches!(claimed, Claimed::Won { .. })).count(), 1);
}

/// A ban that a row security policy hid did not apply.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_policy_hides_a_ban() {
    let place = Database::fresh().await;
    let store = place.open().await;
    change(&*store, &key("banned"), Action::Ban { lasting: None, reason: None }).await;
    let policy = "ALTER TABLE bans ENABLE ROW LEVEL SECURITY; ALTER TABLE bans FORCE ROW LEVEL SECURITY";
    Postgres::shared().await.query(&place.url, policy).await;
    store.lookup(&key("banned").digest.into()).await.unwrap_err();
    store.claim(claim(&key("banned"), "203.0.113.7", START)).await.unwrap_err();
}

#[tokio::test]
async fn the_one_row_of_many_that_cannot_be_read_is_named() {
    let place = Database::fresh().await;
    let store = place.open().await;
    let keys = ["broken", "sound"].map(key);
    for key in &keys {
        bind(&*store, key, "203.0.113.7").await;
    }
    let breaks = format!(
        "ALTER TABLE bindings DROP CONSTRAINT bindings_state_check, DROP CONSTRAINT bindings_check;
         UPDATE bindings SET state = 'owned' WHERE key_id = '{}'; UPDATE audit SET kind = 'gossip' WHERE id = 1",
        keys[0].digest.new_id()
    );
    Postgres::shared().await.query(&place.url, &breaks).await;
    crate::listing::names_what_it_cannot_read(&*store, &keys[0]).await;
}

/// A statement whose values did not fit the column was never sent, and the COMMIT after it was: a binding without its
/// record in the audit.
#[tokio::test]
async fn what_could_not_be_sent_whole_is_not_kept() {
    let place = Database::fresh().await;
    place.open().await;
    let server = Postgres::shared().await;
    server.query(&place.url, "ALTER TABLE audit ALTER COLUMN count TYPE int").await;
    let store = place.open().await;
    store.claim(claim(&key("some"), "203.0.113.7", START)).await.unwrap_err();
    server.query(&place.url, "ALTER TABLE audit ALTER COLUMN count TYPE bigint").await;
    assert_eq!(binding(&*place.open().await, &key("some")).await, None);
}
