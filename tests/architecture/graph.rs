//! Which file names an item of which other: paths are followed through imports and re-exports to where the item lives.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    names::{Names, names},
    sources::Source,
};

/// All modules.
pub(crate) struct Graph<'a> {
    sources: &'a [Source],
    /// By path: the file, and what is named there. A module within a file has the file of the one around it.
    modules: BTreeMap<Vec<String>, (usize, Names)>,
}

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

impl<'a> Graph<'a> {
    pub(crate) fn new(sources: &'a [Source]) -> Self {
        let mut graph = Self { sources, modules: BTreeMap::new() };
        for (file, source) in sources.iter().enumerate() {
            graph.add(source.module.clone(), file, names(&source.tokens));
        }
        graph
    }

    fn add(&mut self, module: Vec<String>, file: usize, mut names: Names) {
        for (name, tokens) in std::mem::take(&mut names.inline) {
            self.add([module.clone(), vec![name]].concat(), file, crate::names::names(&tokens));
        }
        self.modules.insert(module, (file, names));
    }

    /// Each file, with what its code names in other files, and by which path.
    pub(crate) fn edges(&self) -> Vec<Edge<'a>> {
        let mut edges = Vec::new();
        for (module, (file, _)) in &self.modules {
            for path in self.named(module) {
                let Some(Found::Item(to)) = self.find(module, &path, 0) else { continue };
                let to = self.modules[&to].0;
                if to != *file {
                    edges.push(Edge { from: &self.sources[*file], to: &self.sources[to], path: path.join("::") });
                }
            }
        }
        edges
    }

    /// The other crates that each file names, with the path.
    pub(crate) fn foreign(&self) -> Vec<(&'a Source, Vec<String>)> {
        let mut foreign = Vec::new();
        for (module, (file, names)) in &self.modules {
            let used = names.uses.iter().map(|it| &it.path);
            let paths: BTreeSet<_> =
                used.chain(&names.paths).filter(|path| self.find(module, path, 0).is_none()).collect();
            foreign.extend(paths.into_iter().map(|path| (&self.sources[*file], path.clone())));
        }
        foreign
    }

    /// Every path of `module`, but for what it only passes on.
    fn named(&self, module: &[String]) -> BTreeSet<Vec<String>> {
        let names = &self.modules[module].1;
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
        if self.modules.contains_key(&child) {
            return self.walk(&child, rest, depth);
        }
        let names = &self.modules.get(module)?.1;
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
pub(crate) struct Edge<'a> {
    pub(crate) from: &'a Source,
    pub(crate) to: &'a Source,
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
