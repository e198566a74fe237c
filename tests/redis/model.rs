//! Random interleavings of all that can happen to a key, its readers and Redis, against a model with one rule: a replica
//! that has polled past a change of a key never goes by what was so before it, wherever it has it from.

use key_ip_sentinel::store::{Action, Revision};
use proptest::{prelude::*, test_runner::TestRunner};

use super::{
    common::{cut::Cut, redis::Redis},
    replica::{BAN, OWNER, Place, Replica, Setup, place_of, put, value_of},
};

const KEYS: [&str; 3] = ["sk-one-0123456789", "sk-two-0123456789", "sk-three-0123456789"];
const REPLICAS: usize = 2;

/// What an attacker without a pepper can do to a value.
#[derive(Clone, Debug)]
enum Lie {
    None,
    AtKey(usize),
    Bit(prop::sample::Index),
    /// Makes it as new as can be.
    Now,
    NowAtKey(usize),
}

#[derive(Clone, Debug)]
enum Step {
    /// An operator bans a key, or lifts the ban.
    Change {
        key: usize,
        ban: bool,
    },
    /// A replica is asked for a key; what it reads from the store it writes to Redis.
    Read {
        replica: usize,
        key: usize,
    },
    /// Writes an old value again: a slow writer, or a Redis that lost data.
    Keep {
        key: usize,
    },
    /// One of the values kept is written.
    WriteBack {
        nth: prop::sample::Index,
        lie: Lie,
    },
    /// A replica hears what has changed. That it does not is a hint that was lost.
    Poll {
        replica: usize,
    },
    Restart {
        replica: usize,
    },
    Cut,
    Mend,
}

fn step() -> impl Strategy<Value = Step> {
    let (key, replica) = (0..KEYS.len(), 0..REPLICAS);
    let lie = prop_oneof![
        6 => Just(Lie::None),
        1 => key.clone().prop_map(Lie::AtKey),
        1 => any::<prop::sample::Index>().prop_map(Lie::Bit),
        1 => Just(Lie::Now),
        1 => key.clone().prop_map(Lie::NowAtKey),
    ];
    let write_back = (any::<prop::sample::Index>(), lie);
    prop_oneof![
        4 => (key.clone(), any::<bool>()).prop_map(|(key, ban)| Step::Change { key, ban }),
        12 => (replica.clone(), key.clone()).prop_map(|(replica, key)| Step::Read { replica, key }),
        3 => key.prop_map(|key| Step::Keep { key }),
        5 => write_back.prop_map(|(nth, lie)| Step::WriteBack { nth, lie }),
        4 => replica.clone().prop_map(|replica| Step::Poll { replica }),
        3 => replica.prop_map(|replica| Step::Restart { replica }),
        1 => Just(Step::Cut),
        1 => Just(Step::Mend),
    ]
}

/// What is so of one key: since which revision it is banned, or not.
type History = Vec<(Revision, bool)>;

struct World<'a> {
    place: Place,
    redis: &'a Redis,
    cable: Cut,
    whole: bool,
    setup: Setup,
    replicas: Vec<Replica>,
    /// The store's revision when each began, until its first poll: all that it knows it has read since.
    begun: [Option<Revision>; REPLICAS],
    histories: [History; KEYS.len()],
    /// Values that were in Redis, and where.
    kept: Vec<(usize, Vec<u8>)>,
    hits: u64,
    bad: u64,
}

impl<'a> World<'a> {
    async fn new(redis: &'a Redis) -> Self {
        redis.command::<()>(&["FLUSHALL"]).await;
        let (place, cable) = (Place::new(&[7]), Cut::before(redis.address()).await);
        let setup = Setup::of(&cable.through(&redis.url()));
        let first = Replica::ready(&place, &setup).await;
        for key in KEYS {
            first.ask(key, OWNER).await;
        }
        let replicas = vec![first, Replica::ready(&place, &setup).await];
        let histories = KEYS.map(|_| vec![(Revision(0), false)]);
        let begun = [None; REPLICAS];
        let (kept, hits, bad) = (Vec::new(), 0, 0);
        Self { place, redis, cable, whole: true, setup, replicas, begun, histories, kept, hits, bad }
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Change { key, ban } => {
                if self.histories[*key].last().is_some_and(|(_, banned)| banned == ban) {
                    return Ok(());
                }
                let revision = self.place.change(KEYS[*key], if *ban { BAN } else { Action::Unban }).await;
                self.histories[*key].push((revision, *ban));
            }
            Step::Read { replica, key } => self.read(*replica, *key).await?,
            Step::Keep { key } => {
                let value = value_of(self.redis, "sentinel", KEYS[*key]).await;
                self.kept.extend(value.map(|value| (*key, value)));
            }
            Step::WriteBack { nth, lie } if !self.kept.is_empty() => {
                let (key, mut value) = nth.get(&self.kept).clone();
                if let Lie::Bit(bit) = lie {
                    let bit = bit.index(value.len() * 8);
                    value[bit / 8] ^= 1 << (bit % 8);
                }
                if let Lie::Now | Lie::NowAtKey(_) = lie {
                    value[9..17].copy_from_slice(&self.replicas[0].applied().0.to_be_bytes());
                }
                let at = if let Lie::AtKey(other) | Lie::NowAtKey(other) = lie { *other } else { key };
                put(self.redis, &place_of("sentinel", KEYS[at]), &value).await;
            }
            Step::WriteBack { .. } => {}
            Step::Poll { replica } => {
                self.replicas[*replica].poll().await;
                self.begun[*replica] = None;
            }
            Step::Restart { replica } => {
                self.count(*replica);
                self.replicas[*replica] = Replica::new(&self.place, &self.setup);
                self.begun[*replica] = self.histories.iter().flatten().map(|(revision, _)| *revision).max();
                if self.whole {
                    self.replicas[*replica].connected(true).await;
                }
            }
            Step::Cut => {
                self.cable.refuse().await;
                self.whole = false;
            }
            Step::Mend => {
                self.cable.mend().await;
                self.whole = true;
            }
        }
        Ok(())
    }

    async fn read(&mut self, replica: usize, key: usize) -> Result<(), TestCaseError> {
        let (asked, history) = (&self.replicas[replica], &self.histories[key]);
        let entry = asked.read(KEYS[key]).await;
        prop_assert!(entry.facts().binding.is_some());
        let banned = entry.facts().ban.is_some();
        let known = self.begun[replica].unwrap_or(asked.applied());
        let known = history.iter().rev().find(|(revision, _)| *revision <= known).unwrap().0;
        let mut possible = history.iter().filter(|(revision, _)| *revision >= known);
        prop_assert!(possible.any(|(_, then)| *then == banned), "key {key} of replica {replica}: {entry:?}");
        prop_assert!(
            self.begun[replica].is_none() || asked.shared("hit") == 0,
            "nothing of Redis before the first poll"
        );
        // What was offered is written at once, so that a later step can keep it. Not if Redis is away.
        for _ in 0..40 {
            let value = value_of(self.redis, "sentinel", KEYS[key]).await.unwrap_or_default();
            if !self.whole || value.get(9..17) >= Some(&entry.as_of().0.to_be_bytes()) {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn count(&mut self, replica: usize) {
        let replica = &self.replicas[replica];
        self.hits += replica.shared("hit");
        self.bad += replica.shared("stale") + replica.shared("forged") + replica.shared("foreign");
    }
}

#[test]
fn no_replica_goes_by_what_was_so_before_a_change_that_it_knows() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let redis = runtime.block_on(Redis::start());
    let (mut hits, mut bad) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 80,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let run = runner.run(&prop::collection::vec(step(), 1..80), |steps| {
        runtime.block_on(async {
            let mut world = World::new(&redis).await;
            for step in &steps {
                world.take(step).await?;
            }
            (0..REPLICAS).for_each(|replica| world.count(replica));
            hits.set(hits.get() + world.hits);
            bad.set(bad.get() + world.bad);
            Ok(())
        })
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
    // Else nothing was tried.
    assert!(*hits.get_mut() > 30 && *bad.get_mut() > 30, "{hits:?} hits, {bad:?} that did not count");
}
