//! From one pepper to the next: one key, one row, whichever pepper found it.

use futures_util::{StreamExt, stream};
use key_ip_sentinel::{
    domain::{ApiKey, Fingerprint, KeyDigests, KeyFacts, KeyRing, Pepper, Peppers, event::EventKind},
    store::{
        Action, Change, ChangeError, Changes, Claim, Claimed, FORGOTTEN_AT_ONCE, PepperRow, PepperUsage, Purpose,
        Refusal, Rekey, Revision, Rotated, Rotation, Store, StoreError, Target,
    },
};

use crate::fixture::*;

fn next_pepper() -> Pepper {
    Pepper::new(&[8; 32]).unwrap()
}

/// The key of [`fixture::key`] as a process sees it that lists both peppers and takes `active` for the active one.
fn seen_by(active: &Pepper, name: &str) -> Fingerprint {
    let ring = KeyRing::new(Peppers::new(vec![pepper(), next_pepper()]).unwrap(), "default", true);
    assert!(ring.activate(&active.id()));
    ring.fingerprint(&ApiKey::new(format!("sk-{name:->20}")))
}

fn before(name: &str) -> Fingerprint {
    seen_by(&pepper(), name)
}

fn after(name: &str) -> Fingerprint {
    seen_by(&next_pepper(), name)
}

async fn activate(store: &dyn Store, pepper: &Pepper) -> Result<Rotated, ChangeError> {
    let step = Rotation::Activate { id: pepper.id(), check_value: *pepper.check_value() };
    store.rotate(step, ADMIN, START).await
}

async fn retire(store: &dyn Store, pepper: &Pepper, forget: bool) -> Result<Rotated, ChangeError> {
    store.rotate(Rotation::Retire { id: pepper.id(), forget }, ADMIN, START).await
}

fn refused(answer: Result<Rotated, ChangeError>) -> Refusal {
    match answer {
        Err(ChangeError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

async fn facts(store: &dyn Store, key: impl Into<KeyDigests>) -> KeyFacts {
    store.lookup(&key.into()).await.unwrap().facts
}

async fn row(store: &dyn Store, pepper: &Pepper) -> PepperRow {
    let peppers = store.peppers().await.unwrap();
    peppers.into_iter().find(|row| row.id == pepper.id()).unwrap()
}

async fn left(store: &dyn Store, pepper: &Pepper) -> PepperUsage {
    row(store, pepper).await.usage
}

/// How many keys were moved.
async fn rekey(store: &dyn Store, moves: Vec<Rekey>) -> u64 {
    store.rekey(moves, START).await.unwrap()
}

fn move_to(from: &Fingerprint, to: &Fingerprint) -> Vec<Rekey> {
    vec![Rekey { from: from.digest, to: to.clone() }]
}

async fn changes(store: &dyn Store, since: Revision) -> Changes {
    heard(store, since).await
}

pub(crate) async fn activation_is_audited_and_takes_a_revision_that_no_key_changed_in(place: &impl Backend) {
    let store = place.open().await;
    bind(&*store, &before("some"), "203.0.113.7").await;
    let known = revision(&*store).await;
    let done = activate(&*store, &next_pepper()).await.unwrap();
    let news = changes(&*store, known).await;
    assert_eq!((news.active_pepper, news.revision), (next_pepper().id(), done.revision));
    assert!(done.revision > known && news.changed.is_empty() && news.complete_from == known, "no cached fact is wrong");
    assert_eq!(news.other_peppers, [pepper().id()], "the key is still under it");
    let stored = audit(&*store, WHOLE_AUDIT).await;
    assert_eq!(stored[0], done.records[0]);
    assert_eq!((stored[0].kind, stored[0].actor.as_deref()), (EventKind::PepperActivated, Some(ADMIN)));
    assert_eq!(refused(activate(&*store, &next_pepper()).await), Refusal::AlreadyActive(next_pepper().id()));
    let step = Rotation::Activate { id: pepper().id(), check_value: [0; 32] };
    assert_eq!(refused(store.rotate(step, ADMIN, START).await), Refusal::AnotherSecret(pepper().id()));
    activate(&*store, &pepper()).await.unwrap();
    let news = changes(&*store, known).await;
    assert_eq!((news.active_pepper, news.other_peppers), (pepper().id(), vec![]), "nothing is under the other one");
}

pub(crate) async fn under_a_pepper_that_is_not_active_nothing_is_written(place: &impl Backend) {
    let store = place.open().await;
    activate(&*store, &next_pepper()).await.unwrap();
    let late = before("new");
    for purpose in [ONE, Purpose::Observe] {
        let claimed = store.claim(Claim { purpose, ..claim(&late, "203.0.113.7", START) }).await;
        assert!(matches!(&claimed, Err(StoreError::Behind(active)) if *active == next_pepper().id()), "{claimed:?}");
    }
    for action in [FOREVER, Action::Set(vec![]), Action::Claim(vec![])] {
        let change = Change::Key { target: Target::Key(late.clone()), action };
        let changed = store.apply(change, ADMIN, START).await;
        assert!(matches!(changed, Err(ChangeError::Store(StoreError::Behind(_)))), "{changed:?}");
    }
    assert_eq!(facts(&*store, late.digests()).await, KeyFacts::default());
    assert_eq!(audit(&*store, WHOLE_AUDIT).await.len(), 1, "the activation");
    bind(&*store, &after("new"), "203.0.113.7").await;
    assert_eq!(rekey(&*store, move_to(&after("new"), &late)).await, 0, "nothing moves back");
    assert!(facts(&*store, after("new").digest).await.binding.is_some());
}

pub(crate) async fn a_key_has_one_owner_whichever_pepper_finds_it(place: &impl Backend) {
    let store = place.open().await;
    let owner = bind(&*store, &before("some"), "203.0.113.7").await;
    activate(&*store, &next_pepper()).await.unwrap();
    let key = after("some");
    let found = store.lookup(&key.digests()).await.unwrap();
    assert_eq!((found.facts, found.digest), (owner.facts.clone(), before("some").digest));
    let held = store.claim(claim(&key, "198.51.100.9", START)).await.unwrap();
    assert_eq!(*held.reading(), store.lookup(&key.digests()).await.unwrap());
    assert!(matches!(held, Claimed::Held(reading) if reading.facts == owner.facts));
    assert_eq!(store.list(ALL_KEYS).await.unwrap().len(), 1);
    // And back again, while rows are under both.
    activate(&*store, &pepper()).await.unwrap();
    let held = store.claim(claim(&before("some"), "198.51.100.9", START)).await.unwrap();
    assert!(matches!(held, Claimed::Held(reading) if reading.facts == owner.facts));
    assert_eq!(store.counts().await.unwrap().learned, 1);
}

pub(crate) async fn a_ban_under_the_old_pepper_binds_the_key_under_the_new_one(place: &impl Backend) {
    let store = place.open().await;
    change(&*store, &before("banned"), FOREVER).await;
    activate(&*store, &next_pepper()).await.unwrap();
    let key = after("banned");
    let held = store.claim(claim(&key, "203.0.113.7", START)).await.unwrap();
    assert!(matches!(held, Claimed::Held(reading) if reading.facts.ban.is_some()));
    // By its id, by itself, and to be lifted.
    assert!(store.find(Target::Key(key.clone())).await.unwrap().facts.ban.is_some());
    change(&*store, &key, Action::Unban).await;
    bind(&*store, &key, "203.0.113.7").await;
    let row = store.list(ALL_KEYS).await.unwrap();
    assert_eq!((row.len(), row[0].key_id), (1, key.digest.new_id()), "without a row it is a new key");
}

/// Else its ban would be renewed where no claim looks for it.
pub(crate) async fn a_claim_of_a_key_whose_ban_has_ended_splits_no_key(place: &impl Backend) {
    let store = place.open().await;
    change(&*store, &before("some"), ban_for(Some(hours(1)))).await;
    activate(&*store, &next_pepper()).await.unwrap();
    let key = after("some");
    let won = store.claim(claim(&key, "203.0.113.7", at(hours(2)))).await.unwrap();
    assert!(matches!(won, Claimed::Won { .. }), "{won:?}");
    let again = Change::Key { target: by_id(&before("some")), action: FOREVER };
    store.apply(again, ADMIN, at(hours(2))).await.unwrap();
    let found = facts(&*store, key.digests()).await;
    assert!(found.binding.is_some() && found.ban.is_some_and(|ban| ban.until.is_none()));
}

/// A key with all that a row can have: its owner, a ban, a note; and one that observe mode has seen.
async fn fill(store: &dyn Store) -> [Fingerprint; 2] {
    let [owned, seen] = ["owned", "seen"].map(before);
    bind(store, &owned, "203.0.113.7").await;
    change(store, &owned, Action::HandOver(network("2001:db8::/56"))).await;
    change(store, &owned, Action::Note(Some("a note".to_owned()))).await;
    change(store, &owned, FOREVER).await;
    for from in ["203.0.113.8", "203.0.113.9"] {
        let observed = Claim { purpose: Purpose::Observe, ..claim(&seen, from, START) };
        assert!(matches!(store.claim(observed).await, Ok(Claimed::Noted(_))));
    }
    [owned, seen]
}

pub(crate) async fn a_moved_key_keeps_its_id_and_all_else(place: &impl Backend) {
    let store = place.open().await;
    let keys = fill(&*store).await;
    let rows = [store.find(by_id(&keys[0])).await.unwrap(), store.find(by_id(&keys[1])).await.unwrap()];
    activate(&*store, &next_pepper()).await.unwrap();
    let known = revision(&*store).await;
    for (name, (key, row)) in ["owned", "seen"].into_iter().zip(keys.iter().zip(&rows)) {
        assert_eq!(rekey(&*store, move_to(key, &after(name))).await, 1);
        assert_eq!(store.find(by_id(key)).await.unwrap(), *row);
        assert_eq!(store.find(Target::Key(after(name))).await.unwrap(), *row, "{name}");
        assert_eq!(facts(&*store, after(name).digest).await, row.facts);
        assert_eq!(facts(&*store, key.digest).await, KeyFacts::default(), "nothing stays behind");
    }
    let logged: Vec<_> = changes(&*store, known).await.changed.into_iter().map(|(_, digest)| digest).collect();
    assert_eq!(logged, [keys[0].digest, keys[1].digest], "by what caches know them");
    assert_eq!(
        (left(&*store, &pepper()).await, left(&*store, &next_pepper()).await),
        (PepperUsage::default(), PepperUsage { bindings: 1, bans: 1, observed: 1, archived: 0 })
    );
    let again = [move_to(&keys[0], &after("owned")), move_to(&keys[1], &after("seen"))].concat();
    let known = revision(&*store).await;
    assert_eq!(rekey(&*store, again).await, 0);
    assert_eq!(revision(&*store).await, known);
}

pub(crate) async fn a_move_never_makes_a_second_row(place: &impl Backend) {
    let store = place.open().await;
    activate(&*store, &next_pepper()).await.unwrap();
    let [one, other] = ["one", "other"].map(after);
    bind(&*store, &one, "203.0.113.7").await;
    bind(&*store, &other, "203.0.113.8").await;
    let known = [facts(&*store, one.digest).await, facts(&*store, other.digest).await];
    assert_eq!(rekey(&*store, move_to(&one, &other)).await, 0, "there is one already");
    assert_eq!(rekey(&*store, move_to(&one, &one)).await, 0);
    assert_eq!(rekey(&*store, move_to(&before("unseen"), &after("unseen"))).await, 0);
    assert_eq!([facts(&*store, one.digest).await, facts(&*store, other.digest).await], known);
}

pub(crate) async fn what_is_done_to_a_key_of_the_old_pepper_moves_it(place: &impl Backend) {
    let store = place.open().await;
    let owner = bind(&*store, &before("some"), "203.0.113.7").await;
    let id = owner.facts.binding.unwrap().id;
    activate(&*store, &next_pepper()).await.unwrap();
    let known = revision(&*store).await;
    let banned = change(&*store, &after("some"), FOREVER).await;
    assert_eq!((banned.key_id, banned.after.ban.unwrap().id), (id, id));
    let logged: Vec<_> = changes(&*store, known).await.changed.into_iter().map(|(_, digest)| digest).collect();
    assert_eq!(logged, [before("some").digest, after("some").digest], "no cache keeps what it was");
    assert!(facts(&*store, after("some").digest).await.ban.is_some());
    assert_eq!(left(&*store, &pepper()).await, PepperUsage::default());
    // A refused change moves nothing.
    activate(&*store, &pepper()).await.unwrap();
    let known = revision(&*store).await;
    assert_eq!(refusal(&*store, Target::Key(before("some")), Action::Promote).await, Refusal::NothingToPromote(id));
    assert_eq!((revision(&*store).await, left(&*store, &next_pepper()).await.bans), (known, 1));
}

pub(crate) async fn an_undo_makes_no_second_row_of_a_key(place: &impl Backend) {
    let store = place.open().await;
    let id = before("some").digest.new_id();
    bind(&*store, &before("some"), "203.0.113.7").await;
    change(&*store, &before("some"), Action::Open).await;
    let opened = store.audit(WHOLE_AUDIT).await.unwrap()[0].id;
    activate(&*store, &next_pepper()).await.unwrap();
    bind(&*store, &after("some"), "198.51.100.9").await;
    let undo = |record| store.apply(Change::Undo(record), ADMIN, START);
    let refusal = undo(opened).await.unwrap_err();
    assert!(matches!(refusal, ChangeError::Refused(Refusal::OtherPepper(of, _)) if of == id), "{refusal:?}");
    activate(&*store, &pepper()).await.unwrap();
    let refusal = undo(opened).await.unwrap_err();
    assert!(matches!(refusal, ChangeError::Refused(Refusal::OtherPepper(of, _)) if of == id), "{refusal:?}");
    assert_eq!(store.counts().await.unwrap().learned, 1);
}

/// It made a second row, under the first pepper, beside a ban under the second: and the ban was not seen any more.
pub(crate) async fn an_undo_after_a_rotation_there_and_back_does_not_hide_a_ban(place: &impl Backend) {
    let store = place.open().await;
    bind(&*store, &before("some"), "203.0.113.7").await;
    change(&*store, &before("some"), Action::Open).await;
    let opened = store.audit(WHOLE_AUDIT).await.unwrap()[0].id;
    activate(&*store, &next_pepper()).await.unwrap();
    change(&*store, &after("some"), FOREVER).await;
    activate(&*store, &pepper()).await.unwrap();
    let refusal = store.apply(Change::Undo(opened), ADMIN, START).await.unwrap_err();
    assert!(matches!(refusal, ChangeError::Refused(Refusal::OtherPepper(..))), "{refusal:?}");
    assert!(store.lookup(&before("some").digests()).await.unwrap().facts.ban.is_some());
}

pub(crate) async fn a_pepper_in_use_is_not_retired(place: &impl Backend) {
    let store = place.open().await;
    let [owned, seen] = fill(&*store).await;
    let id = pepper().id();
    assert_eq!(refused(retire(&*store, &pepper(), true).await), Refusal::ActivePepper(id.clone()));
    assert_eq!(refused(retire(&*store, &next_pepper(), false).await), Refusal::UnknownPepper(next_pepper().id()));
    activate(&*store, &next_pepper()).await.unwrap();
    let known = revision(&*store).await;
    let all = PepperUsage { bindings: 1, bans: 1, observed: 1, archived: 0 };
    assert_eq!(refused(retire(&*store, &pepper(), false).await), Refusal::StillInUse(id.clone(), all));
    rekey(&*store, move_to(&owned, &after("owned"))).await;
    let seen_left = PepperUsage { observed: 1, ..PepperUsage::default() };
    assert_eq!(refused(retire(&*store, &pepper(), false).await), Refusal::StillInUse(id.clone(), seen_left));
    rekey(&*store, move_to(&seen, &after("seen"))).await;
    let done = retire(&*store, &pepper(), false).await.unwrap();
    assert!(done.done && done.revision > known);
    assert_eq!((done.records.len(), done.records[0].kind), (1, EventKind::PepperRetired));
    let row = row(&*store, &pepper()).await;
    assert_eq!((row.active, row.retired_at), (false, Some(START)));
    assert_eq!(refused(retire(&*store, &pepper(), false).await), Refusal::AlreadyRetired(id));
    assert!(facts(&*store, after("owned").digest).await.ban.is_some());
}

pub(crate) async fn what_is_forgotten_is_named_and_new_again(place: &impl Backend) {
    let store = place.open().await;
    let [owned, seen] = fill(&*store).await;
    activate(&*store, &next_pepper()).await.unwrap();
    bind(&*store, &after("stays"), "203.0.113.1").await;
    let known = revision(&*store).await;
    let done = retire(&*store, &pepper(), true).await.unwrap();
    assert!(done.done && done.usage == PepperUsage::default());
    let mut named: Vec<_> = done.records.iter().filter_map(|record| record.key_id).collect();
    named.sort();
    let mut expected = [owned.digest.new_id(), seen.digest.new_id()];
    expected.sort();
    assert_eq!(named, expected);
    let details: String = done.records.iter().filter_map(|record| record.detail.clone()).collect();
    for word in ["2001:db8::/56", "banned indefinitely", "observed 203.0.113.8/32, 203.0.113.9/32"] {
        assert!(details.contains(word), "{word} not in {details}");
    }
    let stored = audit(&*store, WHOLE_AUDIT).await;
    assert!(done.records.iter().all(|record| stored.contains(record)));
    let news = changes(&*store, known).await;
    let changed: Vec<_> = news.changed.iter().map(|(_, digest)| *digest).collect();
    assert!(changed.contains(&owned.digest) && changed.contains(&seen.digest) && changed.len() == 2);
    assert_eq!(news.revision, done.revision);
    assert_eq!(facts(&*store, after("owned").digests()).await, KeyFacts::default());
    bind(&*store, &after("owned"), "198.51.100.9").await;
    assert!(facts(&*store, after("stays").digest).await.binding.is_some());
}

pub(crate) async fn forgetting_goes_in_bounded_steps(place: &impl Backend) {
    let store = place.open().await;
    let many = FORGOTTEN_AT_ONCE as usize + 5;
    for number in 0..many {
        bind(&*store, &before(&number.to_string()), "203.0.113.7").await;
    }
    activate(&*store, &next_pepper()).await.unwrap();
    let first = retire(&*store, &pepper(), true).await.unwrap();
    assert_eq!((first.done, first.usage.bindings, first.records.len()), (false, 5, FORGOTTEN_AT_ONCE as usize));
    assert_eq!(first.revision, revision(&*store).await);
    let last = retire(&*store, &pepper(), true).await.unwrap();
    assert_eq!((last.done, last.usage, last.records.len()), (true, PepperUsage::default(), 6));
}

/// Each claimant belongs to a process that may not know of the activation yet, and retries when the store reports it.
pub(crate) async fn claims_that_meet_an_activation_have_one_winner_a_key(place: &impl Backend) {
    let store = place.open().await;
    let claims = (0..40_u8).flat_map(|key| (1..=6_u8).map(move |claimant| (key, claimant)));
    let claims = claims.map(|(key, claimant)| {
        let store = &store;
        async move {
            let from = format!("203.0.113.{claimant}");
            let late = before(&key.to_string());
            match store.claim(claim(&late, &from, START)).await {
                Err(StoreError::Behind(_)) => store.claim(claim(&after(&key.to_string()), &from, START)).await.unwrap(),
                claimed => claimed.unwrap(),
            }
        }
    });
    let turn = async {
        tokio::task::yield_now().await;
        activate(&*store, &next_pepper()).await.unwrap();
    };
    let (claimed, ()) = tokio::join!(stream::iter(claims).buffer_unordered(64).collect::<Vec<_>>(), turn);
    let won = claimed.iter().filter(|claimed| matches!(claimed, Claimed::Won { .. })).count();
    assert_eq!((won, store.counts().await.unwrap().learned), (40, 40));
}
