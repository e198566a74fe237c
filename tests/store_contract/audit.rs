//! The audit.

use key_ip_sentinel::{
    domain::{
        Reason,
        event::{EventKind, Record},
    },
    store::{AuditQuery, Target},
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
    store.append_audit(new_batch(), written.clone()).await.unwrap();
    store.append_audit(new_batch(), vec![]).await.unwrap();
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
    store.append_audit(new_batch(), even).await.unwrap();
    store.append_audit(new_batch(), odd).await.unwrap();
    written.reverse();
    assert_eq!(audit(&*store, WHOLE_AUDIT).await, written);
    assert_eq!(audit(&*store, AuditQuery { limit: 3, ..WHOLE_AUDIT }).await, written[..3]);
}

pub(crate) async fn records_are_filtered(place: &impl Backend) {
    let store = place.open().await;
    let mut written = records();
    store.append_audit(new_batch(), written.clone()).await.unwrap();
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
    let recent = audit(&*store, AuditQuery { since: Some(since), ..WHOLE_AUDIT }).await;
    assert_eq!(recent, expect(&|record| record.last_at >= since));
    assert_eq!(recent.len(), 5, "the bound itself belongs to it");

    let last = written[0].kind;
    let all = AuditQuery { kind: Some(last), since: Some(since), limit: 1, ..of_key("cdcdcdcd") };
    assert_eq!(audit(&*store, all).await, expect(&|record| record.count == 20));
}
