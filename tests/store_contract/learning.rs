//! Several networks for one key, and bindings that end by themselves.

use futures_util::future::join_all;
use key_ip_sentinel::{
    domain::{Binding, Fingerprint, State, Timestamp, event::EventKind},
    store::{Action, AuditQuery, Claim, Claimed, Purpose, Revision, Store},
};

use crate::fixture::*;

/// Asks for one of three slots within an hour, or whatever `purpose` says.
async fn ask(store: &dyn Store, key: &Fingerprint, from: &str, now: Timestamp, purpose: Purpose) -> Claimed {
    store.claim(Claim { purpose, ..claim(key, from, now) }).await.unwrap()
}

fn three() -> Purpose {
    one_of(3, hours(1))
}

fn owners(binding: &Binding) -> Vec<String> {
    binding.networks.iter().map(ToString::to_string).collect()
}

fn won(claimed: &Claimed) -> Option<EventKind> {
    match claimed {
        Claimed::Won { record, .. } => Some(record.kind),
        Claimed::Noted(_) | Claimed::Held(_) => None,
    }
}

pub(crate) async fn networks_join_until_the_slots_are_taken(place: &impl Backend) {
    let store = place.open().await;
    let key = key("dual-stack");
    let steps = [
        ("203.0.113.7", Some(EventKind::FirstUse), false),
        ("2001:db8::/64", Some(EventKind::NetworkAdded), false),
        ("198.51.100.9", Some(EventKind::NetworkAdded), true),
        ("192.0.2.1", None, true),
    ];
    for (from, outcome, sealed) in steps {
        let claimed = ask(&*store, &key, from, START, three()).await;
        assert_eq!(won(&claimed), outcome, "{from}");
        let stored = binding(&*store, &key).await.unwrap();
        assert_eq!(claimed.reading().facts.binding.as_ref(), Some(&stored), "{from}");
        assert_eq!(stored.is_sealed(), sealed, "{from}");
        assert_eq!(stored.state, State::Learned);
    }
    let owned = owners(&binding(&*store, &key).await.unwrap());
    assert_eq!(owned, ["198.51.100.9/32", "2001:db8::/64", "203.0.113.7/32"]);
}

pub(crate) async fn sixty_four_claimants_of_three_slots_are_three(place: &impl Backend) {
    let store = place.open().await;
    let tasks = (0..64).map(|caller| {
        let store = store.clone();
        tokio::spawn(async move {
            let from = format!("203.0.113.{caller}");
            (network(&from), ask(&*store, &key("raced"), &from, START, three()).await)
        })
    });
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(|task| task.unwrap()).collect();
    let mut winners: Vec<_> =
        answers.iter().filter(|(_, answer)| won(answer).is_some()).map(|(from, _)| *from).collect();
    winners.sort_by_key(ToString::to_string);
    let stored = binding(&*store, &key("raced")).await.unwrap();
    assert_eq!(winners.len(), 3);
    assert_eq!(stored.networks, winners);
    assert!(stored.is_sealed());
    let first_uses = answers.iter().filter(|(_, answer)| won(answer) == Some(EventKind::FirstUse)).count();
    assert_eq!(first_uses, 1);
    assert_eq!(audit(&*store, WHOLE_AUDIT).await.len(), 3);
}

pub(crate) async fn a_window_ends_exclusively_and_seals(place: &impl Backend) {
    let store = place.open().await;
    let key = key("late");
    ask(&*store, &key, "203.0.113.7", START, three()).await;
    let last_moment = at(hours(1)).before(std::time::Duration::from_millis(1));
    assert_eq!(won(&ask(&*store, &key, "203.0.113.8", last_moment, three()).await), Some(EventKind::NetworkAdded));
    let late = ask(&*store, &key, "203.0.113.9", at(hours(1)), three()).await;
    assert_eq!(won(&late), None);
    assert!(late.reading().facts.binding.as_ref().unwrap().is_sealed());
    // A caller whose clock is behind is too late as well.
    assert_eq!(won(&ask(&*store, &key, "203.0.113.9", START, three()).await), None);
    assert_eq!(owners(&binding(&*store, &key).await.unwrap()), ["203.0.113.7/32", "203.0.113.8/32"]);
}

pub(crate) async fn an_owner_takes_no_second_slot(place: &impl Backend) {
    let store = place.open().await;
    let key = key("twice");
    ask(&*store, &key, "203.0.113.7", START, three()).await;
    for _ in 0..5 {
        assert_eq!(won(&ask(&*store, &key, "203.0.113.7", START, three()).await), None);
    }
    let stored = binding(&*store, &key).await.unwrap();
    assert!(!stored.is_sealed());
    assert_eq!(owners(&stored), ["203.0.113.7/32"]);
}

pub(crate) async fn fewer_slots_than_before_seal(place: &impl Backend) {
    let store = place.open().await;
    let key = key("reconfigured");
    ask(&*store, &key, "203.0.113.7", START, three()).await;
    assert_eq!(won(&ask(&*store, &key, "203.0.113.8", START, ONE).await), None);
    assert!(binding(&*store, &key).await.unwrap().is_sealed());
    assert_eq!(won(&ask(&*store, &key, "203.0.113.8", START, three()).await), None);
}

pub(crate) async fn a_joined_network_is_audited_and_takes_no_revision(place: &impl Backend) {
    let store = place.open().await;
    let key = key("joined");
    ask(&*store, &key, "203.0.113.7", START, three()).await;
    ask(&*store, &key, "203.0.113.8", at(hours(0)), three()).await;
    assert_eq!(revision(&*store).await, Revision(0));
    let query = AuditQuery { kind: Some(EventKind::NetworkAdded), ..WHOLE_AUDIT };
    let [record] = &audit(&*store, query).await[..] else { panic!("not one record") };
    assert_eq!((record.key_id, record.network), (Some(key.digest.new_id()), Some(network("203.0.113.8"))));
    assert_eq!(record.decision_id.as_deref(), Some("d-203.0.113.8"));
}

pub(crate) async fn no_network_joins_a_pinned_key(place: &impl Backend) {
    let store = place.open().await;
    let key = key("pinned");
    ask(&*store, &key, "203.0.113.7", START, three()).await;
    for action in [Action::Reserve, Action::HandOver(network("198.51.100.9")), Action::Set(vec![])] {
        change(&*store, &key, action).await;
        assert_eq!(won(&ask(&*store, &key, "203.0.113.8", START, three()).await), None);
    }
}

pub(crate) async fn no_network_joins_a_banned_key(place: &impl Backend) {
    let store = place.open().await;
    let key = key("banned");
    ask(&*store, &key, "203.0.113.7", START, three()).await;
    change(&*store, &key, ban_for(Some(hours(1)))).await;
    assert_eq!(won(&ask(&*store, &key, "203.0.113.8", START, three()).await), None);
    assert!(!binding(&*store, &key).await.unwrap().is_sealed(), "a ban does not touch the binding");
}

pub(crate) async fn an_expired_provisional_binding_has_one_heir_among_many(place: &impl Backend) {
    let store = place.open().await;
    let key = key("expired");
    bind(&*store, &key, "192.0.2.1").await;
    place.make_provisional(&key, at(hours(1))).await;
    let tasks = (0..64).map(|caller| {
        let (store, key) = (store.clone(), key.clone());
        tokio::spawn(async move {
            let from = format!("203.0.113.{caller}");
            (network(&from), ask(&*store, &key, &from, at(hours(1)), ONE).await)
        })
    });
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(|task| task.unwrap()).collect();
    let winners: Vec<_> = answers.iter().filter(|(_, answer)| won(answer).is_some()).collect();
    let [(winner, _)] = winners[..] else { panic!("winners: {winners:?}") };
    let stored = binding(&*store, &key).await.unwrap();
    assert_eq!((stored.state, &stored.networks[..]), (State::Learned, &[*winner][..]));
    assert_eq!((stored.created_at, stored.expires_at), (at(hours(1)), None));
}

pub(crate) async fn a_provisional_binding_holds_until_it_expires(place: &impl Backend) {
    let store = place.open().await;
    let key = key("provisional");
    bind(&*store, &key, "192.0.2.1").await;
    place.make_provisional(&key, at(hours(1))).await;
    let last_moment = at(hours(1)).before(std::time::Duration::from_millis(1));
    assert_eq!(won(&ask(&*store, &key, "203.0.113.7", last_moment, three()).await), None);
    assert_eq!(store.counts().await.unwrap().provisional, 1);
    let stored = binding(&*store, &key).await.unwrap();
    assert_eq!((stored.state, stored.expires_at), (State::Provisional, Some(at(hours(1)))));
    assert!(stored.is_live(last_moment) && !stored.is_live(at(hours(1))));
}
