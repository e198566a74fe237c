//! The real thing: engine, cache and store of one process, with a clock of the test's own.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use key_ip_sentinel::{
    cache::Cached,
    domain::{
        ApiKey, BindingRules, Fingerprint, KeyRing, Missing, Mode, Network, Pepper, Shape, State, Timestamp,
        event::{DecisionId, EventKind},
    },
    engine::{Decision, Engine, Request},
    settings::{ClaimLimits, Settings},
    store::{
        Action, AuditQuery, Change, ChangeError, Changes, RecordId, Rekey, ReplicaState, Rotation, Store, Target, rekey,
    },
    telemetry::metrics::Metrics,
};
use tokio::time::Instant;

use crate::{
    KEYS, NETWORKS, Step,
    common::{
        PATIENCE,
        database::{Database, heard},
    },
};

/// The store's clock at the beginning, in milliseconds.
const START: i64 = 1_767_225_600_000;
const ACTOR: &str = "uid:0";
const FOR_EVER: Duration = Duration::from_secs(1_000_000);

pub(crate) struct Machine {
    _dir: tempfile::TempDir,
    database: Database,
    process: Option<Process>,
    /// Seconds from the start.
    now: i64,
    shape: Shape,
    /// Which of the two peppers is active.
    pepper: usize,
    undo: Vec<RecordId>,
}

struct Process {
    store: Arc<dyn Store>,
    cached: Arc<Cached>,
    replica_state: Arc<ReplicaState>,
    ring: Arc<KeyRing>,
    engine: Arc<Engine>,
    started: Instant,
}

fn peppers() -> [Pepper; 2] {
    [7, 8].map(|byte| Pepper::new(&[byte; 32]).unwrap())
}

fn api_key(key: usize) -> ApiKey {
    ApiKey::new(format!("sk-model-key-number-{key}"))
}

fn address(network: usize) -> String {
    // Both families.
    if network.is_multiple_of(2) { format!("203.0.113.{network}") } else { format!("2001:db8:0:{network}::1") }
}

fn network(number: usize) -> Network {
    Network::owning(address(number).parse().unwrap())
}

fn number(of: Network) -> usize {
    (0..NETWORKS).find(|number| network(*number) == of).unwrap()
}

impl Machine {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Self {
            database: Database::new(dir.path().join("sentinel.db")).await,
            _dir: dir,
            process: None,
            now: 0,
            shape: Shape::default(),
            pepper: 0,
            undo: Vec::new(),
        };
        machine.process = Some(machine.start().await);
        machine
    }

    async fn start(&self) -> Process {
        let listed = key_ip_sentinel::domain::Peppers::new(peppers().to_vec()).unwrap();
        let store = self.database.open(&listed).await;
        let metrics = Metrics::new().unwrap();
        let cached = Cached::new(store.clone(), 1000 * Cached::TYPICAL_KEY, metrics.store.clone(), |_| {})
            .with_patience(PATIENCE);
        let cached = Arc::new(cached);
        let started = Instant::now();
        let replica_state = Arc::new(ReplicaState::new(started));
        let ring = Arc::new(KeyRing::new(listed, "default", true));
        let (keys, clock) = (Arc::clone(&cached), Arc::clone(&replica_state));
        let engine = Engine::new(Arc::clone(&ring), rekey::Queue::new().0, keys, clock);
        Process { store, cached, replica_state, ring, engine: Arc::new(engine), started }
    }

    fn settings(&self) -> Settings {
        Settings {
            stale_grace: FOR_EVER,
            binding: BindingRules { shape: self.shape.clone(), ..BindingRules::default() },
            claims: ClaimLimits::default(),
            ..Settings::default()
        }
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(START + self.now * 1000)
    }

    /// What the Follower does, by the test's clock.
    async fn poll(&self) {
        let Process { store, cached, replica_state, ring, started, .. } = self.process();
        let heard = heard(&**store, replica_state.applied()).await;
        assert!(ring.activate(&heard.active_pepper));
        cached.absorb(&heard);
        replica_state.polled(&Changes { now: self.time(), ..heard }, *started);
    }

    async fn ask(&self, key: usize, from: usize, mode: Mode) -> String {
        let Process { engine, started, .. } = self.process();
        let request = Request {
            ip: Some(address(from).parse().unwrap()),
            key: Ok(Some(api_key(key))),
            missing: Missing::Deny,
            mode,
            decision_id: DecisionId(1),
        };
        let patience = Instant::now() + Duration::from_secs(60);
        let (reason, passes) = match engine.decide(&self.settings(), &request, *started, patience).await {
            Decision::Allow(permit) => (permit.reason(), permit.would_deny() || permit.reason().allows()),
            Decision::Deny(denial) => (denial.reason, !denial.reason.allows()),
        };
        assert!(passes, "{reason} was answered as what it is not");
        reason.to_string()
    }

    pub(crate) async fn race(&mut self, key: usize, from: &[usize]) -> Vec<String> {
        self.now += 2;
        self.poll().await;
        join_all(from.iter().map(|from| self.ask(key, *from, Mode::Enforce))).await
    }

    pub(crate) async fn take(&mut self, step: &Step) -> Vec<String> {
        match step {
            Step::Ask { key, from, mode } => {
                self.now += 2;
                self.poll().await;
                vec![self.ask(*key, *from, *mode).await]
            }
            Step::Race { .. } => unreachable!("has its own method"),
            Step::Reserve(key) => self.change(*key, Action::Reserve).await,
            Step::HandOver(key, to) => self.change(*key, Action::HandOver(network(*to))).await,
            Step::Set(key, networks) => self.change(*key, Action::Set(all(networks))).await,
            Step::PreClaim(key, networks) => self.change(*key, Action::Claim(all(networks))).await,
            Step::Open(key) => self.change(*key, Action::Open).await,
            Step::Promote(key) => self.change(*key, Action::Promote).await,
            Step::Ban(key, lasting) => {
                let lasting = (*lasting > 0).then(|| Duration::from_secs(lasting.unsigned_abs()));
                self.change(*key, Action::Ban { lasting, reason: None }).await
            }
            Step::Unban(key) => self.change(*key, Action::Unban).await,
            Step::Undo(back) => match self.undo.len().checked_sub(back + 1) {
                Some(nth) => self.apply(Change::Undo(self.undo[nth])).await,
                None => vec!["nothing".to_owned()],
            },
            Step::Provisional(key, lasting) => {
                self.restart_around(async |machine| machine.make_provisional(*key, *lasting).await).await
            }
            Step::Wait(seconds) => {
                self.now += seconds;
                Vec::new()
            }
            Step::Archive(after) => self.archive(*after).await,
            Step::Reconfigure(networks, window) => {
                let learn_window = Duration::from_secs(window.unsigned_abs());
                self.shape = Shape { max_networks: *networks, learn_window, ..Shape::default() };
                Vec::new()
            }
            Step::Rotate => self.rotate().await,
            Step::Rekey(key) => self.rekey(*key).await,
            Step::Restart => self.restart_around(async |_| {}).await,
        }
    }

    fn fingerprint(&self, key: usize) -> Fingerprint {
        self.process().ring.fingerprint(&api_key(key))
    }

    async fn change(&mut self, key: usize, action: Action) -> Vec<String> {
        self.poll().await;
        self.apply(Change::Key { target: Target::Key(self.fingerprint(key)), action }).await
    }

    async fn apply(&mut self, change: Change) -> Vec<String> {
        self.poll().await;
        match self.process().store.apply(change, ACTOR, self.time()).await {
            Ok(_) => {
                self.note_records().await;
                self.poll().await;
                vec!["done".to_owned()]
            }
            Err(ChangeError::Refused(_)) => vec!["refused".to_owned()],
            Err(error) => panic!("{error}"),
        }
    }

    /// The numbers of the records that can be undone, in their order.
    async fn note_records(&mut self) {
        let query = AuditQuery { limit: 100_000, ..AuditQuery::ALL };
        let mut stored = self.process().store.audit(query).await.unwrap();
        stored.sort_by_key(|stored| stored.id);
        self.undo = stored.into_iter().filter(|stored| stored.record.delta.is_some()).map(|stored| stored.id).collect();
    }

    async fn archive(&mut self, after: i64) -> Vec<String> {
        self.poll().await;
        let Process { store, cached, .. } = self.process();
        store.note_uses(cached.take_uses(usize::MAX).uses).await.unwrap();
        let unused_since = self.time().before(Duration::from_secs(after.unsigned_abs()));
        let records = store.archive(unused_since, 100, self.time()).await.unwrap();
        let archived: BTreeSet<_> = records.iter().map(|record| record.key_id.unwrap()).collect();
        assert!(records.iter().all(|record| record.kind == EventKind::Archived));
        self.note_records().await;
        self.poll().await;
        let mut names = Vec::new();
        for key in 0..KEYS {
            let id = self.process().store.find(Target::Key(self.fingerprint(key))).await.map(|row| row.key_id);
            if id.is_ok_and(|id| archived.contains(&id)) {
                names.push(format!("archived {key}"));
            }
        }
        names
    }

    async fn rotate(&mut self) -> Vec<String> {
        self.poll().await;
        self.pepper = 1 - self.pepper;
        let pepper = &peppers()[self.pepper];
        let step = Rotation::Activate { id: pepper.id(), check_value: *pepper.check_value() };
        self.process().store.rotate(step, ACTOR, self.time()).await.unwrap();
        // Not polled: the next request finds out.
        Vec::new()
    }

    async fn rekey(&mut self, key: usize) -> Vec<String> {
        self.poll().await;
        let to = self.fingerprint(key);
        let moves = to.others.iter().map(|from| Rekey { from: *from, to: to.clone() }).collect();
        self.process().store.rekey(moves, self.time()).await.unwrap();
        self.poll().await;
        Vec::new()
    }

    async fn make_provisional(&self, key: usize, lasting: i64) {
        let until = self.database.moment(&(START + (self.now + lasting) * 1000).to_string());
        let listed = key_ip_sentinel::domain::Peppers::new(peppers().to_vec()).unwrap();
        let fingerprint = KeyRing::new(listed, "default", true).fingerprint(&api_key(key));
        for digest in fingerprint.digests().iter() {
            let sql = format!(
                "UPDATE bindings SET state = 'provisional', expires_at = {until}
                 WHERE digest = {} AND state <> 'pinned'",
                self.database.bytes(digest.as_bytes())
            );
            self.database.query(&sql).await;
        }
    }

    /// A clean stop, what happens meanwhile, and a start.
    async fn restart_around(&mut self, meanwhile: impl AsyncFnOnce(&Self)) -> Vec<String> {
        let process = self.process.take().unwrap();
        process.store.note_uses(process.cached.take_uses(usize::MAX).uses).await.unwrap();
        // What loads and claims left behind holds the store for a moment longer.
        let Process { store, cached, engine, .. } = process;
        drop((engine, cached));
        assert_eq!(Arc::strong_count(&store), 1);
        tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
        meanwhile(self).await;
        self.process = Some(self.start().await);
        Vec::new()
    }

    pub(crate) async fn stored(&self, key: usize) -> (Option<(bool, BTreeSet<usize>, bool)>, bool) {
        let facts = self.process().store.lookup(&self.fingerprint(key).digests()).await.unwrap().facts;
        let owner = facts.binding.map(|binding| {
            let networks = binding.networks.iter().map(|network| number(*network)).collect();
            (binding.state == State::Pinned, networks, !binding.is_sealed())
        });
        (owner, facts.ban.is_some())
    }
}

fn all(networks: &[usize]) -> Vec<Network> {
    networks.iter().map(|number| network(*number)).collect()
}
