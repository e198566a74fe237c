//! The whole life of three keys against a small model of the rules: claims, races, changes, time, expiry, rotation and
//! restarts, in any order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../common/mod.rs"]
mod common;
mod machine;
mod rules;

use common::database::on_postgres;
use key_ip_sentinel::domain::Mode;
use machine::Machine;
use proptest::{collection::vec, prelude::*};
use rules::Rules;

/// Keys and networks that there are.
const KEYS: usize = 3;
const NETWORKS: usize = 6;

/// One thing that happens. Keys and networks by number.
#[derive(Clone, Debug)]
enum Step {
    Ask {
        key: usize,
        from: usize,
        mode: Mode,
    },
    /// All at once, in enforce.
    Race {
        key: usize,
        from: Vec<usize>,
    },
    Reserve(usize),
    HandOver(usize, usize),
    Set(usize, Vec<usize>),
    PreClaim(usize, Vec<usize>),
    Open(usize),
    Promote(usize),
    /// In seconds; zero means indefinitely.
    Ban(usize, i64),
    Unban(usize),
    /// The change before N others.
    Undo(usize),
    /// The binding becomes provisional, for N seconds.
    Provisional(usize, i64),
    /// In seconds.
    Wait(i64),
    /// Bindings that were neither used nor denied for N seconds.
    Archive(i64),
    /// The maximum networks of a key, and for how many seconds others may join.
    Reconfigure(u16, i64),
    /// The other pepper becomes the active one.
    Rotate,
    /// The key's row moves to the active pepper.
    Rekey(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (key, from) = (0..KEYS, 0..NETWORKS);
    let some = vec(0..NETWORKS, 0..3);
    let mode = prop_oneof![6 => Just(Mode::Enforce), 2 => Just(Mode::Observe), 1 => Just(Mode::Off)];
    prop_oneof![
        12 => (key.clone(), from.clone(), mode).prop_map(|(key, from, mode)| Step::Ask { key, from, mode }),
        3 => (key.clone(), vec(0..NETWORKS, 2..8)).prop_map(|(key, from)| Step::Race { key, from }),
        1 => key.clone().prop_map(Step::Reserve),
        1 => (key.clone(), from).prop_map(|(key, to)| Step::HandOver(key, to)),
        1 => (key.clone(), some.clone()).prop_map(|(key, networks)| Step::Set(key, networks)),
        1 => (key.clone(), some).prop_map(|(key, networks)| Step::PreClaim(key, networks)),
        2 => key.clone().prop_map(Step::Open),
        1 => key.clone().prop_map(Step::Promote),
        2 => (key.clone(), prop_oneof![Just(0), 1..100i64]).prop_map(|(key, lasting)| Step::Ban(key, lasting)),
        2 => key.clone().prop_map(Step::Unban),
        2 => (0..4usize).prop_map(Step::Undo),
        1 => (key.clone(), 1..60i64).prop_map(|(key, lasting)| Step::Provisional(key, lasting)),
        4 => (1..80i64).prop_map(Step::Wait),
        1 => (1..200i64).prop_map(Step::Archive),
        2 => (1..4u16, prop_oneof![Just(0), 1..90i64]).prop_map(|(networks, window)| Step::Reconfigure(networks, window)),
        1 => Just(Step::Rotate),
        1 => key.prop_map(Step::Rekey),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    // Each case opens a database of its own; 300 of them take some ten seconds on SQLite.
    #![proptest_config(ProptestConfig { cases: if on_postgres() { 40 } else { 300 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_process_and_the_rules_agree(steps in vec(step(), 1..70)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut machine, mut rules) = (Machine::new().await, Rules::default());
            for (nth, step) in steps.iter().enumerate() {
                let (said, wanted) = match step {
                    Step::Race { key, from } => {
                        let said = machine.race(*key, from).await;
                        let wanted = rules.race(*key, from, &said);
                        (said, wanted)
                    }
                    step => {
                        let said = machine.take(step).await;
                        let wanted = rules.take(step, &said);
                        (said, wanted)
                    }
                };
                prop_assert_eq!(&said, &wanted, "step {}: {:?}\nthe rules know {:#?}", nth, step, rules);
                for key in 0..KEYS {
                    let (stored, known) = (machine.stored(key).await, rules.stored(key));
                    prop_assert_eq!(stored, known, "key {} after step {}: {:?}", key, nth, step);
                }
            }
            Ok(())
        })?;
    }
}
