//! Keeps the promises of the module map in `src/lib.rs`: who imports whom, who makes answers, which metrics exist.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{fs, path::Path};

/// Who may import whom, beside itself. `store` is the trait and its values; what is below it is named on its own.
const IMPORTS: &[(&str, &str)] = &[
    ("main", "cli"),
    ("cli", "app config admin doctor files listen pepper domain"),
    ("doctor", "caller client_ip credential domain"),
    ("app", "*"),
    ("config", "caller client_ip credential engine ext_authz files limit listen redis_link store::postgres domain"),
    ("ext_authz", "caller client_ip credential engine audit domain metrics"),
    ("admin", "caller client_ip credential engine store store::view changes audit health domain metrics"),
    ("engine", "limit store store::view store::cached store::rekey domain"),
    ("changes", "store store::view store::cached store::postgres redis_link domain metrics"),
    ("store::cached", "redis_link"),
    ("audit store::cached store::rekey", "store store::view domain metrics"),
    ("redis_link", "metrics"),
    ("health", "store::view"),
    ("jobs", "audit store store::view domain metrics"),
    ("last_seen", "store store::cached"),
    ("store::observed", "store domain metrics"),
    ("store::view store::sqlite", "store domain"),
    ("store::postgres", "store files domain"),
    ("pepper", "files"),
    ("store client_ip credential limit listen pepper logging metrics", "domain"),
];

/// Whether `from` may import `to`.
fn allowed(from: &str, to: &str) -> bool {
    let holds = |list: &str, name: &str| list.split(' ').any(|it| it == name || it == "*");
    from == to || IMPORTS.iter().any(|(importers, imported)| holds(importers, from) && holds(imported, to))
}

/// Every file of `folder`: its module path, and its code without comment lines and inline unit tests.
fn sources(folder: &Path, module: &[String]) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let here = if name == "mod" || name == "lib" { module.to_vec() } else { [module, &[name]].concat() };
        if path.is_dir() {
            found.extend(sources(&path, &here));
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines();
            let code: Vec<_> = code.filter(|line| !line.trim_start().starts_with("//")).collect();
            found.push((here, code.join("\n")));
        }
    }
    found
}

/// The module of [`IMPORTS`] that a path from the crate's root belongs to.
fn module(path: &str) -> &str {
    let end = |parts: usize| path.match_indices("::").nth(parts).map_or(path.len(), |(at, _)| at);
    let listed = IMPORTS.iter().any(|(importers, _)| importers.split(' ').any(|name| name == &path[..end(1)]));
    if listed { &path[..end(1)] } else { &path[..end(0)] }
}

/// The paths of the use tree at the start of `text`, each after `prefix`, and what follows it.
fn tree<'a>(prefix: &str, text: &'a str) -> (Vec<String>, &'a str) {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    let Some(items) = text[end..].strip_prefix('{') else { return (vec![path], &text[end..]) };
    let (mut found, mut rest) = (Vec::new(), items.trim_start());
    while rest.starts_with(|c| c != '}') {
        let (paths, after) = tree(&path, rest);
        found.extend(paths);
        rest = after.trim_start_matches(|c| !matches!(c, ',' | '}')).trim_start_matches([' ', '\n', ',']);
    }
    (found, rest.strip_prefix('}').unwrap_or(rest))
}

/// What the file `from` names by `crate::` or `super::`, as paths from the crate's root.
fn imports(from: &[String], code: &str) -> Vec<String> {
    let roots = ["crate::", "key_ip_sentinel::", "super::"].into_iter().flat_map(|root| code.match_indices(root));
    let below = |(at, root): (usize, &str)| {
        let rest = code[at..].trim_start_matches(root);
        let supers = (code.len() - at - rest.len()) / root.len();
        let up = if root == "super::" { from.len().saturating_sub(supers) } else { 0 };
        tree(&from[..up].iter().map(|part| format!("{part}::")).collect::<String>(), rest).0
    };
    roots.filter(|(at, _)| !code[..*at].ends_with("super::")).flat_map(below).collect()
}

#[test]
fn modules_import_downwards_only() {
    for (path, code) in sources(Path::new("src"), &[]) {
        let here = path.join("::");
        for to in imports(&path, &code) {
            assert!(allowed(module(&here), module(&to)), "{here} may not import {to}");
        }
    }
}

#[test]
fn only_respond_rs_makes_an_answer() {
    for (path, code) in sources(Path::new("src"), &[]) {
        let code = code.replace("-> CheckResponse {", "");
        let makes = ["CheckResponse {", "CheckResponse::"].iter().any(|made| code.contains(made));
        assert!(!makes || path == ["ext_authz", "respond"], "{path:?} makes an answer");
    }
}

#[test]
fn the_readme_lists_every_metric() {
    let readme = fs::read_to_string("README.md").unwrap();
    for (_, code) in sources(Path::new("src"), &[]) {
        let names = code.split("\"sentinel_").skip(1).map(|rest| rest.split('"').next().unwrap());
        names.for_each(|name| assert!(readme.contains(&format!("sentinel_{name}")), "README.md lacks sentinel_{name}"));
    }
}
