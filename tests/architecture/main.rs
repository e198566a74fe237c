//! Holds `src/` against the module map in `src/lib.rs`: who imports whom, where foreign types may appear, how large files
//! and functions may be, and which metrics are documented.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod graph;
mod names;
mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use graph::{Edge, Graph, cycles};
use sources::{Source, sources};

/// Who may import whom, beside itself. What is below a module and listed on its own (`store::sqlite`) is a module of its
/// own: `store` alone is the contract and its values. A new module must be listed. `*` is all but `main` and `cli`.
const IMPORTS: &[(&str, &str)] = &[
    ("main", "cli"),
    // `admin::grpc` for the messages of its API, `files` for secrets in files.
    ("cli", "app config admin::grpc doctor net files domain"),
    ("app", "*"),
    // Each module's own options.
    ("config", "client_ip credential ext_authz net net::caller policy settings store::postgres files domain"),
    ("doctor", "client_ip credential policy net net::caller domain"),
    ("ext_authz", "credential client_ip engine events settings net::caller domain telemetry::metrics"),
    // An edge turns messages into commands, and outcomes, which hold rows of the store, into messages.
    ("admin::grpc", "admin::service credential store domain"),
    // `net::caller` for the diagnosis, `telemetry::health` for the status.
    ("admin::service", "engine credential client_ip policy settings net::caller telemetry::health"),
    ("admin::service", "store replication events domain"),
    // What a job has stored it publishes, as everyone does. The cache collects times of last use.
    ("maintenance", "cache events settings"),
    ("events maintenance", "store store::rekey domain telemetry::metrics"),
    ("engine", "decision cache settings store store::rekey domain"),
    ("decision settings", "policy domain"),
    // The Follower invalidates the cache; a transport is a connection to a backend.
    ("replication", "cache store::postgres"),
    ("cache replication", "store net domain telemetry::metrics"),
    ("store::measured", "store domain telemetry::metrics"),
    ("store::rekey store::sqlite", "store domain"),
    // `files` for certificates.
    ("store::postgres", "store files domain"),
    ("net", "net::caller"),
    ("telemetry", "telemetry::health telemetry::metrics"),
    ("store client_ip credential policy net net::caller telemetry telemetry::health telemetry::metrics", "domain"),
    ("admin domain files", ""),
];

/// The crates whose types stop somewhere, and the modules where they may appear.
const CONFINED: &[(&str, &str)] = &[
    // Beyond the two edges: the admin client, the servers that `app` starts, and gRPC health.
    (
        "tonic tonic_prost tonic_health prost prost_types envoy_types",
        "admin::grpc ext_authz cli::client app::servers telemetry::probes",
    ),
    ("rusqlite", "store::sqlite"),
    ("tokio_postgres tokio_postgres_rustls deadpool_postgres", "store::postgres"),
    ("redis", "net::redis_link cache::shared replication::redis"),
    // One cell holds all settings that change. That of the link holds a connection.
    ("arc_swap", "settings net::redis_link ext_authz::answers"),
];

const MAX_FILE: usize = 500;
const MAX_FUNCTION: usize = 50;

/// The modules of [`IMPORTS`].
fn listed() -> impl Iterator<Item = &'static str> {
    IMPORTS.iter().flat_map(|(importers, _)| importers.split(' '))
}

/// The module of [`IMPORTS`] that a file belongs to, or the name of one that is not there.
fn module(source: &Source) -> String {
    let path = source.module.join("::");
    let above = listed().filter(|name| lies_in(&path, name)).max_by_key(|name| name.len());
    above.map_or_else(|| source.module.first().cloned().unwrap_or_default(), str::to_owned)
}

fn lies_in(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn allowed(from: &str, to: &str) -> bool {
    from == to || pairs().any(|pair| pair == (from, to))
}

/// The table, with `*` spelled out.
fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    let one = |name: &'static str| match name {
        "*" => listed().filter(|name| !["main", "cli", "app"].contains(name)).collect(),
        _ => vec![name],
    };
    let of = move |(importers, imported): &(&'static str, &'static str)| {
        let imported: Vec<_> = imported.split(' ').flat_map(one).collect();
        importers.split(' ').flat_map(|from| imported.iter().map(move |to| (from, *to))).collect::<Vec<_>>()
    };
    IMPORTS.iter().flat_map(of)
}

/// One path for each pair of files is enough to find it.
fn by_pair<'a>(edges: impl Iterator<Item = &'a Edge>) -> Vec<String> {
    let pairs: BTreeMap<_, _> = edges.map(|edge| ((&edge.from.file, &edge.to.file), &edge.path)).collect();
    pairs.iter().map(|((from, to), path)| format!("{from} -> {to} ({path})")).collect()
}

/// Fails with every violation.
fn assert_none(violations: impl IntoIterator<Item = String>, what: &str) {
    let violations: BTreeSet<String> = violations.into_iter().collect();
    let list: Vec<_> = violations.into_iter().collect();
    assert!(list.is_empty(), "{} {what}:\n{}", list.len(), list.join("\n"));
}

#[test]
fn every_module_is_listed() {
    let modules = sources().iter().map(module).filter(|module| !module.is_empty());
    let unlisted = modules.filter(|module| !listed().any(|name| name == module));
    assert_none(unlisted, "modules are not in the table");
}

#[test]
fn modules_import_downwards_only() {
    let edges = Graph::get().edges();
    let upward = edges.iter().filter(|edge| !allowed(&module(edge.from), &module(edge.to)));
    assert_none(by_pair(upward), "imports are not in the table");
}

#[test]
fn the_table_has_no_cycle() {
    // A module and what is below it are one here.
    let top = |name: &'static str| name.split("::").next().unwrap();
    let edges = pairs().map(|(from, to)| (top(from), top(to))).filter(|(from, to)| from != to).collect();
    assert_none(cycles(&edges).iter().map(|cycle| cycle.join(" <-> ")), "cycles are in the table");
}

#[test]
fn files_do_not_name_each_other_in_a_circle() {
    let edges = Graph::get().edges();
    let pairs = edges.iter().map(|edge| (edge.from.file.as_str(), edge.to.file.as_str())).collect();
    let list = |cycle: &Vec<&str>| {
        let within = |file: &str| cycle.contains(&file);
        let inside = edges.iter().filter(|edge| within(&edge.from.file) && within(&edge.to.file));
        cycle.join(" <-> ") + "\n    " + &by_pair(inside).join("\n    ")
    };
    assert_none(cycles(&pairs).iter().map(list), "cycles between files");
}

#[test]
fn foreign_types_stop_at_their_module() {
    let foreign = Graph::get().foreign();
    let strays = foreign.iter().filter(|(source, path)| {
        let here = source.module.join("::");
        CONFINED.iter().any(|(crates, modules)| {
            let is_one = crates.split(' ').any(|name| name == path[0]);
            is_one && !modules.split(' ').any(|module| lies_in(&here, module))
        })
    });
    assert_none(strays.map(|(source, path)| format!("{}: {}", source.file, path.join("::"))), "foreign types");
}

#[test]
fn only_respond_rs_makes_an_answer() {
    for source in sources() {
        let code = source.text.replace("-> CheckResponse {", "");
        let makes = ["CheckResponse {", "CheckResponse ::"].iter().any(|made| code.contains(made));
        assert!(!makes || source.file == "ext_authz/respond.rs", "{} makes an answer", source.file);
    }
}

#[test]
fn the_manual_lists_every_metric() {
    let manual = fs::read_to_string("docs/monitoring.md").unwrap();
    let names = sources().iter().flat_map(|source| source.text.split("\"sentinel_").skip(1));
    let names = names.map(|rest| rest.split('"').next().unwrap());
    let missing = names.filter(|name| !manual.contains(&format!("sentinel_{name}")));
    assert_none(missing.map(|name| format!("sentinel_{name}")), "metrics are not in docs/monitoring.md");
}

#[test]
fn files_and_functions_are_small() {
    let sources = sources();
    let files = sources.iter().filter(|source| source.lines > MAX_FILE);
    let files = files.map(|source| format!("{}: {} lines", source.file, source.lines));
    let functions = sources.iter().flat_map(|source| {
        let long = source.functions.iter().filter(|(_, lines)| *lines > MAX_FUNCTION);
        long.map(|(name, lines)| format!("{}: fn {name}: {lines} lines", source.file))
    });
    assert_none(files.chain(functions), "files or functions are too long");
}
