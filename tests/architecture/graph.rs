//! Which file names an item of which other: paths are followed through imports and re-exports to where the item lives.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use crate::{
    names::Names,
    sources::{Source, sources},
};

/// All modules by their path: the file, and what is named there. A module within a file has the file of the one around it.
pub(crate) struct Graph(BTreeMap<Vec<String>, (&'static Source, &'static Names)>);

/// Where a path leads.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// To a module, and no further.
    Module(Vec<String>),
    /// To something in a module.
    Item(Vec<String>),
}

/// Imports that import each other lead nowhere.
const MAX_DEPTH: usize = 16;

impl Graph {
    /// Of all sources.
    pub(crate) fn get() -> &'static Self {
        static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
            let mut graph = Graph(BTreeMap::new());
            for source in sources() {
                graph.add(source.module.clone(), source, &source.names);
            }
            graph
        });
        &GRAPH
    }

    fn add(&mut self, module: Vec<String>, source: &'static Source, names: &'static Names) {
        for (name, names) in &names.inline {
            self.add([module.clone(), vec![name.clone()]].concat(), source, names);
        }
        self.0.insert(module, (source, names));
    }

    /// What the code of each file names in other files, and by which path.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (module, (from, _)) in &self.0 {
            for path in self.named(module) {
                let Some(Found::Item(to)) = self.find(module, &path, 0) else { continue };
                let to = self.0[&to].0;
                if to.file != from.file {
                    edges.push(Edge { from, to, path: path.join("::") });
                }
            }
        }
        edges
    }

    /// The paths of each file that lead to other crates.
    pub(crate) fn foreign(&self) -> Vec<(&'static Source, &'static [String])> {
        let mut foreign = Vec::new();
        for (module, (source, names)) in &self.0 {
            // A path of one segment outside a `use` is a local.
            let paths = names.paths.iter().filter(|path| path.len() > 1);
            let paths = names.uses.iter().map(|it| &it.path).chain(paths);
            let paths: BTreeSet<_> = paths.filter(|path| self.find(module, path, 0).is_none()).collect();
            foreign.extend(paths.into_iter().map(|path| (*source, path.as_slice())));
        }
        foreign
    }

    /// Every path of `module`, but for what it only passes on.
    fn named(&self, module: &[String]) -> BTreeSet<Vec<String>> {
        let names = self.0[module].1;
        let used = names.uses.iter().filter(|it| !it.is_export).map(|it| &it.path);
        used.chain(&names.paths).cloned().collect()
    }

    /// Where `path` leads from within `module`; `None` for another crate's, and for what is no item: a local, a generic.
    fn find(&self, module: &[String], path: &[String], depth: usize) -> Option<Found> {
        let rest = &path[1..];
        match path[0].as_str() {
            "crate" | "key_ip_sentinel" => self.walk(&[], rest, depth),
            "self" => self.walk(module, rest, depth),
            "super" => self.walk(&module[..module.len().saturating_sub(1)], rest, depth),
            _ => self.step(module, path, depth),
        }
    }

    /// As [`Graph::find`], from a module that the path has named: what is not declared there a macro has made.
    fn walk(&self, module: &[String], path: &[String], depth: usize) -> Option<Found> {
        match path.first().map(String::as_str) {
            None => Some(Found::Module(module.to_vec())),
            Some("super") => self.walk(&module[..module.len().saturating_sub(1)], &path[1..], depth),
            Some(_) => Some(self.step(module, path, depth).unwrap_or_else(|| Found::Item(module.to_vec()))),
        }
    }

    fn step(&self, module: &[String], path: &[String], depth: usize) -> Option<Found> {
        if depth > MAX_DEPTH {
            return None;
        }
        let (name, rest) = path.split_first()?;
        let child = [module, std::slice::from_ref(name)].concat();
        if self.0.contains_key(&child) {
            return self.walk(&child, rest, depth);
        }
        let names = self.0.get(module)?.1;
        if names.items.contains(name) {
            return Some(Found::Item(module.to_vec()));
        }
        let import = names.uses.iter().find(|it| it.alias == *name && it.path.as_slice() != std::slice::from_ref(name));
        if let Some(import) = import {
            return self.find(module, &[import.path.as_slice(), rest].concat(), depth + 1);
        }
        let globs = names.uses.iter().filter(|it| it.alias == "*");
        let through = |glob: &[String]| match self.find(module, glob, depth + 1)? {
            Found::Module(glob) if glob != module => self.step(&glob, path, depth + 1),
            _ => None,
        };
        globs.filter_map(|glob| through(&glob.path)).next()
    }
}

/// One file names an item of another.
pub(crate) struct Edge {
    pub(crate) from: &'static Source,
    pub(crate) to: &'static Source,
    pub(crate) path: String,
}

/// The nodes of each cycle, by the strongly connected components of `edges`.
pub(crate) fn cycles<'a>(edges: &BTreeSet<(&'a str, &'a str)>) -> Vec<Vec<&'a str>> {
    let nodes: BTreeSet<_> = edges.iter().flat_map(|(from, to)| [*from, *to]).collect();
    let reached: BTreeMap<_, _> = nodes.iter().map(|node| (*node, reach(edges, node))).collect();
    let mut cycles: Vec<Vec<&str>> = Vec::new();
    for node in nodes {
        let cycle = |other: &&&str| reached[node].contains(**other) && reached[**other].contains(node);
        let cycle: Vec<_> = reached[node].iter().filter(cycle).copied().collect();
        if !cycle.is_empty() && !cycles.contains(&cycle) {
            cycles.push(cycle);
        }
    }
    cycles
}

/// All that can be reached from `node` over at least one edge.
fn reach<'a>(edges: &BTreeSet<(&'a str, &'a str)>, node: &'a str) -> BTreeSet<&'a str> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![node]);
    while let Some(from) = open.pop() {
        let next = edges.iter().filter(|(it, _)| *it == from).map(|(_, to)| *to);
        open.extend(next.filter(|to| reached.insert(*to)).collect::<Vec<_>>());
    }
    reached
}
