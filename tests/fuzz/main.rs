//! Millions of changed Checks through the whole service, each compared with [`oracle`].
//!
//! `SENTINEL_FUZZ_CASES` says how many (`make fuzz`: ten million, in release), `SENTINEL_FUZZ_SEED` which. Cases come
//! in batches, each with a seed, a scene and a store of its own, so that a failure names all that it takes to see it
//! again.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on panics, and says how it went")]

mod allocations;
#[path = "../common/mod.rs"]
mod common;
mod corpus;
mod frame;
#[path = "../profiles/oracle.rs"]
mod keys;
mod memory;
mod minimal;
mod mutate;
mod oracle;
mod scene;
mod strict;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use bytes::Bytes;
use common::{Answer, Dice};
use frame::Input;
use key_ip_sentinel::config::Config;
use oracle::{Owners, Verdict};
use scene::{SCENES, Scene, Stage};
use strict::repeats_a_name;

/// Cases of one batch: enough for keys to be used by owners and by others.
const BATCH: usize = 2_000;

/// With fewer cases, some scenes are not covered sufficiently.
const CASES: usize = 200_000;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// The service's answer and the oracle's, where they differ.
async fn disagreement(
    scene: &Scene,
    stage: &mut Stage,
    owners: &mut Owners,
    input: &Input,
) -> (Verdict, Result<(), String>) {
    let expected = owners.judge(&scene.rules, input);
    let result = match stage.ask(input).await {
        Ok((answer, _)) if answer.reason() == "malformed_request" && repeats_a_name(&input.frame) => Ok(()),
        Ok((answer, bytes)) => differs(scene, stage, &expected, &answer, &bytes),
        Err(broken) => Err(broken),
    };
    (expected, result)
}

fn differs(scene: &Scene, stage: &Stage, wanted: &Verdict, answer: &Answer, bytes: &Bytes) -> Result<(), String> {
    let said = (answer.reason(), answer.is_allow(), answer.flag("would_deny"));
    if said != (wanted.reason, wanted.allow, wanted.would_deny) {
        return Err(format!("the service says {said:?}"));
    }
    let id = wanted.key.as_ref().map(|key| stage.id(key).to_string());
    if answer.key_id() != id.as_deref() {
        return Err(format!("the service took another key: {:?} instead of {id:?}", answer.key_id()));
    }
    if scene.keys.iter().any(|key| bytes.windows(key.len()).any(|part| part.eq_ignore_ascii_case(key.as_bytes()))) {
        return Err("the response contains a key".to_owned());
    }
    if let Some(ok) = answer.allowed() {
        let removes = |name: &String| ok.headers_to_remove.iter().any(|removed| removed.eq_ignore_ascii_case(name));
        if let Some(name) = wanted.kept.iter().find(|name| removes(name)) {
            return Err(format!("{name} is removed although credentials.passthrough names it"));
        }
        return match wanted.removed.iter().find(|name| !removes(name)) {
            Some(name) => Err(format!("{name} reaches the upstream unchecked")),
            None => Ok(()),
        };
    }
    let body = answer.told();
    let dialect = match wanted.profile.as_str() {
        "generic" | "acme" | "php" | "sanctum" | "desk" | "supa" => "generic",
        "anthropic" => "anthropic",
        "gemini" => "google",
        _ => "openai",
    };
    let ip = wanted.ip.map(|ip| ip.to_string());
    if (body.dialect, &body.client_ip) != (dialect, &ip) {
        return Err(format!(
            "the body is {} with address {:?} instead of {dialect} with {ip:?}",
            body.dialect, body.client_ip
        ));
    }
    Ok(())
}

/// One batch; what it met, by reason. The error names everything that repeats it.
fn batch(seed: u64, nth: usize, scene: &Scene, config: &Config, corpus: &[Vec<u8>]) -> Result<Tally, String> {
    let runtime = runtime();
    let _inside = runtime.enter();
    let (mut stage, mut owners, mut tally) = (Stage::new(config), Owners::default(), Tally::new());
    let mut dice = Dice::new(seed ^ (nth as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for case in 0..BATCH {
        let input = mutate::case(&mut dice, scene, corpus);
        let run = AssertUnwindSafe(|| runtime.block_on(disagreement(scene, &mut stage, &mut owners, &input)));
        let broken = match catch_unwind(run) {
            Ok((verdict, Ok(()))) => {
                *tally.entry(verdict.reason).or_default() += 1;
                continue;
            }
            Ok((verdict, Err(broken))) => format!("{broken}, the rules say {verdict:?}"),
            Err(_) => "a panic".to_owned(),
        };
        let fails = |input: &Input| {
            let run = AssertUnwindSafe(|| {
                let (mut stage, mut owners) = (Stage::new(config), Owners::default());
                runtime.block_on(disagreement(scene, &mut stage, &mut owners, input)).1.is_err()
            });
            catch_unwind(run).unwrap_or(true)
        };
        let (minimal, note) = match fails(&input) {
            true => (minimal::minimal(&input, fails), "minimal"),
            false => (input, "whole (it takes the owners that earlier cases of the batch made)"),
        };
        let hex: String = minimal.frame.iter().map(|byte| format!("{byte:02x}")).collect();
        return Err(format!(
            "{broken}\nscene {:?}\nSENTINEL_FUZZ_SEED={seed}, batch {nth}, case {case}\nmetadata {:?}\n{note} frame: \
             {hex}\n{}",
            scene.rules,
            minimal.metadata,
            minimal.frame.escape_ascii()
        ));
    }
    stage.sweep();
    Ok(tally)
}

type Tally = BTreeMap<&'static str, usize>;

#[test]
fn the_service_decides_as_the_rules_say() {
    let (cases, seed) = (number("SENTINEL_FUZZ_CASES", CASES), number("SENTINEL_FUZZ_SEED", 0x5e17_1e1d) as u64);
    let batches = cases.div_ceil(BATCH);
    let staged: Vec<_> =
        SCENES.iter().map(|scene| (scene, scene.config(), corpus::frames(scene.rules.profile))).collect();
    let (next, failed, tally) = (AtomicUsize::new(0), Mutex::new(None), Mutex::new(Tally::new()));
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= batches || failed.lock().unwrap().is_some() {
                        return;
                    }
                    let (scene, config, corpus) = &staged[nth % staged.len()];
                    match batch(seed, nth, scene, config, corpus) {
                        Ok(met) => {
                            let mut tally = tally.lock().unwrap();
                            met.into_iter().for_each(|(reason, count)| *tally.entry(reason).or_default() += count);
                        }
                        Err(broken) => drop(failed.lock().unwrap().get_or_insert(broken)),
                    }
                }
            });
        }
    });
    if let Some(broken) = failed.into_inner().unwrap() {
        panic!("{broken}");
    }
    let (tally, took) = (tally.into_inner().unwrap(), started.elapsed());
    let cases: usize = tally.values().sum();
    eprintln!("{cases} cases in {took:.1?}, {:.0} a second: {tally:?}", cases as f64 / took.as_secs_f64());
    // A fuzzer that only ever meets broken frames proves nothing.
    for reason in [
        "caller_rejected",
        "malformed_request",
        "client_ip_unknown",
        "conflicting_keys",
        "malformed_key",
        "no_key",
        "unclaimable_network",
        "first_use",
        "bound",
        "ip_mismatch",
        "mode_off",
    ] {
        let met = tally.get(reason).copied().unwrap_or_default();
        assert!(met * 2_000 >= cases || cases < CASES, "{reason} was met {met} times only: {tally:?}");
    }
}
