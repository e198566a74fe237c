//! Last use, and the archive.

use std::time::Duration;

use key_ip_sentinel::{
    domain::{
        Fingerprint, KeyFacts, Timestamp,
        event::{EventKind, Record},
        running::Pause,
    },
    store::{
        Action, ArchivedBinding, AuditQuery, BindingDetails, Change, Claimed, RecordId, Revision, Store, Target, Use,
    },
};

use crate::fixture::*;

const SECOND: Duration = Duration::from_secs(1);

async fn details(store: &dyn Store, key: &Fingerprint) -> BindingDetails {
    store.find(Target::Key(key.clone())).await.unwrap().details
}

fn used(key: &Fingerprint, used_at: Option<Timestamp>, refused_at: Option<Timestamp>) -> Use {
    Use { key: key.digest.new_id(), used_at, refused_at }
}

/// How many bindings were touched.
async fn note(store: &dyn Store, uses: Vec<Use>) -> u64 {
    store.note_uses(uses).await.unwrap()
}

async fn archive(store: &dyn Store, unused_since: Timestamp, limit: u32, now: Timestamp) -> Vec<Record> {
    store.archive(unused_since, limit, now).await.unwrap()
}

pub(crate) async fn times_of_use_never_go_back(place: &impl Backend) {
    let store = place.open().await;
    let key = key("used");
    bind(&*store, &key, "203.0.113.7").await;
    assert_eq!(details(&*store, &key).await, BindingDetails::default());
    let (early, late) = (Some(at(hours(1))), Some(at(hours(2))));
    for (note, expected) in [
        (used(&key, early, None), (early, None)),
        (used(&key, None, late), (early, late)),
        (used(&key, late, early), (late, late)),
        (used(&key, early, early), (late, late)),
        (used(&key, None, None), (late, late)),
    ] {
        // A store may spare itself what changes nothing.
        assert!(self::note(&*store, vec![note]).await <= 1);
        let BindingDetails { used_at, refused_at, .. } = details(&*store, &key).await;
        assert_eq!((used_at, refused_at), expected, "{note:?}");
    }
    assert_eq!(revision(&*store).await, Revision(0), "no cached fact is wrong for it");
}

pub(crate) async fn a_use_makes_no_row(place: &impl Backend) {
    let store = place.open().await;
    let (unknown, banned) = (key("unknown"), key("banned"));
    change(&*store, &banned, FOREVER).await;
    let uses = vec![used(&unknown, Some(START), None), used(&banned, Some(START), None)];
    assert_eq!(note(&*store, uses).await, 0);
    assert!(store.lookup(&unknown.digests()).await.unwrap().facts.is_empty());
    assert_eq!(binding(&*store, &banned).await, None);
}

pub(crate) async fn only_what_is_neither_used_nor_refused_is_archived(place: &impl Backend) {
    let store = place.open().await;
    let names = ["idle", "used", "refused", "pinned", "reserved", "provisional", "younger"];
    let keys = names.map(key);
    for key in &keys[..6] {
        bind(&*store, key, "203.0.113.7").await;
    }
    store.claim(claim(&keys[6], "203.0.113.7", at(hours(5)))).await.unwrap();
    let uses = vec![used(&keys[1], Some(at(hours(5))), None), used(&keys[2], None, Some(at(hours(5))))];
    assert_eq!(note(&*store, uses).await, 2);
    change(&*store, &keys[3], Action::Set(vec![network("203.0.113.7")])).await;
    change(&*store, &keys[4], Action::Reserve).await;
    place.make_provisional(&keys[5], at(hours(1))).await;

    let records = archive(&*store, at(hours(5)), 100, at(hours(9))).await;
    assert_eq!(records.iter().map(|record| record.key_id.unwrap()).collect::<Vec<_>>(), [keys[0].digest.new_id()]);
    for (key, name) in keys.iter().zip(names).skip(1) {
        assert!(binding(&*store, key).await.is_some(), "{name}");
    }
    let later = at(hours(5)).after(Duration::from_millis(1));
    assert_eq!(archive(&*store, later, 100, at(hours(9))).await.len(), 3, "the bound itself is not long enough");
}

pub(crate) async fn an_archived_key_is_new_and_its_next_first_use_reports_its_last_owner(place: &impl Backend) {
    let store = place.open().await;
    let key = key("returns");
    let bound = bind(&*store, &key, "203.0.113.7").await.facts;
    let [record] = &archive(&*store, at(hours(1)), 10, at(hours(2))).await[..] else { panic!("not one") };
    assert_eq!((record.kind, record.last_at), (EventKind::Archived, at(hours(2))));
    assert_eq!(audit(&*store, AuditQuery { limit: 1, ..WHOLE_AUDIT }).await, std::slice::from_ref(record));
    assert_eq!(heard(&*store, Revision(0)).await.changed, [(Revision(1), key.digest)]);
    assert!(store.lookup(&key.digests()).await.unwrap().facts.is_empty());

    let row = store.find(by_id(&key)).await.unwrap();
    let networks = vec![network("203.0.113.7")];
    let archived = ArchivedBinding { networks, created_at: START, archived_at: at(hours(2)) };
    assert_eq!((row.facts, row.hint, row.details.archived), (KeyFacts::default(), key.hint.clone(), Some(archived)));
    let Claimed::Won { record, reading } = store.claim(claim(&key, "198.51.100.9", at(hours(3)))).await.unwrap() else {
        panic!("not won")
    };
    let owner = reading.facts.binding.unwrap();
    assert_eq!((owner.id, owner.networks), (bound.binding.unwrap().id, vec![network("198.51.100.9")]));
    let detail = "was archived on 2026-01-01T02:00:00.000Z, owned by 203.0.113.7/32";
    assert_eq!(record.detail.as_deref(), Some(detail));
}

pub(crate) async fn a_ban_outlives_the_archive(place: &impl Backend) {
    let store = place.open().await;
    let key = key("banned");
    bind(&*store, &key, "203.0.113.7").await;
    let ban = change(&*store, &key, FOREVER).await.after.ban;
    assert_eq!(archive(&*store, at(hours(1)), 10, at(hours(2))).await.len(), 1);
    assert_eq!(store.lookup(&key.digests()).await.unwrap().facts, KeyFacts { ban, ..KeyFacts::default() });
    assert!(matches!(store.claim(claim(&key, "203.0.113.7", at(hours(3)))).await.unwrap(), Claimed::Held(_)));
    change(&*store, &key, Action::Unban).await;
    assert!(store.lookup(&key.digests()).await.unwrap().facts.is_empty(), "unban leaves exactly what was there");
    // An archived key can still be named.
    let target = by_id(&key);
    let again = store.apply(Change::Key { target, action: FOREVER }, ADMIN, START).await.unwrap();
    assert!(again.after.ban.is_some());
}

pub(crate) async fn the_archive_goes_in_steps_the_longest_unused_first(place: &impl Backend) {
    let store = place.open().await;
    let keys: Vec<_> = (0..25u32).map(|number| key(&format!("{number}"))).collect();
    for (number, key) in (0u32..).zip(&keys) {
        // The first is the youngest.
        let made = claim(key, "203.0.113.7", START.after(SECOND * (25 - number)));
        assert!(matches!(store.claim(made).await.unwrap(), Claimed::Won { .. }));
    }
    let mut archived = Vec::new();
    for expected in [10, 10, 5, 0] {
        let records = archive(&*store, at(hours(1)), 10, at(hours(2))).await;
        assert_eq!(records.len(), expected);
        archived.extend(records.into_iter().map(|record| record.key_id.unwrap()));
    }
    assert_eq!(archived, keys.iter().rev().map(|key| key.digest.new_id()).collect::<Vec<_>>());
    assert_eq!(revision(&*store).await, Revision(25));
}

pub(crate) async fn an_archiving_can_be_undone(place: &impl Backend) {
    let store = place.open().await;
    let key = key("back");
    let bound = bind(&*store, &key, "203.0.113.7").await.facts;
    archive(&*store, at(hours(1)), 10, at(hours(2))).await;
    let record: RecordId = store.audit(AuditQuery { limit: 1, ..WHOLE_AUDIT }).await.unwrap()[0].id;
    let undone = store.apply(Change::Undo(record), ADMIN, at(hours(3))).await.unwrap();
    assert_eq!(undone.after, bound);
    assert_eq!(archive(&*store, at(hours(3)), 10, at(hours(3))).await, [], "or the next minute would undo the undoing");
    assert_eq!(archive(&*store, at(hours(4)), 10, at(hours(4))).await.len(), 1);
}

pub(crate) async fn what_has_ended_is_deleted_in_steps_and_nothing_else(place: &impl Backend) {
    let store = place.open().await;
    let ended: Vec<_> = (0..3).map(|number| key(&format!("ended-{number}"))).collect();
    for (key, lasting) in ended.iter().zip([1, 2, 3]) {
        change(&*store, key, ban_for(Some(hours(lasting)))).await;
    }
    let (lasting, owner, guest) = (key("lasting"), key("owner"), key("guest"));
    change(&*store, &lasting, FOREVER).await;
    bind(&*store, &owner, "203.0.113.7").await;
    change(&*store, &owner, ban_for(Some(hours(1)))).await;
    bind(&*store, &guest, "203.0.113.8").await;
    place.make_provisional(&guest, at(hours(1))).await;
    let before = revision(&*store).await;
    let expire = async |before: Timestamp, limit: u32| store.expire(before, limit).await.unwrap();
    assert_eq!(expire(at(hours(1)), 10).await, 0, "what ends at this very moment stays");
    assert_eq!(expire(at(hours(4)), 1).await, 2, "one ban and one provisional binding");
    assert_eq!(expire(at(hours(4)), 10).await, 3);
    assert_eq!(expire(at(hours(4)), 10).await, 0);
    for key in ended.iter().chain([&guest]) {
        assert!(store.lookup(&key.digest.into()).await.unwrap().facts.is_empty());
    }
    assert!(store.lookup(&lasting.digest.into()).await.unwrap().facts.ban.is_some());
    let owned = store.lookup(&owner.digest.into()).await.unwrap().facts;
    assert!(owned.ban.is_none() && owned.binding.is_some(), "a ban takes no binding with it");
    assert_eq!(revision(&*store).await, before, "no cached fact is wrong for it");
}

pub(crate) async fn a_silence_is_a_pause_until_the_clock_is_set_back(place: &impl Backend) {
    let store = place.open().await;
    let tick = async |now: Timestamp| {
        let mut pauses = store.tick(now).await.unwrap();
        pauses.sort_unstable();
        pauses
    };
    let pause = |ended: u64, lasted: u64| Pause { ended_at: at(hours(ended)), lasted: hours(lasted) };
    assert_eq!(tick(at(hours(1))).await, [], "a new store has run never");
    assert_eq!(tick(at(hours(1) + 60 * SECOND)).await, []);
    assert_eq!(tick(at(hours(1))).await, [], "another replica's clock may be a little behind");
    assert_eq!(tick(at(hours(1) + 60 * SECOND)).await, []);
    let stopped = Pause { ended_at: at(hours(5)), lasted: hours(4) - 60 * SECOND };
    assert_eq!(tick(at(hours(5))).await, [stopped]);
    assert_eq!(tick(at(hours(2_000))).await, [stopped, pause(2_000, 1_995)], "the clock is set forward");
    assert_eq!(tick(at(hours(2_000) + SECOND)).await, [stopped, pause(2_000, 1_995)]);
    assert_eq!(tick(at(hours(5) + SECOND)).await, [stopped], "and back");
    let second = Pause { ended_at: at(hours(6)), lasted: hours(1) - SECOND };
    assert_eq!(tick(at(hours(6))).await, [stopped, second]);
    // A stop of 30 hours, whose end is seen by a clock that is two hours ahead.
    let seen = Pause { ended_at: at(hours(38)), lasted: hours(32) };
    assert_eq!(tick(at(hours(38))).await, [stopped, second, seen]);
    let kept = Pause { ended_at: at(hours(36)), lasted: hours(30) };
    assert_eq!(tick(at(hours(36))).await, [stopped, second, kept], "what is true of a pause stays");
}

/// One that reads is seen, whether or not it writes; what it has written counts up to then, and not beyond now.
pub(crate) async fn a_replica_is_known_by_what_it_reads_and_by_what_it_has_written(place: &impl Backend) {
    let store = place.open().await;
    let known = async |now, forget| {
        let replicas = store.replicas(at(hours(now)), at(hours(forget))).await.unwrap();
        replicas.iter().map(|it| (it.uses_written_at, it.seen_at)).collect::<Vec<_>>()
    };
    assert_eq!(known(9, 0).await, [], "it knows itself whether it has written anything");
    store.uses_written(at(hours(10))).await.unwrap();
    assert_eq!(known(20, 0).await, [(at(hours(10)), at(hours(20)))], "it reads, and has written nothing since");
    store.uses_written(at(hours(19))).await.unwrap();
    assert_eq!(known(21, 0).await, [(at(hours(19)), at(hours(21)))]);
    assert_eq!(known(5, 0).await, [(at(hours(5)), at(hours(5)))], "the clock was set back");
    drop(store);
    let next = place.open().await;
    next.uses_written(at(hours(30))).await.unwrap();
    let mut replicas = next.replicas(at(hours(30)), at(hours(5))).await.unwrap();
    replicas.sort_by_key(|it| it.uses_written_at);
    // The sessions of a store that was just dropped may be seen once more, so when it was seen is not known.
    assert_eq!(replicas.len(), 2, "an earlier process is another replica: {replicas:?}");
    assert_eq!((replicas[0].uses_written_at, replicas[1].uses_written_at), (at(hours(5)), at(hours(30))));
    assert_ne!(replicas[0].name, replicas[1].name);
}
