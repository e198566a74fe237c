//! What operators list.

use std::time::Duration;

use key_ip_sentinel::{
    domain::{
        Fingerprint, Reason, State, Timestamp,
        event::{EventKind, Record},
    },
    store::{
        Action, BindingDetails, ChangeError, KeyFilter, KeyQuery, KeyRow, Order, Refusal, RefusedNetwork, Revision,
        StateFilter, Store, StoreError, Target,
    },
};

use crate::fixture::*;

async fn names(store: &dyn Store, query: KeyQuery) -> Vec<String> {
    let rows: Vec<KeyRow> = store.list(query).await.unwrap();
    rows.into_iter().map(|row| row.key_id.to_string()).collect()
}

fn ids<'a>(keys: impl IntoIterator<Item = &'a Fingerprint>) -> Vec<String> {
    keys.into_iter().map(|key| key.digest.new_id().to_string()).collect()
}

async fn bind_at(store: &dyn Store, key: &Fingerprint, from: &str, now: Timestamp) {
    store.claim(claim(key, from, now)).await.unwrap();
}

pub(crate) async fn keys_come_newest_first_and_once(place: &impl Backend) {
    let store = place.open().await;
    let [old, banned_later, banned_first, only_banned] = ["old", "later", "first", "only"].map(key);
    bind_at(&*store, &old, "203.0.113.1", START).await;
    bind_at(&*store, &banned_later, "203.0.113.2", at(hours(1))).await;
    change_at(&*store, &banned_first, ban_for(Some(hours(1))), at(hours(2))).await;
    change_at(&*store, &only_banned, FOREVER, at(hours(4))).await;
    bind_at(&*store, &banned_first, "203.0.113.3", at(hours(5))).await;
    change_at(&*store, &banned_later, FOREVER, at(hours(6))).await;

    let newest = [&banned_later, &banned_first, &only_banned, &old];
    assert_eq!(names(&*store, ALL_KEYS).await, ids(newest));
    for row in store.list(ALL_KEYS).await.unwrap() {
        let key = newest.into_iter().find(|key| key.digest.new_id() == row.key_id).unwrap();
        assert_eq!(row.facts, store.lookup(&key.digest.into()).await.unwrap().facts);
        assert_eq!(row.hint, key.hint);
    }
    change_at(&*store, &only_banned, Action::Unban, at(hours(7))).await;
    assert_eq!(names(&*store, ALL_KEYS).await, ids([&banned_later, &banned_first, &old]));
}

/// Of each sort one key, the newest last.
pub(crate) async fn one_of_each(store: &dyn Store) -> [Fingerprint; 6] {
    let keys = ["learned", "pinned", "reserved", "banned", "expired", "learned-banned"].map(key);
    let now = heard(store, Revision(0)).await.now;
    for (number, key) in (0u32..).zip(&keys) {
        let now = now.before(hours(1)).after(Duration::from_millis(number.into()));
        let bans = [("banned", None), ("expired", Some(Duration::from_secs(1))), ("learned-banned", Some(hours(1000)))];
        match number {
            0 => bind_at(store, key, "203.0.113.1", now).await,
            1 | 2 => {
                bind_at(store, key, "203.0.113.1", now).await;
                let unbind = if number == 1 { Action::HandOver(network("203.0.113.2")) } else { Action::Reserve };
                change_at(store, key, unbind, now).await;
            }
            _ => {
                if number == 5 {
                    bind_at(store, key, "203.0.113.1", now).await;
                }
                change_at(store, key, ban_for(bans[number as usize - 3].1), now).await;
            }
        }
    }
    keys
}

pub(crate) async fn keys_are_filtered(place: &impl Backend) {
    let store = place.open().await;
    let [learned, pinned, reserved, banned, expired, learned_banned] = &one_of_each(&*store).await;
    let all = [learned_banned, expired, banned, reserved, pinned, learned];
    assert_eq!(names(&*store, ALL_KEYS).await, ids(all));

    let query = |state: Option<State>, owner: Option<&str>, banned_only| {
        let (state, network) = (state.map(StateFilter::In), owner.map(network));
        KeyQuery { filter: KeyFilter::BoundOrBanned { state, network, banned_only }, ..ALL_KEYS }
    };
    let of_state = |state| query(Some(state), None, false);
    assert_eq!(names(&*store, of_state(State::Learned)).await, ids([learned_banned, learned]));
    assert_eq!(names(&*store, of_state(State::Pinned)).await, ids([reserved, pinned]));

    assert_eq!(names(&*store, query(None, None, true)).await, ids([learned_banned, banned]));

    let owned_by = |owner| query(None, Some(owner), false);
    assert_eq!(names(&*store, owned_by("203.0.113.1")).await, ids([learned_banned, learned]));
    assert_eq!(names(&*store, owned_by("203.0.113.2")).await, ids([pinned]));
    assert_eq!(names(&*store, owned_by("203.0.113.0/24")).await, [""; 0], "exactly, not by containment");

    let everything = query(Some(State::Learned), Some("203.0.113.1"), true);
    assert_eq!(names(&*store, everything).await, ids([learned_banned]));
    assert_eq!(names(&*store, query(Some(State::Pinned), None, true)).await, [""; 0]);
}

pub(crate) async fn keys_come_in_pages(place: &impl Backend) {
    let store = place.open().await;
    let keys: Vec<_> = (0..25).map(|number| key(&number.to_string())).collect();
    for (number, key) in (0u32..).zip(&keys) {
        // All at one moment in the end: pages must not depend on luck among equals.
        let now = START.after(Duration::from_millis(u64::from(number / 10)));
        if number % 2 == 0 {
            bind_at(&*store, key, "203.0.113.1", now).await
        } else {
            change_at(&*store, key, FOREVER, now).await;
        }
    }
    let all = names(&*store, ALL_KEYS).await;
    assert_eq!(all.len(), 25);
    let mut paged = Vec::new();
    for offset in [0, 10, 20, 30] {
        paged.extend(names(&*store, KeyQuery { limit: 10, offset, ..ALL_KEYS }).await);
    }
    assert_eq!(paged, all);
    assert_eq!(names(&*store, KeyQuery { limit: 0, ..ALL_KEYS }).await, [""; 0]);
}

pub(crate) async fn a_key_is_found_by_prefix_and_by_itself(place: &impl Backend) {
    let store = place.open().await;
    let (bound, banned, unknown) = (key("bound"), key("banned"), key("unknown"));
    bind(&*store, &bound, "203.0.113.7").await;
    change(&*store, &banned, FOREVER).await;
    for key in [&bound, &banned] {
        let facts = store.lookup(&key.digest.into()).await.unwrap().facts;
        let expected = KeyRow {
            key_id: key.digest.new_id(),
            hint: key.hint.clone(),
            facts,
            details: BindingDetails::default(),
            refused: Vec::new(),
        };
        let short = Target::Id(prefix(&key.digest.new_id().to_string()[..10]));
        for target in [Target::Key(key.clone()), by_id(key), short] {
            assert_eq!(store.find(target).await.unwrap(), expected);
        }
    }
    for target in [Target::Key(unknown.clone()), by_id(&unknown)] {
        let found = store.find(target).await;
        assert!(matches!(found, Err(ChangeError::Refused(Refusal::NotFound))), "{found:?}");
    }
    let twins = [1, 2].map(|rest| key_beginning([0xab; 4], rest));
    for twin in &twins {
        bind(&*store, twin, "203.0.113.7").await;
    }
    let found = store.find(Target::Id(prefix("abababab"))).await;
    let Err(ChangeError::Refused(Refusal::Ambiguous(candidates))) = found else { panic!("{found:?}") };
    assert_eq!(candidates, twins.map(|twin| twin.digest.new_id()));
}

pub(crate) async fn a_key_is_found_with_who_was_refused_it(place: &impl Backend) {
    let store = place.open().await;
    let key = key("refused");
    bind(&*store, &key, "203.0.113.7").await;
    let now = heard(&*store, Revision(0)).await.now;
    let record = |count, at| Record {
        kind: EventKind::Denied,
        reason: Some(Reason::IpMismatch),
        key_id: Some(key.digest.new_id()),
        network: Some(network("198.51.100.9")),
        count,
        first_at: at,
        last_at: at,
        actor: None,
        decision_id: None,
        detail: None,
        delta: None,
    };
    let (lately, long_ago) = (now.before(hours(23)), now.before(hours(25)));
    let records = vec![record(3, lately), record(4, lately), record(100, long_ago)];
    append(&*store, records).await;
    let found = store.find(by_id(&key)).await.unwrap();
    assert_eq!(
        found.refused,
        [RefusedNetwork { network: network("198.51.100.9"), count: 7, would_deny: 0, last_at: lately }],
        "by the store's clock"
    );
}

pub(crate) async fn a_walk_by_id_goes_through_bindings_and_bans(place: &impl Backend) {
    let store = place.open().await;
    let keys: Vec<_> = (0..7).map(|number| key(&format!("any {number}"))).collect();
    for (number, key) in keys.iter().enumerate() {
        match number % 3 {
            0 => drop(bind(&*store, key, "203.0.113.7").await),
            1 => drop(change(&*store, key, FOREVER).await),
            _ => {
                bind(&*store, key, "203.0.113.7").await;
                change_at(&*store, key, FOREVER, at(hours(1))).await;
            }
        }
    }
    let (mut met, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(KeyQuery { limit: 2, order: Order::ById(after), ..ALL_KEYS }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key_id);
        met.extend(page.iter().map(|row| row.key_id));
    }
    let mut ids: Vec<_> = keys.iter().map(|key| key.digest.new_id()).collect();
    ids.sort();
    assert_eq!(met, ids);
}

/// Of two keys and two records, the first of each is made unreadable. The error must name the row, because there may be
/// a million.
pub(crate) async fn names_what_it_cannot_read(store: &dyn Store, broken: &Fingerprint) {
    let id = broken.digest.new_id().to_string();
    let listed = store.list(ALL_KEYS).await.map(drop);
    for read in [listed, store.export_page(None, 1000).await.map(drop)] {
        assert!(
            matches!(&read, Err(StoreError::Corrupt(text)) if text.contains(&id) && text.contains("bindings.state")),
            "{read:?}"
        );
    }
    let read = store.audit(WHOLE_AUDIT).await;
    assert!(matches!(&read, Err(StoreError::Corrupt(text)) if text.starts_with("record 1: audit.kind")), "{read:?}");
}
