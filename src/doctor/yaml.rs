//! Parses YAML, and JSON as a subset of it, to a tree with line numbers.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// The tree is walked by recursion. Envoy files are about ten levels deep.
const MAX_DEPTH: usize = 100;

/// An alias counts with all nodes that it stands for, so that a small file cannot make a large tree.
const MAX_NODES: usize = 500_000;

/// Of all scalars and names together, aliases counted in the same way.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Fault {
    line: usize,
    why: String,
}

/// A value and the line on which it begins, counted from 1.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The field, by its proto or its JSON name. `null` counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Content::Map(fields) = &self.content else { return None };
        let found = fields.iter().find(|(key, _)| key == name || *key == camel(name));
        found.map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The field's text.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }

    /// Whether Envoy reads this as `true`. Its parser accepts more words than YAML 1.2.
    pub(super) fn is_true(&self) -> bool {
        self.text().is_some_and(|text| ["true", "yes", "on", "y"].contains(&text.to_ascii_lowercase().as_str()))
    }

    /// Whether the field is present and true.
    pub(super) fn has_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(Self::is_true)
    }

    /// The field's items; empty if it is absent or not a list.
    pub(super) fn items(&self, name: &str) -> &[Self] {
        match self.get(name).map(|node| &node.content) {
            Some(Content::List(items)) => items,
            _ => &[],
        }
    }

    /// The direct children.
    pub(super) fn children(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match &self.content {
            Content::Scalar { .. } => Box::new(std::iter::empty()),
            Content::List(items) => Box::new(items.iter()),
            Content::Map(fields) => Box::new(fields.iter().map(|(_, node)| node)),
        }
    }

    fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true } if ["", "~", "null"].contains(&text.as_str()))
    }

    /// The size of the whole subtree.
    fn size(&self) -> Size {
        let own = match &self.content {
            Content::Scalar { text, .. } => text.len(),
            Content::List(_) => 0,
            Content::Map(fields) => fields.iter().map(|(name, _)| name.len()).sum(),
        };
        let all = self.children().map(Self::size).fold(Size { bytes: own, ..Size::default() }, |all, child| Size {
            nodes: all.nodes + child.nodes,
            bytes: all.bytes + child.bytes,
            depth: all.depth.max(child.depth),
        });
        Size { nodes: all.nodes + 1, depth: all.depth + 1, ..all }
    }
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

/// The JSON name: `failureModeAllow` for `failure_mode_allow`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| {
        let (initial, rest) = word.split_at_checked(1).unwrap_or(("", word));
        all + &initial.to_ascii_uppercase() + rest
    })
}

/// Parses all documents of `text`.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, Fault> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error: ScanError| Fault { line: error.marker().line(), why: error.info().to_owned() })?;
        tree.add(event, span).map_err(|why| Fault { line: span.start.line(), why })?;
    }
    Ok(tree.documents)
}

/// A collection whose end has not been read.
struct OpenCollection {
    node: Node,
    anchor: usize,
    key: Option<String>,
    /// The JSON names so far, and their lines.
    names: HashMap<String, usize>,
}

#[derive(Default)]
struct Tree {
    documents: Vec<Node>,
    open: Vec<OpenCollection>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    bytes: usize,
}

impl Tree {
    fn add(&mut self, event: Event<'_>, span: Span) -> Result<(), String> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, _) => {
                self.count(Size { nodes: 1, bytes: text.len(), depth: 0 })?;
                let content = Content::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.complete(Node { line, content }, anchor)
            }
            Event::Alias(anchor) => {
                // Before the copy, which may be too large.
                self.count(self.anchors.get(&anchor).map(Node::size).unwrap_or_default())?;
                let node = self.anchors.get(&anchor).cloned().ok_or("an alias inside the value that it names")?;
                self.complete(Node { line, ..node }, 0)
            }
            Event::SequenceStart(anchor, _) => self.begin(Node { line, content: Content::List(Vec::new()) }, anchor),
            Event::MappingStart(anchor, _) => self.begin(Node { line, content: Content::Map(Vec::new()) }, anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(OpenCollection { node, anchor, .. }) => self.complete(node, anchor),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        self.open.push(OpenCollection { node, anchor, key: None, names: HashMap::new() });
        self.count(Size { nodes: 1, ..Size::default() })
    }

    /// Adds a complete value to its parent.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        if anchor > 0 {
            self.count(Size { depth: 0, ..node.size() })?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(OpenCollection { node: parent, key, names, .. }) = self.open.last_mut() else {
            if node.text().is_some() && !node.is_null() {
                return Err("a scalar; an Envoy file must have fields".to_owned());
            }
            self.documents.push(node);
            return Ok(());
        };
        match (&mut parent.content, key.take()) {
            (Content::List(items), _) => items.push(node),
            (Content::Map(fields), Some(name)) => fields.push((name, node)),
            (Content::Map(_), None) => match node.content {
                // The error does not repeat the name: it may be a secret in a wrong place.
                Content::Scalar { text, .. } => match names.insert(camel(&text), node.line) {
                    Some(line) => {
                        return Err(format!(
                            "repeats the name of line {line} (proto and JSON names are the same field)"
                        ));
                    }
                    None => *key = Some(text),
                },
                _ => return Err("a name must be a scalar".to_owned()),
            },
            (Content::Scalar { .. }, _) => {}
        }
        Ok(())
    }

    fn count(&mut self, Size { nodes, bytes, depth }: Size) -> Result<(), String> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > MAX_NODES || self.bytes > MAX_BYTES {
            return Err("too large for an Envoy file".to_owned());
        }
        if self.open.len() + depth > MAX_DEPTH { Err("nested too deeply".to_owned()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn yaml_and_json_give_the_same_tree() {
        for text in [
            "a_b: [x, 'y']\nc:\n  d: yes\ne: null\n",
            "{\"aB\": [\"x\", \"y\"], \"c\": {\"d\": true}, \"e\": null}",
            "c: &it { d: 'on' }\nz: *it\na_b:\n- x\n- y\ne: ~\n",
        ] {
            let documents = parse(text).unwrap();
            let [root] = &documents[..] else { panic!("{text}") };
            assert_eq!(root.items("a_b").iter().filter_map(Node::text).collect::<Vec<_>>(), ["x", "y"]);
            assert!(root.get("c").unwrap().has_true("d") && root.get("e").is_none(), "{text}");
        }
        let documents = parse("a: 1\n---\nb:\n\n  c: 2\n").unwrap();
        assert_eq!(documents.iter().map(|node| node.line).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(documents[1].get("b").unwrap().get("c").unwrap().line, 5);
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        for (text, expected) in [
            ("a: 1\nb: [1, 2\nc: 3\n", "line 3: "),
            ("a: 1\n b: 2\n", "line 2: "),
            ("a: 1\nb: 2\na: 3\n", "line 3: repeats the name of line 1"),
            ("a: *nothing\n", "line 1: "),
            ("\nnothing of Envoy's\n", "line 2: a scalar"),
            ("? [x]\n: y\n", "line 1: a name must be a scalar"),
        ] {
            assert!(fault(text).starts_with(expected), "{text:?}: {}", fault(text));
        }
    }

    #[test]
    fn proto_and_json_names_are_one_field() {
        for text in ["failure_mode_allow: false\nfailureModeAllow: true\n", "{aB: 1,\n a_b: 2}"] {
            assert!(fault(text).contains("repeats the name of line 1"), "{}", fault(text));
        }
        parse("a_b: 1\nab: 2\nAB: 3\na_é: 4\na: 5\n").unwrap();
        let misplaced = fault("SECRET: 1\nSECRET: 2\n");
        assert!(!misplaced.contains("SECRET"), "{misplaced}");
    }

    #[test]
    fn aliases_of_a_long_text_are_limited() {
        let aliases = "- *a\n".repeat(3_000);
        for long in [format!("- &a {}\n", "x".repeat(1 << 20)), format!("- &a\n  ? {}\n  : 1\n", "x".repeat(1 << 20))] {
            let fault = fault(&format!("{long}{aliases}"));
            assert!(fault.contains("too large"), "{fault}");
        }
    }

    /// A linear search for repeated names would take hours.
    #[test]
    fn a_map_of_many_names_is_read() {
        let fields: String = (0..200_000).map(|nth| format!("a{nth}: 1\n")).collect();
        parse(&fields).unwrap();
    }

    #[test]
    fn the_size_and_depth_of_the_tree_are_limited() {
        for deep in ["- ".repeat(200_000), "[".repeat(200), format!("{}x", "? ".repeat(50_000))] {
            assert!(parse(&deep).is_err());
        }
        // Each line is ten times the line before it.
        let lines = (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", ")));
        let laughs = format!("a0: &a0 ha\n{}", lines.collect::<String>());
        assert!(fault(&laughs).contains("too large"), "{}", fault(&laughs));
        let chain = (1..200).map(|n| format!("- &a{n} [*a{}]\n", n - 1)).collect::<String>();
        assert!(fault(&format!("- &a0 x\n{chain}")).contains("nested too deeply"));
    }
}
