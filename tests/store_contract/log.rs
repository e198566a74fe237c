//! Look-ups, and the change log that keeps caches right.

use std::time::Duration;

use key_ip_sentinel::{
    domain::KeyFacts,
    store::{Action, Counts, Reading, Revision},
};

use crate::fixture::*;

pub(crate) async fn a_lookup_of_an_unknown_key_creates_nothing(place: &impl Backend) {
    let store = place.open().await;
    let reading = store.lookup(&key("unknown").digest.into()).await.unwrap();
    assert_eq!(reading, Reading { facts: KeyFacts::default(), as_of: Revision(0), digest: key("unknown").digest });
    assert_eq!(store.keys(ALL_KEYS).await.unwrap(), []);
    assert_eq!(audit(&*store, WHOLE_AUDIT).await, []);
    assert_eq!(store.counts(TOTALS).await.unwrap(), Counts::default());
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
        let changes = store.changes_after(Revision(applied)).await.unwrap();
        assert_eq!(changes.changed, all[usize::try_from(applied).unwrap()..]);
        assert_eq!((changes.revision, changes.pruned), (Revision(3), false));
    }
}

pub(crate) async fn changes_are_pruned_after_a_day(place: &impl Backend) {
    let store = place.open().await;
    let key = key("often");
    change_at(&*store, &key, FOREVER, START).await;
    change_at(&*store, &key, FOREVER, at(hours(1))).await;
    assert!(!store.changes_after(Revision(0)).await.unwrap().pruned, "a day is kept");
    // The second is exactly as old as a cached fact can be, and an hour.
    change_at(&*store, &key, FOREVER, at(hours(26))).await;

    let kept = [(Revision(2), key.digest), (Revision(3), key.digest)];
    let behind = store.changes_after(Revision(0)).await.unwrap();
    assert_eq!((behind.pruned, behind.revision), (true, Revision(3)));
    let just_there = store.changes_after(Revision(1)).await.unwrap();
    assert_eq!((just_there.pruned, &just_there.changed[..]), (false, &kept[..]));

    change_at(&*store, &key, FOREVER, at(hours(26) + Duration::from_millis(1))).await;
    assert!(store.changes_after(Revision(1)).await.unwrap().pruned);
    assert!(!store.changes_after(Revision(2)).await.unwrap().pruned);
    change_at(&*store, &key, FOREVER, at(hours(1000))).await;
    let last = store.changes_after(Revision(4)).await.unwrap();
    assert_eq!((last.pruned, last.changed), (false, vec![(Revision(5), key.digest)]));
    assert!(store.changes_after(Revision(3)).await.unwrap().pruned);
}

pub(crate) async fn a_clock_set_back_makes_no_hole(place: &impl Backend) {
    let store = place.open().await;
    let key = key("often");
    change_at(&*store, &key, FOREVER, at(hours(48))).await;
    change_at(&*store, &key, FOREVER, START).await;
    change_at(&*store, &key, FOREVER, at(hours(48))).await;
    for applied in 0..=3 {
        let changes = store.changes_after(Revision(applied)).await.unwrap();
        let complete = changes.changed.len() as i64 == 3 - applied;
        assert!(changes.pruned || complete, "after {applied}: {changes:?}");
    }
    assert!(!store.changes_after(Revision(2)).await.unwrap().pruned);
}

pub(crate) async fn a_caller_ahead_of_the_store_must_reload(place: &impl Backend) {
    let store = place.open().await;
    change(&*store, &key("one"), FOREVER).await;
    assert!(!store.changes_after(Revision(1)).await.unwrap().pruned);
    assert!(store.changes_after(Revision(2)).await.unwrap().pruned);
}

pub(crate) async fn the_clock_and_the_pepper_are_the_stores(place: &impl Backend) {
    let store = place.open().await;
    // A change's own time is not the store's clock.
    change_at(&*store, &key("future"), FOREVER, at(hours(1_000_000))).await;
    let first = store.changes_after(Revision(0)).await.unwrap();
    let second = store.changes_after(Revision(0)).await.unwrap();
    assert_eq!(first.active_pepper, pepper().id());
    assert!(START < first.now && first.now <= second.now && second.now < at(hours(1_000_000)), "{first:?} {second:?}");
}
