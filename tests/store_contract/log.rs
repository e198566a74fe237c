//! Look-ups, and the change log that keeps caches right.

use std::time::Duration;

use key_ip_sentinel::{
    domain::KeyFacts,
    store::{Action, Counts, Reading, Revision, Store},
};

use crate::fixture::*;

pub(crate) async fn a_lookup_of_an_unknown_key_creates_nothing(place: &impl Backend) {
    let store = place.open().await;
    let reading = store.lookup(&key("unknown").digest.into()).await.unwrap();
    assert_eq!(reading, Reading { facts: KeyFacts::default(), as_of: Revision(0), digest: key("unknown").digest });
    assert_eq!(store.list(ALL_KEYS).await.unwrap(), []);
    assert_eq!(audit(&*store, WHOLE_AUDIT).await, []);
    assert_eq!(store.counts().await.unwrap(), Counts::default());
}

pub(crate) async fn a_lookup_carries_the_revision_that_it_includes(place: &impl Backend) {
    let store = place.open().await;
    let (key, other) = (key("laptop"), key("other"));
    bind(&*store, &key, "203.0.113.7").await;
    for expected in 1..=20 {
        let applied = change(&*store, if expected % 2 == 0 { &key } else { &other }, FOREVER).await;
        assert_eq!(applied.revision, Revision(expected));
        let reading = store.lookup(&key.digest.into()).await.unwrap();
        assert_eq!(reading.as_of, applied.revision, "an answered change must be in every later reading");
        assert_eq!(reading.facts.ban.is_some(), expected >= 2);
    }
}

pub(crate) async fn changes_come_oldest_first(place: &impl Backend) {
    let store = place.open().await;
    let (one, two) = (key("one"), key("two"));
    bind(&*store, &one, "203.0.113.7").await;
    change(&*store, &one, Action::Reserve).await;
    change(&*store, &two, FOREVER).await;
    change(&*store, &one, Action::Open).await;

    let all = [(Revision(1), one.digest), (Revision(2), two.digest), (Revision(3), one.digest)];
    for applied in 0..=3 {
        let changes = heard(&*store, Revision(applied)).await;
        assert_eq!(changes.changed, all[usize::try_from(applied).unwrap()..]);
        assert_eq!((changes.revision, changes.complete_from), (Revision(3), Revision(applied)));
    }
}

/// Asks what changed after `applied`: from which revision on that is complete, and the revisions.
async fn log_after(store: &dyn Store, applied: i64) -> (i64, Vec<i64>) {
    let changes = heard(store, Revision(applied)).await;
    (changes.complete_from.0, changes.changed.iter().map(|(revision, _)| revision.0).collect())
}

/// A caller whose revision was pruned gets the whole log, and can still judge readings that are newer.
pub(crate) async fn changes_are_pruned_after_a_day(place: &impl Backend) {
    let store = place.open().await;
    let key = key("often");
    change_at(&*store, &key, FOREVER, START).await;
    change_at(&*store, &key, FOREVER, at(hours(1))).await;
    assert_eq!(log_after(&*store, 0).await, (0, vec![1, 2]), "a day is kept");
    // The second is exactly as old as a cached fact can be, and an hour.
    change_at(&*store, &key, FOREVER, at(hours(26))).await;

    assert_eq!(log_after(&*store, 0).await, (1, vec![2, 3]));
    assert_eq!(log_after(&*store, 1).await, (1, vec![2, 3]));
    assert_eq!(log_after(&*store, 2).await, (2, vec![3]));

    change_at(&*store, &key, FOREVER, at(hours(26) + Duration::from_millis(1))).await;
    for applied in 0..=2 {
        assert_eq!(log_after(&*store, applied).await, (2, vec![3, 4]));
    }
    change_at(&*store, &key, FOREVER, at(hours(1000))).await;
    assert_eq!(log_after(&*store, 4).await, (4, vec![5]));
    assert_eq!(log_after(&*store, 3).await, (4, vec![5]));
}

pub(crate) async fn a_clock_set_back_makes_no_hole(place: &impl Backend) {
    let store = place.open().await;
    let key = key("often");
    change_at(&*store, &key, FOREVER, at(hours(48))).await;
    change_at(&*store, &key, FOREVER, START).await;
    change_at(&*store, &key, FOREVER, at(hours(48))).await;
    for applied in 0..=3 {
        let (complete_from, changed) = log_after(&*store, applied).await;
        assert_eq!(changed, (complete_from + 1..=3).collect::<Vec<_>>(), "after {applied}");
        assert!(complete_from >= applied);
    }
    assert_eq!(log_after(&*store, 2).await.0, 2);
}

/// A backup was put back: its whole log, and a revision that the caller is past.
pub(crate) async fn a_caller_ahead_of_the_store_gets_the_whole_log(place: &impl Backend) {
    let store = place.open().await;
    change(&*store, &key("one"), FOREVER).await;
    assert_eq!(log_after(&*store, 1).await, (1, vec![]));
    let ahead = heard(&*store, Revision(2)).await;
    assert_eq!((ahead.revision, ahead.complete_from), (Revision(1), Revision(0)));
    assert_eq!(ahead.changed, [(Revision(1), key("one").digest)]);
}

pub(crate) async fn a_store_has_one_history_until_it_is_restored(place: &impl Backend) {
    let store = place.open().await;
    let history = heard(&*store, Revision(0)).await.history;
    change(&*store, &key("one"), FOREVER).await;
    assert_eq!(heard(&*store, Revision(1)).await.history, history);
    drop(store);
    assert_eq!(heard(&*place.open().await, Revision(0)).await.history, history);
}

pub(crate) async fn the_clock_and_the_pepper_are_the_stores(place: &impl Backend) {
    let store = place.open().await;
    // A change's own time is not the store's clock.
    change_at(&*store, &key("future"), FOREVER, at(hours(1_000_000))).await;
    let first = heard(&*store, Revision(0)).await;
    let second = heard(&*store, Revision(0)).await;
    assert_eq!(first.active_pepper, pepper().id());
    assert!(START < first.now && first.now <= second.now && second.now < at(hours(1_000_000)), "{first:?} {second:?}");
}
