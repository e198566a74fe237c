//! Keys that move from one store to another.

use futures_util::future::join_all;
use key_ip_sentinel::{
    domain::{ApiKey, Binding, Fingerprint, KeyFacts, KeyRing, Pepper, Peppers, State, event::EventKind},
    store::{
        Action, ArchivedBinding, Change, Claim, Claimed, ExportedKey, Imported, KeyRow, KnownPepper, PepperRow,
        Purpose, Rekey, Rotation, Store, StoreError, Target, Use,
    },
};

use crate::{fixture::*, postgres, sqlite};

fn next_pepper() -> Pepper {
    Pepper::new(&[8; 32]).unwrap()
}

fn listed() -> Vec<KnownPepper> {
    [pepper(), next_pepper()].map(|it| KnownPepper { id: it.id(), check_value: *it.check_value() }).into()
}

/// The key of [`fixture::key`] as a process sees it for which `active` is the first of both peppers.
fn seen_by(active: &Pepper, name: &str) -> Fingerprint {
    let ring = KeyRing::new(Peppers::new(vec![pepper(), next_pepper()]).unwrap(), "default", true);
    assert!(ring.activate(&active.id()));
    ring.fingerprint(&ApiKey::new(format!("sk-{name:->20}")))
}

async fn import(store: &dyn Store, keys: Vec<ExportedKey>) -> Result<Imported, StoreError> {
    store.import(keys, listed(), ADMIN, at(hours(9))).await
}

/// Everything, in pages of three.
async fn everything(store: &dyn Store) -> Vec<ExportedKey> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.export_page(after, 3).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = Some(last.id);
        all.extend(page);
    }
}

async fn one(store: &dyn Store, key: &Fingerprint) -> ExportedKey {
    everything(store).await.into_iter().find(|known| known.id == key.digest.new_id()).unwrap()
}

/// The key as it leaves a store where `owner` has it.
fn owned(key: Fingerprint, owner: &str) -> ExportedKey {
    let binding = Binding {
        id: key.digest.new_id(),
        hint: key.hint.clone(),
        state: State::Learned,
        networks: vec![network(owner)],
        created_at: START,
        open_until: None,
        expires_at: None,
    };
    let facts = KeyFacts { binding: Some(binding), ..Default::default() };
    let id = key.digest.new_id();
    ExportedKey { id, key, facts, used_at: None, refused_at: None, restored_at: None, note: None, archive: Vec::new() }
}

async fn archive(store: &dyn Store) {
    let now = at(hours(5));
    assert_eq!(store.archive(at(hours(4)), 9, now).await.unwrap().len(), 2);
}

/// A key for everything that a row can hold.
async fn fill(place: &impl Backend, store: &dyn Store) -> usize {
    for name in ["archived", "restored"] {
        bind(store, &key(name), "203.0.113.1").await;
    }
    archive(store).await;
    let last = store.audit(WHOLE_AUDIT).await.unwrap();
    let restored = last.iter().find(|it| it.record.key_id == Some(key("restored").digest.new_id())).unwrap().id;
    store.apply(Change::Undo(restored), ADMIN, at(hours(6))).await.unwrap();
    let wide = Claim { purpose: one_of(3, hours(48)), ..claim(&key("open"), "203.0.113.2", START) };
    for from in ["203.0.113.2", "2001:db8::/64"] {
        let won = store.claim(Claim { network: network(from), ..wide.clone() }).await.unwrap();
        assert!(matches!(won, Claimed::Won { .. }));
    }
    bind(store, &key("provisional"), "203.0.113.3").await;
    place.make_provisional(&key("provisional"), at(hours(7))).await;
    let used = Use { key: key("open").digest.new_id(), used_at: Some(at(hours(1))), refused_at: Some(at(hours(2))) };
    store.note_uses(vec![used]).await.unwrap();
    change(store, &key("reserved"), Action::Set(vec![])).await;
    change(store, &key("pinned"), Action::Set(vec![network("0.0.0.0/0"), network("::/0")])).await;
    change(store, &key("pinned"), Action::Note(Some("roams, \"says\" Jörg".to_owned()))).await;
    let ban = Action::Ban { lasting: Some(hours(8)), reason: Some("leaked".to_owned()) };
    change(store, &key("pinned"), ban).await;
    change(store, &key("never seen"), FOREVER).await;
    for from in ["203.0.113.9", "203.0.113.8"] {
        let observed = Claim { purpose: Purpose::Observe, ..claim(&key("observed"), from, START) };
        assert!(matches!(store.claim(observed).await, Ok(Claimed::Noted(_))));
    }
    let short = Claim { key: Fingerprint { hint: None, ..key("no hint") }, ..claim(&key("x"), "203.0.113.4", START) };
    assert!(matches!(store.claim(short).await, Ok(Claimed::Won { .. })));
    9
}

pub(crate) async fn everything_that_is_known_of_a_key_moves<B: Backend>(place: &B) {
    let (source, elsewhere) = (place.open().await, B::fresh().await);
    let count = fill(place, &*source).await;
    let keys = everything(&*source).await;
    assert_eq!(keys.len(), count);
    assert!(keys.is_sorted_by_key(|key| key.id));
    let restored = one(&*source, &key("restored")).await;
    let former =
        ArchivedBinding { networks: vec![network("203.0.113.1")], created_at: START, archived_at: at(hours(5)) };
    assert_eq!((restored.restored_at, restored.archive), (Some(at(hours(6))), vec![former]));

    let target = elsewhere.open().await;
    let imported = import(&*target, keys.clone()).await.unwrap();
    assert_eq!((imported.taken, imported.kept.len()), (count as u64, 0));
    assert_eq!(everything(&*target).await, keys);
    for moved in &keys {
        let row = target.find(Target::Id(moved.id.into())).await.unwrap();
        assert_eq!(row, KeyRow::from(moved.clone()), "{}", moved.id);
    }
    assert_eq!(target.counts().await.unwrap(), source.counts().await.unwrap());

    // Again, used meanwhile: nothing is new, nothing differs.
    let used = Use { key: key("open").digest.new_id(), used_at: Some(at(hours(8))), refused_at: None };
    target.note_uses(vec![used]).await.unwrap();
    let (known, stored) = (revision(&*target).await, audit(&*target, WHOLE_AUDIT).await);
    assert_eq!(import(&*target, keys.clone()).await.unwrap(), Imported::default());
    assert_eq!((revision(&*target).await, audit(&*target, WHOLE_AUDIT).await), (known, stored));
    assert_eq!(one(&*target, &key("open")).await.used_at, Some(at(hours(8))));
}

pub(crate) async fn an_import_takes_a_revision_a_key_and_one_record(place: &impl Backend) {
    let store = place.open().await;
    bind(&*store, &key("mine"), "203.0.113.7").await;
    let known = revision(&*store).await;
    let keys: Vec<_> = ["a", "mine", "b"].map(|name| owned(key(name), "198.51.100.9")).into();
    let imported = import(&*store, keys).await.unwrap();
    let news = heard(&*store, known).await;
    let changed: Vec<_> = news.changed.iter().map(|(_, digest)| *digest).collect();
    assert_eq!(changed, [key("a").digest, key("b").digest]);
    let record = &audit(&*store, WHOLE_AUDIT).await[0];
    assert_eq!(imported.record.as_ref(), Some(record));
    assert_eq!(
        (record.kind, record.actor.as_deref(), record.last_at),
        (EventKind::Imported, Some(ADMIN), at(hours(9)))
    );
    assert_eq!(
        record.detail.as_deref(),
        Some(
            "2 keys: 2 bindings, 0 bans, 0 observed, 0 archived; 1 skipped, because the store has different data for the same key"
        )
    );
}

pub(crate) async fn an_import_takes_no_key_from_its_owner(place: &impl Backend) {
    let store = place.open().await;
    bind(&*store, &key("owned"), "203.0.113.7").await;
    change(&*store, &key("banned"), FOREVER).await;
    let seen = Claim { purpose: Purpose::Observe, ..claim(&key("seen"), "203.0.113.7", START) };
    store.claim(seen).await.unwrap();
    let before = everything(&*store).await;
    let mut keys: Vec<_> = ["owned", "banned", "seen"].map(|name| owned(key(name), "198.51.100.9")).into();
    // By its id alone, as after a re-keying; and by its digest alone, which only a hand-written file has.
    let renamed = owned(Fingerprint { digest: key("other").digest, ..key("owned") }, "198.51.100.9");
    keys.push(ExportedKey { id: key("owned").digest.new_id(), ..renamed });
    keys.push(ExportedKey { id: key("unheard of").digest.new_id(), ..owned(key("owned"), "203.0.113.7") });
    let expected: Vec<_> = keys.iter().map(|key| key.id).collect();
    let imported = import(&*store, keys).await.unwrap();
    assert_eq!((imported.taken, imported.record, imported.kept), (0, None, expected));
    assert_eq!(everything(&*store).await, before);
}

pub(crate) async fn a_key_that_comes_twice_is_taken_once(place: &impl Backend) {
    let store = place.open().await;
    let [first, attacker] = ["203.0.113.7", "198.51.100.9"].map(|owner| owned(key("some"), owner));
    let renamed = ExportedKey { id: key("other").digest.new_id(), ..first.clone() };
    let imported =
        import(&*store, vec![first.clone(), attacker.clone(), first.clone(), renamed.clone()]).await.unwrap();
    assert_eq!((imported.taken, imported.kept), (1, vec![attacker.id, renamed.id]));
    assert_eq!(everything(&*store).await, [first]);
}

pub(crate) async fn an_import_is_done_whole_or_not_at_all(place: &impl Backend) {
    let store = place.open().await;
    let strange = Fingerprint { pepper: Pepper::new(&[9; 32]).unwrap().id(), ..key("strange") };
    let failed = import(&*store, vec![owned(key("some"), "203.0.113.7"), owned(strange, "203.0.113.7")]).await;
    assert!(matches!(failed, Err(StoreError::Corrupt(_))), "{failed:?}");
    assert_eq!(everything(&*store).await, []);
    assert_eq!(audit(&*store, WHOLE_AUDIT).await, []);
    let twin = owned(Fingerprint { pepper: next_pepper().id(), ..key("twin") }, "203.0.113.7");
    import(&*store, vec![twin]).await.unwrap();
    let other = KnownPepper { id: next_pepper().id(), check_value: [0; 32] };
    let keys = vec![owned(seen_by(&next_pepper(), "more"), "203.0.113.7")];
    let failed = store.import(keys, vec![other], ADMIN, START).await;
    assert!(matches!(failed, Err(StoreError::Corrupt(_))), "the name of another secret: {failed:?}");
}

async fn pepper_row(store: &dyn Store, pepper: &Pepper) -> PepperRow {
    let peppers = store.peppers().await.unwrap();
    peppers.into_iter().find(|row| row.id == pepper.id()).unwrap()
}

pub(crate) async fn keys_under_another_pepper_bring_it_along_and_are_moved_when_used(place: &impl Backend) {
    let store = place.open().await;
    let [coming, here] = [next_pepper(), pepper()].map(|active| seen_by(&active, "some"));
    import(&*store, vec![owned(coming.clone(), "203.0.113.7")]).await.unwrap();
    let row = pepper_row(&*store, &next_pepper()).await;
    assert_eq!((row.active, row.retired_at, row.usage.bindings), (false, None, 1));
    let held = store.claim(claim(&here, "198.51.100.9", START)).await.unwrap();
    assert!(matches!(held, Claimed::Held(_)), "{held:?}");
    store.rekey(vec![Rekey { from: coming.digest, to: here.clone() }], START).await.unwrap();
    assert_eq!(pepper_row(&*store, &pepper()).await.usage.bindings, 1);
    let again = import(&*store, vec![owned(coming, "203.0.113.7")]).await.unwrap();
    assert_eq!(again, Imported::default(), "under whichever pepper, it is the same key");

    store.rotate(Rotation::Retire { id: next_pepper().id(), forget: false }, ADMIN, START).await.unwrap();
    assert!(pepper_row(&*store, &next_pepper()).await.retired_at.is_some());
    import(&*store, vec![owned(seen_by(&next_pepper(), "late"), "203.0.113.7")]).await.unwrap();
    assert_eq!(pepper_row(&*store, &next_pepper()).await.retired_at, None, "it is needed again");
}

pub(crate) async fn an_import_that_meets_claims_leaves_one_owner_a_key(place: &impl Backend) {
    let store = place.open().await;
    let names: Vec<_> = (0..40).map(|number| format!("raced {number}")).collect();
    let keys: Vec<_> = names.iter().map(|name| owned(key(name), "203.0.113.7")).collect();
    let claims = names.iter().map(|name| async { store.claim(claim(&key(name), "198.51.100.9", START)).await });
    let halves = keys.chunks(20).map(|half| import(&*store, half.to_vec()));
    let (claimed, imported) = tokio::join!(join_all(claims), join_all(halves));
    let won = claimed.into_iter().filter(|claimed| matches!(claimed, Ok(Claimed::Won { .. }))).count();
    let imported: Vec<_> = imported.into_iter().map(Result::unwrap).collect();
    let taken: u64 = imported.iter().map(|imported| imported.taken).sum();
    let kept: usize = imported.iter().map(|imported| imported.kept.len()).sum();
    assert_eq!((won + taken as usize, won), (40, kept));
    assert_eq!(store.counts().await.unwrap().learned, 40);
}

/// There and back again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_becomes_a_server_and_the_server_a_file() {
    let (from, between, to) =
        (sqlite::File::fresh().await, postgres::Database::fresh().await, sqlite::File::fresh().await);
    let source = from.open().await;
    fill(&from, &*source).await;
    let keys = everything(&*source).await;
    let server = between.open().await;
    import(&*server, keys.clone()).await.unwrap();
    assert_eq!(everything(&*server).await, keys);
    let file = to.open().await;
    import(&*file, everything(&*server).await).await.unwrap();
    assert_eq!(everything(&*file).await, keys);
}
