//! First use.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt, future::join_all, stream};
use key_ip_sentinel::{
    domain::{Fingerprint, KeyFacts, Network, State, event::EventKind},
    store::{Action, AuditQuery, Claimed, Reading, Revision, Store},
};

use crate::fixture::*;

pub(crate) async fn a_claim_gives_the_key_to_its_network(place: &impl Backend) {
    let store = place.open().await;
    let key = key("laptop");
    let won = bind(&*store, &key, "203.0.113.7").await;

    let binding = won.facts.binding.clone().unwrap();
    assert_eq!(binding.id, key.digest.new_id());
    assert_eq!(binding.hint, key.hint);
    assert!(binding.hint.is_some(), "a hint is part of what is tested");
    assert_eq!(binding.state, State::Learned);
    assert_eq!(binding.networks, [network("203.0.113.7/32")]);
    assert_eq!(binding.created_at, START);
    assert_eq!(won.facts.ban, None);
    assert_eq!(store.lookup(&key.digest.into()).await.unwrap(), won);
}

pub(crate) async fn a_later_claim_is_held_by_what_was_there(place: &impl Backend) {
    let store = place.open().await;
    let key = key("laptop");
    let won = bind(&*store, &key, "2001:db8:1:2::/64").await;
    for from in ["198.51.100.9", "2001:db8:1:2::/64"] {
        assert_eq!(store.claim(claim(&key, from, at(hours(1)))).await.unwrap(), Claimed::Held(won.clone()), "{from}");
    }
}

/// Claims `key` for `callers` networks at once and returns the owner, after checking that all agree on it.
async fn race(store: &dyn Store, key: &Fingerprint, callers: u8) -> Network {
    let claims = (0..callers).map(|caller| store.claim(claim(key, &format!("203.0.113.{caller}"), START)));
    let answers = join_all(claims).await;
    let mut winners = Vec::new();
    let mut losers = Vec::new();
    for (caller, answer) in (0..callers).zip(answers) {
        match answer.unwrap() {
            Claimed::Won { reading, .. } => winners.push((network(&format!("203.0.113.{caller}")), reading)),
            Claimed::Held(reading) | Claimed::Noted(reading) => losers.push(reading),
        }
    }
    let [(owner, won)] = &winners[..] else { panic!("winners: {winners:?}") };
    assert_eq!(won.facts.binding.as_ref().unwrap().networks, [*owner]);
    assert!(losers.iter().all(|held| held == won), "a loser and the winner got different facts");
    assert_eq!(store.lookup(&key.digest.into()).await.unwrap(), *won);
    *owner
}

pub(crate) async fn one_key_has_one_winner_among_many(place: &impl Backend) {
    let store = place.open().await;
    // As tasks, so that they also race on the runtime's threads.
    let tasks = (0..64).map(|caller| {
        let store = store.clone();
        tokio::spawn(async move { store.claim(claim(&key("raced"), &format!("203.0.113.{caller}"), START)).await })
    });
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
    let won: Vec<_> = answers.iter().filter(|answer| matches!(answer, Claimed::Won { .. })).collect();
    let [Claimed::Won { reading: won, .. }] = won[..] else { panic!("winners: {won:?}") };
    assert_eq!(answers.iter().filter(|answer| **answer == Claimed::Held(won.clone())).count(), 63);
}

pub(crate) async fn many_keys_have_one_winner_each(place: &impl Backend) {
    let store = place.open().await;
    let races = stream::iter(0..200).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { race(&*store, &key(&number.to_string()), 16).await })
    });
    // More at once would wait longer for a connection than a busy machine gives them.
    let owners: Vec<_> = races.buffer_unordered(4).collect().await;
    assert!(owners.iter().all(Result::is_ok), "{owners:?}");
    assert_eq!(store.counts().await.unwrap().learned, 200);
    let query = AuditQuery { kind: Some(EventKind::FirstUse), ..WHOLE_AUDIT };
    assert_eq!(audit(&*store, query).await.len(), 200);
}

pub(crate) async fn a_reserved_key_cannot_be_claimed(place: &impl Backend) {
    let store = place.open().await;
    let key = key("taken");
    bind(&*store, &key, "203.0.113.7").await;
    let reserved = change(&*store, &key, Action::Reserve).await;
    let held = store.claim(claim(&key, "203.0.113.7", at(hours(1)))).await.unwrap();
    assert_eq!(held, Claimed::Held(Reading { facts: reserved.after, as_of: reserved.revision, digest: key.digest }));
}

pub(crate) async fn a_banned_key_cannot_be_claimed(place: &impl Backend) {
    let store = place.open().await;
    let key = key("leaked");
    let banned = change(&*store, &key, FOREVER).await;
    let held = store.claim(claim(&key, "203.0.113.7", at(hours(1_000_000)))).await.unwrap();
    assert_eq!(held, Claimed::Held(Reading { facts: banned.after, as_of: banned.revision, digest: key.digest }));
    assert_eq!(binding(&*store, &key).await, None);
    let first_uses = AuditQuery { kind: Some(EventKind::FirstUse), ..WHOLE_AUDIT };
    assert_eq!(audit(&*store, first_uses).await, []);
}

pub(crate) async fn a_ban_ends_exclusively(place: &impl Backend) {
    let store = place.open().await;
    let key = key("suspect");
    let banned = change(&*store, &key, ban_for(Some(hours(2)))).await;
    let end = at(hours(2));
    let last_moment = end.before(Duration::from_millis(1));
    let held = store.claim(claim(&key, "203.0.113.7", last_moment)).await.unwrap();
    assert_eq!(
        held,
        Claimed::Held(Reading { facts: banned.after.clone(), as_of: banned.revision, digest: key.digest })
    );

    let won = store.claim(claim(&key, "203.0.113.7", end)).await.unwrap();
    let Claimed::Won { reading: Reading { facts: KeyFacts { binding: Some(binding), ban, .. }, .. }, .. } = won else {
        panic!("not won: {won:?}")
    };
    assert_eq!(ban, banned.after.ban, "an expired ban is kept for the operator to see");
    assert_eq!(binding.id, banned.key_id);
}

pub(crate) async fn a_first_use_is_audited_once(place: &impl Backend) {
    let store = place.open().await;
    let key = key("laptop");
    bind(&*store, &key, "203.0.113.7").await;
    store.claim(claim(&key, "198.51.100.9", START)).await.unwrap();

    let [record] = &audit(&*store, WHOLE_AUDIT).await[..] else { panic!("not one record") };
    assert_eq!(record.kind, EventKind::FirstUse);
    assert_eq!(record.key_id, Some(key.digest.new_id()));
    assert_eq!(record.network, Some(network("203.0.113.7")));
    assert_eq!((record.count, record.first_at, record.last_at), (1, START, START));
    assert_eq!(record.decision_id.as_deref(), Some("d-203.0.113.7"));
    assert_eq!((record.reason, &record.actor), (None, &None));
}

pub(crate) async fn a_claim_takes_no_revision(place: &impl Backend) {
    let store = place.open().await;
    let as_of = change(&*store, &key("other"), FOREVER).await.revision;
    assert_eq!(bind(&*store, &key("laptop"), "203.0.113.7").await.as_of, as_of);
    assert_eq!(revision(&*store).await, as_of);
    assert_eq!(heard(&*store, as_of).await.changed, []);
}

pub(crate) async fn a_claim_dropped_at_any_moment_is_won_or_not(place: &impl Backend) {
    let store = place.open().await;
    let tasks = (0..300u64).map(|number| {
        let store = store.clone();
        // From before the claim is queued to after its answer, and different in every run.
        let patience = Duration::from_micros(number * 7);
        tokio::spawn(async move {
            let claim = claim(&key(&number.to_string()), "203.0.113.1", START);
            tokio::time::timeout(patience, store.claim(claim)).await.is_ok_and(|answer| answer.is_ok())
        })
    });
    let answered: Vec<bool> = join_all(tasks).await.into_iter().map(|task| task.unwrap()).collect();

    let mut owners = HashMap::new();
    for (number, answered) in (0..300u64).zip(answered) {
        let key = key(&number.to_string());
        let claimed = store.claim(claim(&key, "203.0.113.2", START)).await.unwrap();
        let owner = claimed.reading().facts.binding.as_ref().unwrap().networks.clone();
        assert!(!answered || owner == [network("203.0.113.1")], "{number} was answered, but lost");
        owners.insert(key.digest.new_id(), owner);
    }
    let records = audit(&*store, WHOLE_AUDIT).await;
    assert_eq!(records.len(), owners.len(), "each key has exactly one first use");
    for record in records {
        assert_eq!(owners[&record.key_id.unwrap()], [record.network.unwrap()]);
    }
    assert_eq!(revision(&*store).await, Revision(0));
}

pub(crate) async fn a_tried_claim_leaves_nothing(place: &impl Backend) {
    let store = place.open().await;
    let (free, owned) = (key("free"), key("owned"));
    bind(&*store, &owned, "203.0.113.7").await;
    let before = audit(&*store, WHOLE_AUDIT).await;
    for key in [&free, &owned, &free] {
        store.try_claim(claim(key, "198.51.100.9", START)).await.unwrap();
    }
    assert!(store.lookup(&free.digests()).await.unwrap().facts.is_empty());
    assert_eq!(binding(&*store, &owned).await.unwrap().networks, [network("203.0.113.7")]);
    assert_eq!((audit(&*store, WHOLE_AUDIT).await, revision(&*store).await), (before, Revision(0)));
    bind(&*store, &free, "203.0.113.7").await;
}
