//! What observe mode writes down, and what becomes of it.

use key_ip_sentinel::{
    domain::{
        Candidate, Fingerprint, KeyFacts, Reason, State,
        event::{EventKind, Record},
    },
    store::{
        Action, Change, Claim, Claimed, KeyFilter, KeyQuery, KeyRow, MAX_CANDIDATES, Order, Purpose, Refusal, Revision,
        Store, Target,
    },
};

use crate::fixture::*;

async fn observe(store: &dyn Store, key: &Fingerprint, from: &str) -> Claimed {
    store.claim(Claim { purpose: Purpose::Observe, ..claim(key, from, START) }).await.unwrap()
}

fn networks(facts: &KeyFacts) -> Vec<String> {
    facts.candidates.iter().map(|Candidate { network, .. }| network.to_string()).collect()
}

const OBSERVED: KeyQuery = KeyQuery { filter: KeyFilter::Observed, ..ALL_KEYS };

pub(crate) async fn candidates_come_in_their_order_and_own_nothing(place: &impl Backend) {
    let store = place.open().await;
    let key = key("watched");
    for from in ["203.0.113.9", "198.51.100.1", "2001:db8::/64"] {
        let noted = observe(&*store, &key, from).await;
        assert!(matches!(noted, Claimed::Noted(_)), "{noted:?}");
        assert_eq!(*noted.reading(), store.lookup(&key.digest.into()).await.unwrap());
        let again = observe(&*store, &key, from).await;
        assert_eq!(again, Claimed::Held(noted.reading().clone()), "once is enough");
    }
    let facts = store.lookup(&key.digest.into()).await.unwrap().facts;
    assert_eq!(networks(&facts), ["203.0.113.9/32", "198.51.100.1/32", "2001:db8::/64"]);
    assert_eq!((facts.binding, facts.ban), (None, None));
    assert_eq!(revision(&*store).await, Revision(0));
    assert_eq!(audit(&*store, WHOLE_AUDIT).await, []);
}

pub(crate) async fn the_number_of_candidates_is_bounded(place: &impl Backend) {
    let store = place.open().await;
    let key = key("roams");
    for number in 0..MAX_CANDIDATES + 3 {
        let noted = observe(&*store, &key, &format!("203.0.113.{number}")).await;
        assert_eq!(matches!(noted, Claimed::Noted(_)), number < MAX_CANDIDATES, "{number}");
    }
    assert_eq!(store.lookup(&key.digest.into()).await.unwrap().facts.candidates.len(), MAX_CANDIDATES);
}

pub(crate) async fn an_owned_key_gets_no_candidates(place: &impl Backend) {
    let store = place.open().await;
    let (owned, banned) = (key("owned"), key("banned"));
    let bound = bind(&*store, &owned, "203.0.113.7").await;
    assert_eq!(observe(&*store, &owned, "198.51.100.9").await, Claimed::Held(bound));
    change(&*store, &banned, FOREVER).await;
    assert!(matches!(observe(&*store, &banned, "198.51.100.9").await, Claimed::Held(_)));
    assert_eq!(store.counts().await.unwrap().observed, 0);
}

pub(crate) async fn a_claim_forgets_the_candidates(place: &impl Backend) {
    let store = place.open().await;
    let key = key("enforced");
    observe(&*store, &key, "203.0.113.7").await;
    observe(&*store, &key, "203.0.113.8").await;
    let won = bind(&*store, &key, "198.51.100.9").await;
    assert_eq!(won.facts.candidates, []);
    assert_eq!(store.lookup(&key.digest.into()).await.unwrap(), won);
    change(&*store, &key, Action::Open).await;
    assert!(store.lookup(&key.digest.into()).await.unwrap().facts.is_empty());
}

/// Another replica may answer `bound` to a candidate from its cache; a key without candidates costs no revision.
pub(crate) async fn a_claim_that_forgets_candidates_takes_a_revision(place: &impl Backend) {
    let store = place.open().await;
    let key = key("enforced elsewhere");
    observe(&*store, &key, "203.0.113.7").await;
    let before = revision(&*store).await;
    let won = bind(&*store, &key, "198.51.100.9").await;
    assert_eq!(heard(&*store, before).await.changed, [(won.as_of, key.digest)]);
    assert_eq!((won.as_of, revision(&*store).await), (Revision(before.0 + 1), won.as_of));
    assert_eq!(store.lookup(&key.digest.into()).await.unwrap(), won);
}

pub(crate) async fn observed_keys_are_listed_until_they_have_an_owner(place: &impl Backend) {
    let store = place.open().await;
    let keys = ["one", "two", "three"].map(key);
    for key in &keys {
        observe(&*store, key, "203.0.113.7").await;
    }
    observe(&*store, &keys[0], "203.0.113.8").await;
    assert_eq!(store.counts().await.unwrap().observed, 3);
    bind(&*store, &keys[1], "203.0.113.7").await;
    let listed = store.list(OBSERVED).await.unwrap();
    assert_eq!(
        listed.iter().map(|row| row.key_id).collect::<Vec<_>>(),
        [&keys[0], &keys[2]].map(|key| key.digest.new_id())
    );
    assert_eq!(networks(&listed[0].facts), ["203.0.113.7/32", "203.0.113.8/32"]);
    assert_eq!(listed[0].hint, keys[0].hint);
    assert_eq!(store.list(KeyQuery { limit: 1, offset: 1, ..OBSERVED }).await.unwrap(), listed[1..]);
    assert_eq!(store.counts().await.unwrap().observed, 2);
    let found = store.find(by_id(&keys[2])).await.unwrap();
    assert_eq!(networks(&found.facts), ["203.0.113.7/32"]);
}

pub(crate) async fn promote_binds_one_candidate_and_reserves_several(place: &impl Backend) {
    let store = place.open().await;
    let (stays, roams, unseen) = (key("stays"), key("roams"), key("unseen"));
    observe(&*store, &stays, "203.0.113.7").await;
    observe(&*store, &roams, "203.0.113.7").await;
    observe(&*store, &roams, "198.51.100.9").await;

    let promoted = change_at(&*store, &stays, Action::Promote, at(hours(1))).await;
    let owner = promoted.after.binding.clone().unwrap();
    assert_eq!((owner.state, owner.networks), (State::Learned, vec![network("203.0.113.7")]));
    assert_eq!(owner.created_at, at(hours(1)));
    assert_eq!(promoted.record.kind, EventKind::Promote);
    assert_eq!(promoted.record.detail.as_deref(), Some("observed 203.0.113.7/32; networks none -> 203.0.113.7/32"));
    let reserved = change(&*store, &roams, Action::Promote).await;
    assert_eq!(reserved.after.binding.clone().unwrap().networks, []);
    assert_eq!(
        reserved.record.detail.as_deref(),
        Some("observed 203.0.113.7/32, 198.51.100.9/32; networks none -> reserved")
    );
    assert_eq!(promoted.after.candidates, []);
    assert_eq!(store.list(OBSERVED).await.unwrap(), []);
    assert_eq!(
        refusal(&*store, Target::Key(stays.clone()), Action::Promote).await,
        Refusal::NothingToPromote(stays.digest.new_id())
    );
    assert_eq!(refusal(&*store, Target::Key(unseen), Action::Promote).await, Refusal::NotFound);
}

pub(crate) async fn pages_by_id_skip_no_row_even_if_rows_are_deleted(place: &impl Backend) {
    let store = place.open().await;
    let keys: Vec<_> = (0..20).map(|number| key(&format!("walked {number}"))).collect();
    for key in &keys {
        observe(&*store, key, "203.0.113.7").await;
    }
    let (mut met, mut after) = (Vec::new(), None);
    loop {
        let query = KeyQuery { limit: 3, order: Order::ById(after), ..OBSERVED };
        let page = store.list(query).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key_id);
        for row in page {
            met.push(row.key_id);
            let target = Target::Id(row.key_id.into());
            let change = Change::Key { target, action: Action::Promote };
            store.apply(change, ADMIN, START).await.unwrap();
        }
    }
    let mut ids: Vec<_> = keys.iter().map(|key| key.digest.new_id()).collect();
    ids.sort();
    assert_eq!(met, ids);
}

pub(crate) async fn keys_with_an_owner_that_only_the_mode_lets_through_are_found(place: &impl Backend) {
    let store = place.open().await;
    let [busy, quiet, reserved, unowned] = ["busy", "quiet", "reserved", "unowned"].map(key);
    for key in [&busy, &quiet, &reserved] {
        bind(&*store, key, "203.0.113.7").await;
    }
    change(&*store, &reserved, Action::Reserve).await;
    let now = heard(&*store, Revision(0)).await.now;
    let record = |key: &Fingerprint, kind, reason, from: &str, count, age| Record {
        kind,
        reason: Some(reason),
        key_id: Some(key.digest.new_id()),
        network: Some(network(from)),
        count,
        first_at: now.before(hours(age)),
        last_at: now.before(hours(age)),
        actor: None,
        decision_id: None,
        detail: None,
        delta: None,
    };
    let would = |key, from, count| record(key, EventKind::WouldDeny, Reason::IpMismatch, from, count, 23);
    let records = vec![
        would(&busy, "198.51.100.9", 4),
        would(&busy, "192.0.2.1", 5),
        would(&quiet, "198.51.100.9", 1),
        would(&quiet, "203.0.113.7", 9),
        would(&unowned, "198.51.100.9", 100),
        record(&reserved, EventKind::WouldDeny, Reason::NotClaimed, "203.0.113.7", 2, 1),
        record(&quiet, EventKind::Denied, Reason::IpMismatch, "192.0.2.1", 100, 1),
        record(&quiet, EventKind::WouldDeny, Reason::IpMismatch, "192.0.2.2", 100, 25),
        record(&quiet, EventKind::WouldDeny, Reason::NoKey, "192.0.2.3", 100, 1),
    ];
    append(&*store, records).await;
    let found = async |limit| {
        let rows = store.would_deny_keys(limit).await.unwrap();
        let summary = |row: KeyRow| {
            let refused: Vec<_> = row.refused.iter().map(|it| format!("{} {}", it.network, it.would_deny)).collect();
            (row.key_id, refused.join(", "))
        };
        rows.into_iter().map(summary).collect::<Vec<_>>()
    };
    let id = |key: &Fingerprint| key.digest.new_id();
    let all = [
        // Nine of its ten came from what owns it.
        (id(&quiet), "198.51.100.9/32 1".to_owned()),
        (id(&busy), "192.0.2.1/32 5, 198.51.100.9/32 4".to_owned()),
        (id(&reserved), "203.0.113.7/32 2".to_owned()),
    ];
    assert_eq!(found(9).await, all);
    assert_eq!(found(2).await, all[..2]);
    change(&*store, &busy, Action::Set(vec![network("198.51.100.0/24"), network("192.0.2.1")])).await;
    change(&*store, &quiet, FOREVER).await;
    assert_eq!(found(9).await, all[2..], "given to them, or banned in every mode");
}
