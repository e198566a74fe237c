//! The audit.

use key_ip_sentinel::{
    domain::{
        Reason, Timestamp,
        event::{EventKind, Record},
    },
    store::{AuditOrder, AuditQuery, BatchId, RecordId, SpoolId, Store, Target},
};

use crate::fixture::*;

/// One record per hour from the start, of every kind and of two keys.
fn records() -> Vec<Record> {
    let keys = [key_beginning([0xab; 4], 1).digest.new_id(), key_beginning([0xcd; 4], 2).digest.new_id()];
    let kinds = EventKind::ALL.into_iter().cycle();
    (0..20u64)
        .zip(kinds)
        .map(|(hour, kind)| Record {
            kind,
            reason: (kind == EventKind::Denied).then_some(Reason::IpMismatch),
            key_id: Some(keys[usize::from(hour >= 10)]),
            network: Some(network("2001:db8:0:1::/64")),
            count: hour + 1,
            first_at: START,
            last_at: at(hours(hour)),
            actor: Some(ADMIN.into()),
            decision_id: Some(format!("d-{hour}")),
            detail: Some("quotes ' \" and — dashes".into()),
            delta: None,
        })
        .collect()
}

pub(crate) async fn records_come_back_as_they_were(place: &impl Backend) {
    let store = place.open().await;
    let bare = Record {
        kind: EventKind::Denied,
        reason: Some(Reason::NoKey),
        key_id: None,
        network: None,
        count: 7,
        first_at: START,
        last_at: at(hours(100)),
        actor: None,
        decision_id: None,
        detail: None,
        delta: None,
    };
    let of_reason = |reason| Record { reason: Some(reason), ..bare.clone() };
    let mut written: Vec<_> = Reason::ALL.into_iter().map(of_reason).chain(records()).collect();
    append(&*store, written.clone()).await;
    append(&*store, vec![]).await;
    let mut read = audit(&*store, WHOLE_AUDIT).await;
    let order = |record: &Record| format!("{record:?}");
    written.sort_by_key(order);
    read.sort_by_key(order);
    assert_eq!(read, written);
}

pub(crate) async fn records_come_newest_first(place: &impl Backend) {
    let store = place.open().await;
    let mut written = records();
    // Written out of order: the audit's delivery is not the order of events.
    let (even, odd): (Vec<_>, Vec<_>) = written.iter().cloned().partition(|record| record.count % 2 == 0);
    append(&*store, even).await;
    append(&*store, odd).await;
    written.reverse();
    assert_eq!(audit(&*store, WHOLE_AUDIT).await, written);
    assert_eq!(audit(&*store, AuditQuery { limit: 3, ..WHOLE_AUDIT }).await, written[..3]);
}

pub(crate) async fn records_are_filtered(place: &impl Backend) {
    let store = place.open().await;
    let mut written = records();
    append(&*store, written.clone()).await;
    written.reverse();
    let expect =
        |keep: &dyn Fn(&Record) -> bool| written.iter().filter(|record| keep(record)).cloned().collect::<Vec<_>>();

    for kind in EventKind::ALL {
        let found = audit(&*store, AuditQuery { kind: Some(kind), ..WHOLE_AUDIT }).await;
        assert_eq!(found, expect(&|record| record.kind == kind));
        assert!(!found.is_empty(), "{kind:?}");
    }
    let of_key = |text: &str| AuditQuery { key: Some(Target::Id(prefix(text))), ..WHOLE_AUDIT };
    let first_key = key_beginning([0xab; 4], 1).digest.new_id();
    assert_eq!(audit(&*store, of_key("abababab")).await, expect(&|record| record.key_id == Some(first_key)));
    assert_eq!(store.audit(of_key(&first_key.to_string())).await.unwrap().len(), 10);
    assert_eq!(audit(&*store, of_key("abababac")).await, []);

    let since = at(hours(15));
    let of_decision = AuditQuery { decision: Some("d-3".to_owned()), ..WHOLE_AUDIT };
    let decided = |record: &Record| record.decision_id.as_deref() == Some("d-3");
    assert_eq!(audit(&*store, of_decision.clone()).await, expect(&decided));
    let missing = AuditQuery { decision: Some("d-99".to_owned()), ..of_decision };
    assert_eq!(audit(&*store, missing).await, []);
    let recent = audit(&*store, AuditQuery { since: Some(since), ..WHOLE_AUDIT }).await;
    assert_eq!(recent, expect(&|record| record.last_at >= since));
    assert_eq!(recent.len(), 5, "the bound itself belongs to it");

    let last = written[0].kind;
    let all = AuditQuery { kind: Some(last), since: Some(since), limit: 1, ..of_key("cdcdcdcd") };
    assert_eq!(audit(&*store, all).await, expect(&|record| record.count == 20));
}

pub(crate) async fn a_batch_is_appended_once(place: &impl Backend) {
    let store = place.open().await;
    let batch = |spool, number| BatchId { spool: SpoolId(spool), number };
    let some = || records()[..3].to_vec();
    assert_eq!(deliver(&*store, batch(1, 1), some()).await, 3);
    assert_eq!(deliver(&*store, batch(1, 1), some()).await, 0);
    assert_eq!(deliver(&*store, batch(2, 1), some()).await, 3, "another spool has numbers of its own");
    assert_eq!(deliver(&*store, batch(1, 5), some()).await, 3, "numbers between may have been lost");
    assert_eq!(deliver(&*store, batch(1, 4), some()).await, 0);
    drop(store);
    let store = place.open().await;
    assert_eq!(deliver(&*store, batch(1, 5), some()).await, 0, "another run asks again");
    assert_eq!(audit(&*store, WHOLE_AUDIT).await.len(), 9);
    // All sent at once: one of each is new.
    let sent = (0..40).map(|nth| deliver(&*store, batch(3, 1 + nth / 20), some()));
    let new = futures_util::future::join_all(sent).await.into_iter().filter(|rows| *rows > 0).count();
    assert_eq!((new, audit(&*store, WHOLE_AUDIT).await.len()), (2, 15));
}

pub(crate) async fn records_come_in_pages_as_they_were_stored(place: &impl Backend) {
    let store = place.open().await;
    let mut written = records();
    written.reverse();
    append(&*store, written.clone()).await;
    let last = store.audit(AuditQuery { order: AuditOrder::LastStored, limit: 1, ..WHOLE_AUDIT }).await.unwrap();
    let (upto, mut after, mut read) = (last[0].id, RecordId(0), Vec::new());
    append(&*store, records()).await;
    loop {
        let order = AuditOrder::Stored { after, upto };
        let page = store.audit(AuditQuery { order, limit: 7, ..WHOLE_AUDIT }).await.unwrap();
        let Some(end) = page.last() else { break };
        after = end.id;
        read.extend(page.into_iter().map(|stored| stored.record));
    }
    assert_eq!(read, written, "and nothing of what came later");

    let (since, until) = (at(hours(3)), at(hours(12)));
    let order = AuditOrder::Stored { after: RecordId(0), upto };
    let key = Some(Target::Id(prefix("abababab")));
    let some = AuditQuery { key, since: Some(since), until: Some(until), order, ..WHOLE_AUDIT };
    let first_key = key_beginning([0xab; 4], 1).digest.new_id();
    let wanted =
        |record: &Record| record.last_at >= since && record.last_at < until && record.key_id == Some(first_key);
    assert_eq!(audit(&*store, some).await, written.into_iter().filter(wanted).collect::<Vec<_>>());
}

async fn prune(store: &dyn Store, before: Timestamp, limit: u32) -> u64 {
    store.prune_audit(before, limit).await.unwrap()
}

pub(crate) async fn old_records_are_pruned_in_steps(place: &impl Backend) {
    let store = place.open().await;
    append(&*store, records()).await;
    let before = at(hours(10));
    assert_eq!(prune(&*store, before, 4).await, 4);
    let left = audit(&*store, WHOLE_AUDIT).await;
    assert_eq!(left.last().unwrap().last_at, at(hours(4)), "the oldest go first");
    assert_eq!(prune(&*store, before, 4).await, 4);
    assert_eq!(prune(&*store, before, 4).await, 2);
    assert_eq!(prune(&*store, before, 4).await, 0);
    let left = audit(&*store, WHOLE_AUDIT).await;
    assert_eq!((left.len(), left.last().unwrap().last_at), (10, before), "the bound itself stays");
}

pub(crate) async fn no_record_gets_the_number_of_one_that_was_pruned(place: &impl Backend) {
    let store = place.open().await;
    let numbers = async || store.audit(WHOLE_AUDIT).await.unwrap().into_iter().map(|stored| stored.id).collect();
    append(&*store, records()).await;
    let before: Vec<RecordId> = numbers().await;
    prune(&*store, at(hours(1_000)), 1_000).await;
    append(&*store, records()).await;
    let after: Vec<RecordId> = numbers().await;
    let highest = before.iter().max().unwrap();
    assert_eq!(after.iter().filter(|id| *id <= highest).count(), 1, "{after:?}");
    assert_eq!(after.len(), 21);
}
