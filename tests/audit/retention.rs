//! Old records go in small steps, and nothing else goes with them.

use std::sync::atomic::AtomicU64;

use common::{database::Database, sentinel};
use key_ip_sentinel::{
    domain::{ApiKey, KeyHasher, Timestamp},
    maintenance::retention::prune_audit_once,
    store::{Action, BatchId, Change, ChangeError, Claim, Claimed, Purpose, Refusal, Slots, SpoolId, Target},
};

use super::*;

/// Long before the limit of these tests.
const OLD: Timestamp = Timestamp::from_millis(1_000_000);
const LIMIT: Timestamp = Timestamp::from_millis(2_000_000);
const NEW: Timestamp = Timestamp::from_millis(3_000_000);

fn denied(at: Timestamp) -> Record {
    Record {
        kind: EventKind::Denied,
        reason: Some(Reason::NoKey),
        key_id: None,
        network: None,
        count: 1,
        first_at: at,
        last_at: at,
        actor: None,
        decision_id: None,
        detail: None,
        delta: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_records_go_while_claims_go_on_and_bindings_and_bans_stay() {
    const RECORDS: usize = 5_500;
    let folder = tempfile::tempdir().unwrap();
    let pepper = Pepper::new(&[7; 32]).unwrap();
    let store = Database::new(folder.path().join("sentinel.db")).await.open(&pepper.clone().into()).await;
    let keys = KeyHasher::new(pepper, "default", true);
    let key = |name: String| keys.fingerprint(&ApiKey::new(format!("sk-{name:->20}")));
    let claim = |name: String, now| Claim {
        key: key(name),
        network: "203.0.113.7".parse().unwrap(),
        purpose: Purpose::Own(Slots { networks: 1, window: Duration::ZERO }),
        now,
        decision_id: "d".into(),
    };
    let ban = Action::Ban { lasting: None, reason: None };
    let change = |name: String, action| Change::Key { target: Target::Key(key(name)), action };

    assert!(matches!(store.claim(claim("old".into(), OLD)).await.unwrap(), Claimed::Won { .. }));
    store.apply(change("old".into(), ban), "uid:0", OLD).await.unwrap();
    let undoable = store.audit(AuditQuery { kind: Some(EventKind::Ban), ..AuditQuery::ALL }).await.unwrap()[0].id;
    let batch = BatchId { spool: SpoolId(1), number: 1 };
    store.deliver(batch, vec![denied(OLD); RECORDS]).await.unwrap();
    let batch = BatchId { number: 2, ..batch };
    store.deliver(batch, vec![denied(NEW); 7]).await.unwrap();

    let won = AtomicU64::new(0);
    let claiming = async {
        let mut nth = 0;
        loop {
            nth += 1;
            let claimed = store.claim(claim(format!("new-{nth}"), NEW)).await.unwrap();
            assert!(matches!(claimed, Claimed::Won { .. }));
            won.fetch_add(1, Ordering::Relaxed);
        }
    };
    let deleted = tokio::select! {
        done = prune_audit_once(&*store, LIMIT) => done,
        () = claiming => unreachable!(),
    };
    assert_eq!((deleted.0, deleted.1.is_ok()), (RECORDS as u64 + 2, true), "with the first use and the ban");
    let won = won.load(Ordering::Relaxed);
    assert!(won >= 3, "the steps left room for claims, and each was won: {won}");
    let kept = store.audit(AuditQuery { kind: Some(EventKind::Denied), ..AuditQuery::ALL }).await.unwrap();
    assert_eq!(kept.len(), 7);
    let facts = store.lookup(&key("old".into()).digests()).await.unwrap().facts;
    assert!(facts.binding.is_some() && facts.ban.is_some());
    let undone = store.apply(Change::Undo(undoable), "uid:0", NEW).await.unwrap_err();
    assert!(matches!(undone, ChangeError::Refused(Refusal::NoRecord(_))), "what undoes it went with its record");
    assert_eq!(prune_audit_once(&*store, LIMIT).await.0, 0);
}

#[tokio::test]
async fn a_server_keeps_the_audit_for_its_retention() {
    let count = "SELECT count(*) FROM audit WHERE decision_id = 'of old'";
    let plant = async |home: &common::Home, days: u64| {
        let at = format!("{} - {}", home.store().now(), home.store().span(Duration::from_hours(24 * days)));
        let columns = "kind, count, first_at, last_at, decision_id";
        let sql = format!("INSERT INTO audit ({columns}) VALUES ('denied', 1, {at}, {at}, 'of old')");
        home.store().query(&sql).await;
    };
    let home = sentinel().set("audit.retention", "\"0\"").start().await.stop().await;
    for days in [4_000, 100, 80] {
        plant(&home, days).await;
    }
    let forever = home.start().await;
    let in_store = async |sentinel: &common::Sentinel| sentinel.home().store().number(count).await;
    sleep(Duration::from_secs(12)).await;
    assert_eq!(in_store(&forever).await, 3);
    let sentinel = forever.stop().await.unset("audit.retention").start().await;
    eventually("what is older than 90 days is gone", async || (in_store(&sentinel).await == 1).then_some(())).await;
    eventually("it is logged", async || sentinel.log().contains("old audit records, and bans").then_some(())).await;
    sentinel.stop().await;
}
