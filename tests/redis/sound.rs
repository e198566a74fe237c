//! What Redis holds never brings a banned key back, and never makes a key anyone's.

use key_ip_sentinel::{
    domain::{BindingRules, Network, Reason, Shape},
    settings::Settings,
    store::{Action, Decisions},
};
use std::{sync::Arc, time::Duration};

use super::{
    common::{cut::Cut, eventually, redis::Redis},
    replica::{BAN, GRACE, OWNER, Place, Replica, Setup, fingerprint, place_of, put, value_of, written},
};

const KEY: &str = "sk-some-key-0123456789";
const OTHER: &str = "sk-other-key-0123456789";
const ATTACKER: &str = "198.51.100.9";

/// Two replicas; the first has [`KEY`] and [`OTHER`] with owner [`OWNER`], and has written them to Redis.
async fn two(redis: &Redis) -> (Place, Replica, Replica) {
    let place = Place::new(&[7]);
    let setup = Setup::of(&redis.url());
    let (one, two) = (Replica::ready(&place, &setup).await, Replica::ready(&place, &setup).await);
    for key in [KEY, OTHER] {
        assert_eq!(one.ask(key, OWNER).await, Reason::FirstUse);
        written(redis, "sentinel", key, one.applied()).await;
    }
    (place, one, two)
}

/// In neither tier: not where the key is read for it, and not where it is cached.
#[tokio::test]
async fn explain_is_not_a_cache_request() {
    let redis = Redis::start().await;
    let (_place, _one, two) = two(&redis).await;
    let before = two.cache_requests();
    assert!(before.iter().any(|line| line.contains("redis")), "{before:?}");
    for _ in 0..2 {
        assert_eq!(two.explain(KEY, OWNER).await, Reason::Bound);
        assert_eq!(two.explain("sk-unknown-key-0123456789", OWNER).await, Reason::FirstUse);
    }
    assert_eq!(two.cache_requests(), before);
}

/// A store that fails is looked past once, and the request is one request.
#[tokio::test]
async fn the_second_look_after_a_store_loss_is_not_a_cache_request() {
    let redis = Redis::start().await;
    let (place, _one, two) = two(&redis).await;
    place.store.lose();
    assert_eq!(two.ask("sk-unknown-key-0123456789", OWNER).await, Reason::StoreUnavailable);
    let misses = two.metric(r#"sentinel_cache_requests_total{tier="process",outcome="miss"}"#);
    assert_eq!(misses, "1");
}

#[tokio::test]
async fn what_one_replica_has_read_serves_the_others() {
    let redis = Redis::start().await;
    let (place, _one, two) = two(&redis).await;
    // Only Redis can know.
    place.store.lose();
    assert_eq!(two.ask(KEY, OWNER).await, Reason::Bound);
    assert_eq!(two.ask(OTHER, ATTACKER).await, Reason::IpMismatch);
    assert_eq!((two.shared("hit"), two.shared("miss")), (2, 0));
    assert_eq!(two.ask(KEY, OWNER).await, Reason::Bound);
    assert_eq!(two.shared("hit"), 2, "kept in the process");
    let ttl: i64 = redis.command(&["TTL", &place_of("sentinel", KEY)]).await;
    assert!((1..=24 * 3600).contains(&ttl), "{ttl}");
    let value = value_of(&redis, "sentinel", KEY).await.unwrap();
    assert!(!String::from_utf8_lossy(&value).contains("sk-s"), "no hint leaves the store");
}

#[tokio::test]
async fn before_the_first_poll_and_after_the_grace_nothing_is_used() {
    let redis = Redis::start().await;
    let (place, _one, two) = two(&redis).await;
    let fresh = Replica::new(&place, &Setup::of(&redis.url()));
    fresh.connected(true).await;
    assert!(fresh.read(KEY).await.facts().binding.is_some());
    assert_eq!((fresh.shared("away"), fresh.shared("hit")), (1, 0), "the store was asked");
    place.store.lose();
    assert_eq!(fresh.ask(OTHER, OWNER).await, Reason::StoreUnavailable, "started without the store");
    assert_eq!(two.ask_at(KEY, OWNER, GRACE + Duration::from_secs(1)).await, Reason::StoreUnavailable);
}

/// It read before the ban, and writes to Redis after everybody has heard of it.
#[tokio::test]
async fn a_slow_reader_writes_what_was_so_before_a_ban() {
    let redis = Redis::start().await;
    let (place, one, two) = two(&redis).await;
    place.change(KEY, BAN).await;
    let unbanned = place.change(KEY, Action::Unban).await;
    let slow = Arc::new(Replica::ready(&place, &Setup::of(&redis.url())).await);
    for replica in [&one, &two] {
        replica.poll().await;
    }
    redis.command::<()>(&["DEL", &place_of("sentinel", KEY)]).await;
    place.store.reads.close();
    let reader = tokio::spawn({
        let slow = Arc::clone(&slow);
        async move { slow.ask(KEY, OWNER).await }
    });
    place.store.reads.arrival().await;
    place.change(KEY, BAN).await;
    for replica in [&one, &two] {
        replica.poll().await;
    }
    place.store.reads.open();
    assert_eq!(reader.await.unwrap(), Reason::Bound, "it has not heard of the ban");
    written(&redis, "sentinel", KEY, unbanned).await;
    assert_eq!(one.ask(KEY, OWNER).await, Reason::KeyBanned);
    assert_eq!(one.shared("stale"), 1);
    // By then the ban may be in Redis.
    assert_eq!(two.ask(KEY, OWNER).await, Reason::KeyBanned);
    slow.poll().await;
    assert_eq!(slow.ask(KEY, OWNER).await, Reason::KeyBanned);
}

#[tokio::test]
async fn a_ban_while_redis_was_away_holds_after_a_restart_of_all() {
    let redis = Redis::start().await;
    let mut cable = Cut::before(redis.address()).await;
    let (place, setup) = (Place::new(&[7]), Setup::of(&cable.through(&redis.url())));
    let before = Replica::ready(&place, &setup).await;
    assert_eq!(before.ask(KEY, OWNER).await, Reason::FirstUse);
    written(&redis, "sentinel", KEY, before.applied()).await;
    cable.refuse().await;
    place.change(KEY, BAN).await;
    before.poll().await;
    assert_eq!(before.ask(KEY, OWNER).await, Reason::KeyBanned);
    drop(before);
    cable.mend().await;
    let after = [Replica::ready(&place, &setup).await, Replica::ready(&place, &setup).await];
    assert_eq!(after[0].ask(KEY, OWNER).await, Reason::KeyBanned);
    assert_eq!((after[0].shared("stale"), after[0].shared("hit")), (1, 0));
    // By then the ban may be in Redis.
    assert_eq!(after[1].ask(KEY, OWNER).await, Reason::KeyBanned);
}

/// What another replica knows already may be of a history of the store that a restored backup has ended.
#[tokio::test]
async fn what_is_ahead_of_a_replica_waits_for_its_next_poll() {
    let redis = Redis::start().await;
    let (place, _one, behind) = two(&redis).await;
    let revision = place.change(OTHER, BAN).await;
    redis.command::<()>(&["DEL", &place_of("sentinel", KEY)]).await;
    let ahead = Replica::ready(&place, &Setup::of(&redis.url())).await;
    assert_eq!(ahead.ask(KEY, OWNER).await, Reason::Bound);
    written(&redis, "sentinel", KEY, revision).await;
    let digests = fingerprint(KEY).digests();
    place.store.lose();
    assert!(behind.cached.load(digests, |_| true, true).await.is_err());
    assert_eq!((behind.shared("stale"), behind.shared("hit")), (1, 0));
    place.store.find_again();
    behind.poll().await;
    place.store.lose();
    assert_eq!((behind.ask(KEY, OWNER).await, behind.shared("hit")), (Reason::Bound, 1));
}

/// An attacker that can write to Redis, but knows no pepper.
#[tokio::test]
async fn a_value_of_another_program_is_a_miss() {
    let redis = Redis::start().await;
    let (place, _one, _two) = two(&redis).await;
    place.change(KEY, BAN).await;
    let owners = value_of(&redis, "sentinel", OTHER).await.unwrap();
    let setup = Setup::of(&redis.url());
    let of_another = |setup: Setup| {
        let redis = &redis;
        async move {
            let place = Place::new(&setup.peppers);
            let other = Replica::ready(&place, &setup).await;
            assert_eq!(other.ask(KEY, OWNER).await, Reason::FirstUse);
            eventually("another's value", async || {
                let keys: Vec<String> = redis.command(&["KEYS", &format!("{}:*", setup.prefix)]).await;
                redis.command::<Option<Vec<u8>>>(&["GET", keys.first()?]).await
            })
            .await
        }
    };
    let another_pepper = of_another(Setup { peppers: vec![8], prefix: "pepper", ..setup.clone() }).await;
    let mut named_ours = another_pepper.clone();
    named_ours[1..9].copy_from_slice(&owners[1..9]);
    let mut newer = owners.clone();
    newer[9..17].copy_from_slice(&1_i64.to_be_bytes());
    for (what, value, outcome) in [
        ("another key's", owners.clone(), "forged"),
        ("with another revision", newer, "forged"),
        ("another realm's", of_another(Setup { realm: "other", prefix: "realm", ..setup.clone() }).await, "forged"),
        ("of another pepper", another_pepper, "foreign"),
        ("of another pepper, named as ours", named_ours, "forged"),
        ("of another version", [&[2], &owners[1..]].concat(), "foreign"),
        ("nothing", Vec::new(), "forged"),
        ("garbage", b"\x01garbage".to_vec(), "forged"),
    ] {
        put(&redis, &place_of("sentinel", KEY), &value).await;
        let replica = Replica::ready(&place, &setup).await;
        assert_eq!(replica.ask(KEY, OWNER).await, Reason::KeyBanned, "{what}");
        assert_eq!((replica.shared(outcome), replica.shared("hit")), (1, 0), "{what}");
    }
    redis.command::<()>(&["DEL", &place_of("sentinel", KEY)]).await;
    redis.command::<()>(&["RPUSH", &place_of("sentinel", KEY), "a list"]).await;
    let replica = Replica::ready(&place, &setup).await;
    assert_eq!(replica.ask(KEY, OWNER).await, Reason::KeyBanned);
    assert_eq!(replica.shared("miss"), 1);
    replica.read(OTHER).await;
    assert_eq!(replica.shared("hit"), 1, "and the connection is still of use");
}

/// A value may be put back, but not made: every bit of it counts.
#[tokio::test]
async fn a_value_with_one_bit_changed_is_a_miss() {
    let redis = Redis::start().await;
    let (place, one, _two) = two(&redis).await;
    let value = value_of(&redis, "sentinel", KEY).await.unwrap();
    place.store.lose();
    for at in 0..value.len() {
        let mut changed = value.clone();
        changed[at] ^= 1 << (at % 8);
        put(&redis, &place_of("sentinel", KEY), &changed).await;
        let digests = fingerprint(KEY).digests();
        let replica = Replica::ready_beside(&one, &place, &Setup::of(&redis.url())).await;
        assert!(replica.cached.load(digests, |_| true, true).await.is_err(), "byte {at}");
        assert_eq!(replica.shared("hit"), 0, "byte {at}");
        assert_eq!(replica.shared("forged") + replica.shared("foreign"), 1, "byte {at}");
    }
}

/// A network that joins takes no revision, so no owner may be denied because of a value that was written while the
/// binding was open.
#[tokio::test]
async fn a_value_that_is_older_than_a_claim_denies_no_owner() {
    let redis = Redis::start().await;
    let place = Place::new(&[7]);
    let joining = |networks| {
        let shape = Shape { max_networks: networks, learn_window: Duration::from_secs(3600), ..Shape::default() };
        BindingRules { shape, ..BindingRules::default() }
    };
    let settings = |binding| Settings { binding, stale_grace: GRACE, ..Settings::default() };
    let open = Setup { settings: settings(joining(3)), ..Setup::of(&redis.url()) };
    let one = Replica::ready(&place, &open).await;
    assert_eq!(one.ask(KEY, OWNER).await, Reason::FirstUse);
    let before = written(&redis, "sentinel", KEY, one.applied()).await;
    assert_eq!(one.ask(KEY, ATTACKER).await, Reason::NetworkAdded);
    eventually("it is overtaken", async || (value_of(&redis, "sentinel", KEY).await.unwrap() != before).then_some(()))
        .await;
    put(&redis, &place_of("sentinel", KEY), &before).await;

    // One that would refuse a claim without a look at the store: by its settings, or because no budget is left.
    let unclaimable: Vec<Network> = vec![format!("{ATTACKER}/32").parse().unwrap()];
    let refuses = Setup { settings: settings(BindingRules { unclaimable, ..joining(3) }), ..open };
    let two = Replica::ready(&place, &refuses).await;
    assert_eq!(two.ask(KEY, OWNER).await, Reason::Bound);
    assert_eq!(two.shared("hit"), 1, "an owner it knows");
    assert_eq!(two.ask(KEY, ATTACKER).await, Reason::Bound, "who joined meanwhile");
}

#[tokio::test]
async fn an_expired_provisional_binding_is_a_miss() {
    let redis = Redis::start().await;
    let (place, setup) = (Place::new(&[7]), Setup::of(&redis.url()));
    let one = Replica::ready(&place, &setup).await;
    assert_eq!(one.ask(KEY, OWNER).await, Reason::FirstUse);
    written(&redis, "sentinel", KEY, one.applied()).await;
    redis.command::<()>(&["DEL", &place_of("sentinel", KEY)]).await;
    let expire = |at: i64| place.shell().execute("UPDATE bindings SET state = 'provisional', expires_at = ?1", [at]);
    for (in_an_hour, outcome) in [(true, "hit"), (false, "stale")] {
        let now = place.store.changes_after(one.applied()).await.unwrap().now.as_millis();
        expire(if in_an_hour { now + 3_600_000 } else { now - 1 }).unwrap();
        let (reader, other) = (Replica::ready(&place, &setup).await, Replica::ready(&place, &setup).await);
        redis.command::<()>(&["DEL", &place_of("sentinel", KEY)]).await;
        assert!(reader.read(KEY).await.facts().binding.is_some());
        written(&redis, "sentinel", KEY, one.applied()).await;
        other.read(KEY).await;
        assert_eq!(other.shared(outcome), 1, "{outcome}");
    }
}

#[tokio::test]
async fn absent_keys_are_never_written() {
    let redis = Redis::start().await;
    let (place, one, _two) = two(&redis).await;
    assert!(one.read("sk-nobody's-0123456789").await.facts().is_empty());
    place.change(OTHER, BAN).await;
    let revision = place.change(OTHER, Action::Unban).await;
    one.poll().await;
    one.read(OTHER).await;
    // What was offered first would have been written first.
    written(&redis, "sentinel", OTHER, revision).await;
    let keys: Vec<String> = redis.command(&["KEYS", "*"]).await;
    assert_eq!(keys.len(), 2, "{keys:?}");
}
