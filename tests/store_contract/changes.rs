//! What operators change.

use futures_util::future::join_all;
use key_ip_sentinel::{
    domain::{
        Binding, KeyDigest, KeyFacts, Reason, State, Timestamp,
        event::{EventKind, Record},
    },
    store::{Action, Applied, AuditQuery, Change, Claimed, Refusal, RefusedNetwork, Revision, Store, Target},
};

use crate::fixture::*;

/// What holds of every change, checked before what is particular to one.
async fn check(store: &dyn Store, key: &KeyDigest, before: &KeyFacts, applied: &Applied) {
    let reading = store.lookup(&(*key).into()).await.unwrap();
    assert_eq!(applied.before, *before);
    assert_eq!(applied.after, reading.facts);
    assert_eq!(applied.revision, reading.as_of);
    let stored = audit(store, AuditQuery { limit: 1, ..WHOLE_AUDIT }).await;
    assert_eq!(stored, std::slice::from_ref(&applied.record));
    assert_eq!(applied.record.key_id, Some(applied.key_id));
    assert_eq!(applied.record.actor.as_deref(), Some(ADMIN));
    assert_eq!((applied.record.count, applied.record.reason), (1, None));
    assert_eq!(applied.record.first_at, applied.record.last_at);
    let Some((last, changed)) = heard(store, Revision(0)).await.changed.pop() else {
        panic!("the change is not in the log")
    };
    assert_eq!((last, changed), (applied.revision, *key));
}

fn kind_and_detail(applied: &Applied) -> (EventKind, &str) {
    (applied.record.kind, applied.record.detail.as_deref().unwrap_or_default())
}

pub(crate) async fn reserve_empties_the_networks(place: &impl Backend) {
    let store = place.open().await;
    let key = key("taken");
    let before = bind(&*store, &key, "203.0.113.7").await.facts;
    let applied = change_at(&*store, &key, Action::Reserve, at(hours(1))).await;
    check(&*store, &key.digest, &before, &applied).await;
    assert_eq!(applied.revision, Revision(1));
    let binding = Binding { state: State::Pinned, networks: vec![], ..before.binding.unwrap() };
    assert_eq!(applied.after.binding, Some(binding));
    assert_eq!(kind_and_detail(&applied), (EventKind::Unbind, "networks 203.0.113.7/32 -> reserved"));
    assert_eq!(applied.record.last_at, at(hours(1)));
}

pub(crate) async fn reserving_again_is_allowed_and_audited(place: &impl Backend) {
    let store = place.open().await;
    let key = key("taken");
    bind(&*store, &key, "203.0.113.7").await;
    let first = change(&*store, &key, Action::Reserve).await;
    let second = change(&*store, &key, Action::Reserve).await;
    check(&*store, &key.digest, &first.after, &second).await;
    assert_eq!(second.after, first.after);
    assert_eq!(kind_and_detail(&second), (EventKind::Unbind, "networks reserved -> reserved"));
}

pub(crate) async fn hand_over_gives_the_key_to_exactly_one_network(place: &impl Backend) {
    let store = place.open().await;
    let key = key("moved");
    let learned = bind(&*store, &key, "203.0.113.7").await.facts;
    let moved = change(&*store, &key, Action::HandOver(network("198.51.100.0/24"))).await;
    check(&*store, &key.digest, &learned, &moved).await;
    let binding = moved.after.binding.clone().unwrap();
    assert_eq!((binding.state, binding.networks), (State::Pinned, vec![network("198.51.100.0/24")]));
    assert_eq!(kind_and_detail(&moved), (EventKind::Unbind, "networks 203.0.113.7/32 -> 198.51.100.0/24"));

    let reserved = change(&*store, &key, Action::Reserve).await;
    let given = change(&*store, &key, Action::HandOver(network("2001:db8::/64"))).await;
    check(&*store, &key.digest, &reserved.after, &given).await;
    assert_eq!(given.after.binding.clone().unwrap().networks, [network("2001:db8::/64")]);
    assert_eq!(kind_and_detail(&given), (EventKind::Unbind, "networks reserved -> 2001:db8::/64"));
}

pub(crate) async fn open_lets_the_next_first_use_win(place: &impl Backend) {
    let store = place.open().await;
    let key = key("reset");
    let before = bind(&*store, &key, "203.0.113.7").await.facts;
    let opened = change(&*store, &key, Action::Open).await;
    check(&*store, &key.digest, &before, &opened).await;
    assert!(opened.after.is_empty());
    assert_eq!(kind_and_detail(&opened), (EventKind::Unbind, "networks 203.0.113.7/32 -> open to the next first use"));
    let won = bind(&*store, &key, "198.51.100.9").await;
    assert_eq!(won.as_of, opened.revision);
    assert_eq!(won.facts.binding.unwrap().networks, [network("198.51.100.9")]);
}

pub(crate) async fn set_gives_a_key_exactly_these_networks(place: &impl Backend) {
    let store = place.open().await;
    let key = key("roams");
    let learned = bind(&*store, &key, "203.0.113.7").await.facts;
    let networks = ["2001:db8::/32", "198.51.100.0/24", "198.51.100.0/24"].map(network).to_vec();
    let set = change(&*store, &key, Action::Set(networks)).await;
    check(&*store, &key.digest, &learned, &set).await;
    let binding = set.after.binding.clone().unwrap();
    assert_eq!((binding.state, binding.is_sealed()), (State::Pinned, true));
    assert_eq!(binding.networks, ["198.51.100.0/24", "2001:db8::/32"].map(network));
    let detail = "networks 203.0.113.7/32 -> 198.51.100.0/24, 2001:db8::/32";
    assert_eq!(kind_and_detail(&set), (EventKind::Set, detail));
    let reserved = change(&*store, &key, Action::Set(vec![])).await;
    check(&*store, &key.digest, &set.after, &reserved).await;
    assert!(reserved.after.binding.unwrap().networks.is_empty());
}

pub(crate) async fn a_never_seen_key_can_be_given_its_networks(place: &impl Backend) {
    let store = place.open().await;
    for action in [Action::Set as fn(_) -> _, Action::Claim] {
        let key = key(&format!("new {:?}", action(vec![])));
        let given = change(&*store, &key, action(vec![network("203.0.113.0/24")])).await;
        check(&*store, &key.digest, &KeyFacts::default(), &given).await;
        let binding = given.after.binding.clone().unwrap();
        assert_eq!((binding.id, &binding.hint), (key.digest.new_id(), &key.hint));
        assert_eq!((binding.state, binding.networks), (State::Pinned, vec![network("203.0.113.0/24")]));
        let held = store.claim(claim(&key, "198.51.100.9", START)).await.unwrap();
        assert!(matches!(held, Claimed::Held(_)), "{held:?}");
        assert_eq!(refusal(&*store, by_id(&self::key("unknown")), action(vec![])).await, Refusal::NotFound);
    }
}

pub(crate) async fn claim_is_for_a_key_without_a_binding(place: &impl Backend) {
    let store = place.open().await;
    let (bound, banned) = (key("bound"), key("banned"));
    bind(&*store, &bound, "203.0.113.7").await;
    change(&*store, &banned, FOREVER).await;
    let give = || Action::Claim(vec![network("198.51.100.9")]);
    assert_eq!(
        refusal(&*store, Target::Key(bound.clone()), give()).await,
        Refusal::AlreadyBound(bound.digest.new_id())
    );
    let given = change(&*store, &banned, give()).await;
    assert!(given.after.ban.is_some() && given.after.binding.is_some(), "a ban is another matter");
}

pub(crate) async fn a_note_stays_with_the_binding(place: &impl Backend) {
    let store = place.open().await;
    let key = key("noted");
    let before = bind(&*store, &key, "203.0.113.7").await.facts;
    let noted = change(&*store, &key, Action::Note(Some("the \"red\" team's".into()))).await;
    check(&*store, &key.digest, &before, &noted).await;
    assert_eq!(kind_and_detail(&noted), (EventKind::Note, r#"note none -> "the \"red\" team's""#));
    change(&*store, &key, Action::Reserve).await;
    let row = store.find(Target::Key(key.clone())).await.unwrap();
    assert_eq!(row.details.note.as_deref(), Some("the \"red\" team's"));
    change(&*store, &key, Action::Note(None)).await;
    assert_eq!(store.find(Target::Key(key.clone())).await.unwrap().details.note, None);
    assert_eq!(refusal(&*store, Target::Key(self::key("unknown")), Action::Note(None)).await, Refusal::NotFound);
}

pub(crate) async fn a_ban_says_until_when_why_and_by_whom(place: &impl Backend) {
    let store = place.open().await;
    let key = key("leaked");
    let before = bind(&*store, &key, "203.0.113.7").await.facts;
    let action = Action::Ban { lasting: Some(hours(2)), reason: Some("on a public page".into()) };
    let banned = change_at(&*store, &key, action, at(hours(1))).await;
    check(&*store, &key.digest, &before, &banned).await;
    let ban = banned.after.ban.clone().unwrap();
    assert_eq!((ban.id, &ban.hint), (key.digest.new_id(), &key.hint));
    assert_eq!((ban.created_at, ban.until), (at(hours(1)), Some(at(hours(3)))));
    assert_eq!((ban.reason.as_deref(), ban.actor.as_str()), (Some("on a public page"), ADMIN));
    assert_eq!(banned.after.binding, before.binding);
    let detail = "until 2026-01-01T03:00:00.000Z (on a public page), was not banned";
    assert_eq!(kind_and_detail(&banned), (EventKind::Ban, detail));
}

pub(crate) async fn a_ban_replaces_the_earlier_one(place: &impl Backend) {
    let store = place.open().await;
    let key = key("leaked");
    let first = change(&*store, &key, FOREVER).await;
    let second = change_at(&*store, &key, ban_for(Some(hours(1))), at(hours(5))).await;
    check(&*store, &key.digest, &first.after, &second).await;
    let ban = second.after.ban.clone().unwrap();
    assert_eq!((ban.created_at, ban.until), (at(hours(5)), Some(at(hours(6)))));
    assert_eq!(kind_and_detail(&second), (EventKind::Ban, "until 2026-01-01T06:00:00.000Z, was banned indefinitely"));

    let third = change(&*store, &key, FOREVER).await;
    assert_eq!(third.after.ban.clone().unwrap().until, None);
    assert_eq!(kind_and_detail(&third), (EventKind::Ban, "indefinitely, was banned until 2026-01-01T06:00:00.000Z"));
    assert_eq!(store.list(ALL_KEYS).await.unwrap().len(), 1);
}

pub(crate) async fn a_never_seen_key_can_be_banned(place: &impl Backend) {
    let store = place.open().await;
    let key = key("stolen");
    let banned = change(&*store, &key, FOREVER).await;
    check(&*store, &key.digest, &KeyFacts::default(), &banned).await;
    assert_eq!(banned.key_id, key.digest.new_id());
    let ban = banned.after.ban.clone().unwrap();
    assert_eq!((ban.id, ban.hint), (banned.key_id, key.hint));
    assert_eq!(banned.after.binding, None);
}

pub(crate) async fn unban_leaves_what_was_there(place: &impl Backend) {
    let store = place.open().await;
    let key = key("cleared");
    let bound = bind(&*store, &key, "203.0.113.7").await.facts;
    let banned = change(&*store, &key, FOREVER).await;
    let unbanned = change(&*store, &key, Action::Unban).await;
    check(&*store, &key.digest, &banned.after, &unbanned).await;
    assert_eq!(unbanned.after, bound);
    assert_eq!(kind_and_detail(&unbanned), (EventKind::Unban, "was banned indefinitely"));
}

pub(crate) async fn unbind_leaves_the_ban(place: &impl Backend) {
    let store = place.open().await;
    for action in [Action::Reserve, Action::HandOver(network("198.51.100.9")), Action::Open] {
        let key = key(&format!("{action:?}"));
        bind(&*store, &key, "203.0.113.7").await;
        let banned = change(&*store, &key, FOREVER).await;
        let unbound = change(&*store, &key, action).await;
        check(&*store, &key.digest, &banned.after, &unbound).await;
        assert_eq!(unbound.after.ban, banned.after.ban);
        let held = store.claim(claim(&key, "203.0.113.7", START)).await.unwrap();
        assert!(matches!(held, Claimed::Held(_)), "{held:?}");
    }
}

pub(crate) async fn an_expired_ban_can_be_lifted(place: &impl Backend) {
    let store = place.open().await;
    let key = key("cleared");
    change(&*store, &key, ban_for(Some(hours(1)))).await;
    let unbanned = change_at(&*store, &key, Action::Unban, at(hours(2))).await;
    assert!(unbanned.after.is_empty());
    let unban = Change::Key { target: Target::Key(key.clone()), action: Action::Unban };
    let again = store.apply(unban, ADMIN, START).await;
    assert!(again.is_err(), "{again:?}");
}

pub(crate) async fn a_key_by_its_prefix_is_the_key_by_itself(place: &impl Backend) {
    let store = place.open().await;
    let (bound, banned) = (key("bound"), key("banned"));
    bind(&*store, &bound, "203.0.113.7").await;
    change(&*store, &banned, FOREVER).await;
    for key in [&bound, &banned] {
        let id = key.digest.new_id();
        for length in [10, 20, 34] {
            let target = Target::Id(prefix(&id.to_string()[..length]));
            let before = store.lookup(&key.digest.into()).await.unwrap().facts;
            let applied = store.apply(Change::Key { target, action: ban_for(None) }, ADMIN, START).await.unwrap();
            check(&*store, &key.digest, &before, &applied).await;
            assert_eq!(applied.key_id, id);
            assert_eq!(applied.after.ban.unwrap().hint, key.hint);
        }
    }
}

pub(crate) async fn an_ambiguous_prefix_lists_its_keys_and_changes_nothing(place: &impl Backend) {
    let store = place.open().await;
    let one = key_beginning([0xab, 0xcd, 0xef, 0x01], 0x99);
    let other = key_beginning([0xab, 0xcd, 0xef, 0x01], 0x11);
    let neighbour = key_beginning([0xab, 0xcd, 0xef, 0x02], 0x11);
    bind(&*store, &one, "203.0.113.7").await;
    change(&*store, &other, FOREVER).await;
    change(&*store, &neighbour, FOREVER).await;

    let known = (revision(&*store).await, audit(&*store, WHOLE_AUDIT).await);
    let both = vec![other.digest.new_id(), one.digest.new_id()];
    for action in [Action::Reserve, Action::Unban, FOREVER, Action::Open] {
        let refused = refusal(&*store, Target::Id(prefix("abcdef01")), action).await;
        assert_eq!(refused, Refusal::Ambiguous(both.clone()));
    }
    assert_eq!((revision(&*store).await, audit(&*store, WHOLE_AUDIT).await), known);

    let target = Target::Id(prefix("abcdef0199"));
    let applied = store.apply(Change::Key { target, action: FOREVER }, ADMIN, START).await.unwrap();
    assert_eq!(applied.key_id, one.digest.new_id());
    let refused = refusal(&*store, Target::Id(prefix("abcdef01")), Action::Unban).await;
    assert_eq!(refused, Refusal::Ambiguous(both), "a key with a binding and a ban is one candidate");
}

pub(crate) async fn many_candidates_are_cut_at_twenty(place: &impl Backend) {
    let store = place.open().await;
    let keys: Vec<_> = (0..25).map(|rest| key_beginning([0xab; 4], rest)).collect();
    for key in keys.iter().rev() {
        change(&*store, key, FOREVER).await;
    }
    let first: Vec<_> = keys[..20].iter().map(|key| key.digest.new_id()).collect();
    let refused = refusal(&*store, Target::Id(prefix("abababab")), Action::Unban).await;
    assert_eq!(refused, Refusal::Ambiguous(first));
}

pub(crate) async fn what_does_not_exist_is_refused_and_changes_nothing(place: &impl Backend) {
    let store = place.open().await;
    let (bound, banned, unknown) = (key("bound"), key("banned"), key("unknown"));
    bind(&*store, &bound, "203.0.113.7").await;
    change(&*store, &banned, FOREVER).await;
    let known = (revision(&*store).await, audit(&*store, WHOLE_AUDIT).await);

    let unbinds = [Action::Reserve, Action::HandOver(network("198.51.100.9")), Action::Open];
    for target in [Target::Key(unknown.clone()), by_id(&unknown)] {
        for action in unbinds.iter().cloned().chain([Action::Unban]) {
            assert_eq!(refusal(&*store, target.clone(), action).await, Refusal::NotFound);
        }
    }
    assert_eq!(refusal(&*store, by_id(&unknown), FOREVER).await, Refusal::NotFound);
    for target in [Target::Key(banned.clone()), by_id(&banned)] {
        for action in unbinds.iter().cloned() {
            assert_eq!(refusal(&*store, target.clone(), action).await, Refusal::NotBound(banned.digest.new_id()));
        }
    }
    for target in [Target::Key(bound.clone()), by_id(&bound)] {
        assert_eq!(refusal(&*store, target, Action::Unban).await, Refusal::NotBanned(bound.digest.new_id()));
    }
    assert_eq!((revision(&*store).await, audit(&*store, WHOLE_AUDIT).await), known);
    assert!(store.lookup(&unknown.digest.into()).await.unwrap().facts.is_empty());
}

pub(crate) async fn revisions_are_in_order_and_without_gaps(place: &impl Backend) {
    let store = place.open().await;
    let tasks = (0..100).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let key = key(&number.to_string());
            // Every third is refused, which must not leave a gap.
            let action = if number % 3 == 0 { Action::Unban } else { FOREVER };
            let target = Target::Key(key.clone());
            let applied = store.apply(Change::Key { target, action }, ADMIN, START).await;
            applied.ok().map(|applied| (applied.revision, key.digest))
        })
    });
    let mut applied: Vec<_> = join_all(tasks).await.into_iter().filter_map(|task| task.unwrap()).collect();
    applied.sort_by_key(|(revision, _)| *revision);
    let revisions: Vec<_> = applied.iter().map(|(revision, _)| revision.0).collect();
    assert_eq!(revisions, (1..=66).collect::<Vec<_>>());
    assert_eq!(heard(&*store, Revision(0)).await.changed, applied);
}

/// A denial of `key` from `from`.
fn denied(key: KeyDigest, from: &str, count: u64, last_at: Timestamp) -> Record {
    Record {
        kind: EventKind::Denied,
        reason: Some(Reason::IpMismatch),
        key_id: Some(key.new_id()),
        network: Some(network(from)),
        count,
        first_at: last_at,
        last_at,
        actor: None,
        decision_id: None,
        detail: None,
        delta: None,
    }
}

pub(crate) async fn refused_networks_are_listed_busiest_first(place: &impl Backend) {
    let store = place.open().await;
    let (key, other) = (key("hammered"), key("other"));
    bind(&*store, &key, "203.0.113.7").await;
    let now = at(hours(48));
    let day_ago = now.before(hours(24));
    let of_key = |from, count, last_at| denied(key.digest, from, count, last_at);
    let records = vec![
        of_key("198.51.100.1", 3, at(hours(30))),
        of_key("198.51.100.2", 4, at(hours(40))),
        Record { reason: Some(Reason::NotClaimed), ..of_key("198.51.100.2", 5, day_ago) },
        Record { kind: EventKind::WouldDeny, ..of_key("198.51.100.2", 2, at(hours(40))) },
        Record { reason: Some(Reason::KeyBanned), ..of_key("198.51.100.3", 2, at(hours(40))) },
        // Other reasons, too old, without a key, of another key.
        Record { reason: Some(Reason::ClaimLimited), ..of_key("198.51.100.3", 100, at(hours(40))) },
        of_key("198.51.100.4", 100, day_ago.before(hours(1))),
        Record { network: None, ..of_key("198.51.100.5", 100, at(hours(40))) },
        denied(other.digest, "198.51.100.6", 100, at(hours(40))),
    ];
    append(&*store, records).await;
    let refused = change_at(&*store, &key, Action::Reserve, now).await.refused;
    let expected = [("198.51.100.2", 9, 2, 40), ("198.51.100.1", 3, 0, 30), ("198.51.100.3", 2, 0, 40)];
    let expected = expected.map(|(from, count, would_deny, hour)| RefusedNetwork {
        network: network(from),
        count,
        would_deny,
        last_at: at(hours(hour)),
    });
    assert_eq!(refused, expected);
}

pub(crate) async fn at_most_twenty_refused_networks_are_listed(place: &impl Backend) {
    let store = place.open().await;
    let key = key("hammered");
    bind(&*store, &key, "203.0.113.7").await;
    let records = (0..30).map(|n: u64| denied(key.digest, &format!("198.51.100.{n}"), 100 - n, START)).collect();
    append(&*store, records).await;
    // Counts at their limit must not make the change fail.
    append(&*store, vec![denied(key.digest, "198.51.100.200", u64::MAX, START); 3]).await;
    let refused = change(&*store, &key, Action::Reserve).await.refused;
    assert_eq!(refused.len(), 20);
    assert_eq!(refused[0].network, network("198.51.100.200"));
    let last = RefusedNetwork { network: network("198.51.100.18"), count: 82, would_deny: 0, last_at: START };
    assert_eq!(refused[19], last);
}
