//! Among any number of claimants at any number of replicas exactly one becomes the owner of a key.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use futures_util::{StreamExt, future::join_all, stream};
use key_ip_sentinel::domain::Pepper;

use crate::{
    common::{Answer, Dice, PEPPER, eventually, postgres::Postgres, redis::Redis},
    fleet::{REPLICAS, Replica, replica, start, stop},
    number, seed,
};

const CLAIMANTS: usize = 48;
/// Keys with concurrent claims; [`CLAIMANTS`] requests per key run at the same time.
const KEYS_AT_ONCE: usize = 4;
const NEW: &str = "another-pepper-for-tests-0123456789-abcd";

fn key(index: usize) -> String {
    format!("sk-race-{index:05}-0123456789")
}

/// A network of its own for each claimant: half of them IPv4 addresses, half IPv6 /64s.
fn address(claimant: usize) -> String {
    match claimant % 2 {
        0 => format!("203.0.113.{}", claimant + 1),
        _ => format!("2001:db8:0:{:x}::7", claimant + 1),
    }
}

fn network(claimant: usize) -> String {
    match claimant % 2 {
        0 => format!("{}/32", address(claimant)),
        _ => format!("2001:db8:0:{:x}::/64", claimant + 1),
    }
}

/// A fight for many keys, in which answers may be put off but never contradict each other.
struct Race {
    replicas: Vec<Replica>,
    seed: u64,
    /// Keys that have an owner.
    decided: AtomicUsize,
    /// Answers that the store was away.
    put_off: AtomicUsize,
}

/// Who got a key.
struct Owner {
    claimant: usize,
    id: String,
    /// The claim itself reported it. Otherwise the store has it, but the answer of that claim was lost.
    acknowledged: bool,
}

impl Race {
    async fn on(url: &str, redis: &Redis, secrets: &[&str]) -> Self {
        let secrets = format!("{secrets:?}");
        let homes = (0..REPLICAS).map(|_| replica(url, Some(&redis.url())).set("pepper.secrets", &secrets));
        let (decided, put_off) = Default::default();
        Self { replicas: start(homes).await, seed: seed(), decided, put_off }
    }

    async fn run(&self, keys: usize) -> Vec<Owner> {
        let started = Instant::now();
        let fights = stream::iter(0..keys).map(|index| self.fight(index)).buffered(KEYS_AT_ONCE);
        let owners: Vec<Owner> = fights.collect().await;
        let claims = join_all(self.replicas.iter().map(Replica::store_claims)).await;
        let unacknowledged = owners.iter().filter(|owner| !owner.acknowledged).count();
        eprintln!(
            "{keys} keys x {CLAIMANTS} claimants at {REPLICAS} replicas in {:.1?}: one owner each, {unacknowledged} of \
             them not answered so by their claim; {} answers were put off; claims sent to the store by replica: {claims:?}",
            started.elapsed(),
            self.put_off.load(Ordering::Relaxed),
        );
        owners
    }

    /// All claimants at once, each at some replica and none first by habit.
    async fn fight(&self, index: usize) -> Owner {
        let key = key(index);
        let mut dice = Dice::new(self.seed ^ index as u64);
        let mut order: Vec<usize> = (0..CLAIMANTS).collect();
        (1..CLAIMANTS).rev().for_each(|last| order.swap(last, dice.below(last + 1)));
        let claims = order.into_iter().map(|claimant| {
            let (replica, key) = (&self.replicas[dice.below(REPLICAS)], &key);
            async move {
                let (answer, put_off) = replica.decision(key, &address(claimant)).await;
                self.put_off.fetch_add(put_off, Ordering::Relaxed);
                (claimant, answer)
            }
        });
        let answers: Vec<(usize, Answer)> = join_all(claims).await;
        let reasons: Vec<_> = answers.iter().map(|(claimant, answer)| (*claimant, answer.reason())).collect();
        let owners: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_allow()).collect();
        let [(owner, answer)] = owners[..] else { panic!("{key} has {} owners: {reasons:?}", owners.len()) };
        assert!(
            reasons.iter().all(|(claimant, reason)| claimant == owner || *reason == "ip_mismatch"),
            "{key}: {reasons:?}"
        );
        self.decided.fetch_add(1, Ordering::Relaxed);
        let id = answer.key_id().unwrap().to_owned();
        Owner { claimant: *owner, id, acknowledged: answer.reason() == "first_use" }
    }

    async fn has_decided(&self, count: usize) {
        eventually("the race is on", async || (self.decided.load(Ordering::Relaxed) >= count).then_some(())).await;
    }

    /// A claimant that was put off, as a busy machine may do, may be the owner by then, although its claim did not
    /// report it.
    fn assert_reported(&self, owners: &[Owner]) {
        let put_off = self.put_off.load(Ordering::Relaxed);
        assert!(owners.iter().filter(|owner| !owner.acknowledged).count() <= put_off, "{put_off} answers were put off");
    }

    /// The store holds what the owners were answered, and every replica agrees.
    async fn assert_one_owner_each(self, owners: &[Owner], rows: Vec<Vec<String>>) {
        let stored: Vec<(&str, &str)> = rows.iter().map(|row| (&*row[0], &*row[1])).collect();
        let networks: HashMap<&str, &str> = stored.iter().copied().collect();
        assert_eq!((stored.len(), networks.len()), (owners.len(), owners.len()), "one network of one row for each key");
        for Owner { claimant, id, .. } in owners {
            assert_eq!(networks.get(&**id), Some(&&*network(*claimant)), "{id}");
        }
        let again = stream::iter(owners.iter().enumerate()).map(async |(index, owner)| {
            for replica in &self.replicas {
                assert_eq!(replica.reason(&key(index), &address(owner.claimant)).await, "bound");
                assert_eq!(replica.reason(&key(index), "198.51.100.66").await, "ip_mismatch");
            }
        });
        again.buffer_unordered(CLAIMANTS).collect::<()>().await;
        stop(self.replicas).await;
    }
}

const STORED: &str = "SELECT key_id, network::text FROM bindings LEFT JOIN binding_networks USING (key_id)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_48_claimants_at_3_replicas_exactly_one_owns_each_key() {
    let (postgres, redis) = (Postgres::shared().await, Redis::start().await);
    let url = postgres.database().await;
    let race = Race::on(&url, &redis, &[PEPPER]).await;
    let owners = race.run(number("SENTINEL_REPLICA_KEYS", 300)).await;
    race.assert_reported(&owners);
    race.assert_one_owner_each(&owners, postgres.query(&url, STORED).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stops_and_dies_in_the_middle_leaves_one_owner_of_each_key() {
    let (mut postgres, redis) = (Postgres::start().await, Redis::start().await);
    let url = postgres.database().await;
    let race = Race::on(&url, &redis, &[PEPPER]).await;
    let keys = number("SENTINEL_REPLICA_KEYS", 150);
    let (owners, ()) = tokio::join!(race.run(keys), async {
        race.has_decided(keys / 4).await;
        postgres.stop().await;
        postgres.start_again().await;
        race.has_decided(keys / 2).await;
        postgres.kill();
        postgres.start_again().await;
        assert!(race.decided.load(Ordering::Relaxed) < keys, "it died in the middle");
    });
    assert!(race.put_off.load(Ordering::Relaxed) > 0, "claims met a store that was away");
    assert!(postgres.log().contains("was not properly shut down"));
    race.assert_one_owner_each(&owners, postgres.query(&url, STORED).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pepper_activated_on_one_replica_in_the_middle_leaves_one_owner_of_each_key() {
    let (postgres, redis) = (Postgres::shared().await, Redis::start().await);
    let url = postgres.database().await;
    let race = Race::on(&url, &redis, &[PEPPER, NEW]).await;
    let keys = number("SENTINEL_REPLICA_KEYS", 150);
    let new = Pepper::new(NEW.as_bytes()).unwrap().id().to_string();
    let (owners, ()) = tokio::join!(race.run(keys), async {
        race.has_decided(keys / 3).await;
        assert!(race.replicas[1].admin.activate(&new).await.unwrap().in_effect);
        assert!(race.decided.load(Ordering::Relaxed) < keys, "it came in the middle");
    });
    race.assert_reported(&owners);
    race.assert_one_owner_each(&owners, postgres.query(&url, STORED).await).await;
}

/// Until its next poll it does not know that its pepper is no longer active; a key that it takes for new may have an
/// owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_does_not_list_the_new_pepper_claims_nothing_any_more_and_ends() {
    let (postgres, mut redis) = (Postgres::shared().await, Redis::start().await);
    let url = postgres.database().await;
    let both = Replica::start(replica(&url, None).set("pepper.secrets", &format!("{:?}", [PEPPER, NEW]))).await;
    // It hears by its polls alone, at most a second after the activation.
    let left_out = replica(&url, Some(&redis.url())).start().await;
    redis.kill();
    let channel = left_out.connect().await;
    let ask = async |key: &str| left_out.check().key(key).from("198.51.100.66").over(&channel).try_send().await;
    assert!(ask("sk-before-0123456789").await.unwrap().is_allow());
    let new = Pepper::new(NEW.as_bytes()).unwrap().id().to_string();
    assert!(both.admin.activate(&new).await.unwrap().in_effect);
    let mut refused = 0;
    for index in 0.. {
        assert_eq!(both.reason(&key(index), &address(0)).await, "first_use");
        // The connection goes with the process.
        let Some(answer) = ask(&key(index)).await else { break };
        assert_eq!(answer.reason(), "store_unavailable", "{} has an owner under the new pepper", key(index));
        refused += 1;
    }
    eprintln!("{refused} claims under yesterday's pepper were refused");
    let (status, log, _) = left_out.ended().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.lines().last().unwrap().contains(&format!("the store's active pepper is {new}")), "{log}");
    both.sentinel.stop().await;
}
