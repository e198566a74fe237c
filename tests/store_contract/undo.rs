//! Taking a change back.

use key_ip_sentinel::{
    domain::{Fingerprint, KeyFacts, event::EventKind},
    store::{Action, Applied, AuditQuery, Change, ChangeError, RecordId, Refusal, Revision, Store},
};

use crate::fixture::*;

async fn last_record(store: &dyn Store) -> RecordId {
    store.audit(WHOLE_AUDIT).await.unwrap().into_iter().map(|stored| stored.id).max().unwrap()
}

async fn undo(store: &dyn Store, record: RecordId) -> Result<Applied, ChangeError> {
    store.apply(Change::Undo(record), ADMIN, START).await
}

async fn refused(store: &dyn Store, record: RecordId) -> Refusal {
    match undo(store, record).await {
        Err(ChangeError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// The part of the facts that says who may use the key.
fn essence(facts: &KeyFacts) -> String {
    format!("{:?} {:?}", facts.binding, facts.ban)
}

pub(crate) async fn every_change_can_be_undone_and_the_undoing_too(place: &impl Backend) {
    let store = place.open().await;
    let actions: [fn() -> Action; 9] = [
        || Action::Set(vec![network("198.51.100.0/24"), network("2001:db8::/32")]),
        || Action::Set(vec![]),
        || Action::Note(Some("a note".into())),
        || Action::Reserve,
        || Action::HandOver(network("198.51.100.9")),
        || Action::Open,
        || FOREVER,
        || Action::Ban { lasting: Some(hours(3)), reason: Some("why".into()) },
        || Action::Unban,
    ];
    for (nth, action) in actions.into_iter().enumerate() {
        let key = key(&format!("undone {nth}"));
        bind(&*store, &key, "203.0.113.7").await;
        change(&*store, &key, ban_for(Some(hours(1)))).await;
        let before = store.lookup(&key.digest.into()).await.unwrap().facts;
        let made = change(&*store, &key, action()).await;
        let record = last_record(&*store).await;
        let undone = undo(&*store, record).await.unwrap();
        assert_eq!(essence(&undone.after), essence(&before), "{:?}", action());
        assert_eq!((undone.key_id, undone.record.kind), (key.digest.new_id(), EventKind::Undo));
        assert!(undone.record.detail.as_ref().unwrap().starts_with(&format!("record {}: ", record.0)));
        assert_eq!(store.lookup(&key.digest.into()).await.unwrap().facts, undone.after);
        assert_eq!(undone.revision, Revision(made.revision.0 + 1), "every replica must hear of it");
        let again = undo(&*store, last_record(&*store).await).await.unwrap();
        assert_eq!(essence(&again.after), essence(&made.after), "{:?}", action());
    }
}

pub(crate) async fn an_undo_after_another_change_is_refused(place: &impl Backend) {
    let store = place.open().await;
    let key = key("contested");
    bind(&*store, &key, "203.0.113.7").await;
    change(&*store, &key, FOREVER).await;
    let first_ban = last_record(&*store).await;
    change(&*store, &key, Action::Reserve).await;
    let reserve = last_record(&*store).await;
    // Another operator's longer thought: the first ban's undoing must not lift it.
    change_at(&*store, &key, FOREVER, at(hours(1))).await;
    change(&*store, &key, Action::HandOver(network("198.51.100.9"))).await;
    let known = (revision(&*store).await, audit(&*store, WHOLE_AUDIT).await.len());
    for record in [first_ban, reserve] {
        let Refusal::ChangedSince(id, later) = refused(&*store, record).await else { panic!("{record:?} was undone") };
        assert_eq!(id, key.digest.new_id());
        assert!(!later.is_empty() && later.iter().all(|later| *later > record), "{record:?}: {later:?}");
    }
    assert_eq!((revision(&*store).await, audit(&*store, WHOLE_AUDIT).await.len()), known);
}

pub(crate) async fn an_undo_of_one_part_leaves_the_other(place: &impl Backend) {
    let store = place.open().await;
    let key = key("both");
    bind(&*store, &key, "203.0.113.7").await;
    change(&*store, &key, Action::Reserve).await;
    let reserve = last_record(&*store).await;
    let banned = change(&*store, &key, FOREVER).await;
    let undone = undo(&*store, reserve).await.unwrap();
    assert_eq!(undone.after.ban, banned.after.ban);
    assert_eq!(undone.after.binding.unwrap().networks, [network("203.0.113.7")]);
}

/// It said that the note was back, of a key that had no row to write it on.
pub(crate) async fn a_note_comes_back_only_to_a_binding(place: &impl Backend) {
    let store = place.open().await;
    let key = key("noted");
    bind(&*store, &key, "203.0.113.7").await;
    change(&*store, &key, Action::Note(Some("of team blue".into()))).await;
    change(&*store, &key, Action::Note(None)).await;
    let removed = last_record(&*store).await;
    change(&*store, &key, FOREVER).await;
    change(&*store, &key, Action::Open).await;
    assert_eq!(refused(&*store, removed).await, Refusal::NotBound(key.digest.new_id()));
}

pub(crate) async fn what_requests_cause_cannot_be_undone(place: &impl Backend) {
    let store = place.open().await;
    let key: Fingerprint = key("used");
    bind(&*store, &key, "203.0.113.7").await;
    let first_use = last_record(&*store).await;
    assert_eq!(refused(&*store, first_use).await, Refusal::NotUndoable(first_use));
    let unknown = RecordId(first_use.0 + 1000);
    assert_eq!(refused(&*store, unknown).await, Refusal::NoRecord(unknown));
}

pub(crate) async fn an_opened_key_comes_back(place: &impl Backend) {
    let store = place.open().await;
    let key = key("opened");
    let bound = bind(&*store, &key, "203.0.113.7").await;
    change(&*store, &key, Action::Open).await;
    let open = last_record(&*store).await;
    let undone = undo(&*store, open).await.unwrap();
    assert_eq!(undone.after, bound.facts);
    change(&*store, &key, Action::Open).await;
    let open = last_record(&*store).await;
    bind(&*store, &key, "198.51.100.9").await;
    assert_eq!(
        refused(&*store, open).await,
        Refusal::ChangedSince(key.digest.new_id(), vec![]),
        "another network was first"
    );
}

pub(crate) async fn a_change_names_its_record(place: &impl Backend) {
    let store = place.open().await;
    let key = key("numbered");
    bind(&*store, &key, "203.0.113.7").await;
    for action in [Action::Reserve, FOREVER, Action::Unban] {
        let applied = change(&*store, &key, action).await;
        let query = AuditQuery { record: Some(applied.number), ..WHOLE_AUDIT };
        assert_eq!(audit(&*store, query).await, [applied.record]);
    }
    let missing = AuditQuery { record: Some(RecordId(99)), ..WHOLE_AUDIT };
    assert_eq!(audit(&*store, missing).await, []);
}
