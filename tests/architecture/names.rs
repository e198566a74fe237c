//! What the code of a module declares, and what it names: `use` trees and paths, as they are written.

use proc_macro2::{Delimiter, Group, Ident, TokenTree};

/// What one module, of a file or in one, declares and names.
#[derive(Default)]
pub(crate) struct Names {
    /// Its functions, types, traits, constants and macros.
    pub(crate) items: Vec<String>,
    pub(crate) uses: Vec<Use>,
    /// Every path outside a `use`, also of one segment.
    pub(crate) paths: Vec<Vec<String>>,
    /// The modules `mod name { … }` in it.
    pub(crate) inline: Vec<(String, Self)>,
}

/// One leaf of a `use` tree.
pub(crate) struct Use {
    /// What it is called here; `*` for a glob.
    pub(crate) alias: String,
    pub(crate) path: Vec<String>,
    /// Whether it only passes the name on: `pub use`.
    pub(crate) is_export: bool,
}

const ITEMS: [&str; 9] = ["fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules"];

pub(crate) fn names(tokens: &[TokenTree]) -> Names {
    let mut names = Names::default();
    let mut at = 0;
    while at < tokens.len() {
        let [this, next, after] = [0, 1, 2].map(|ahead| tokens.get(at + ahead));
        let name = next.filter(|next| !is_ident(next, "fn")).and_then(ident).map(ToString::to_string);
        match (this.and_then(ident).map(ToString::to_string), name) {
            (Some(keyword), Some(name)) if keyword == "mod" => {
                if let Some(body) = after.and_then(braced) {
                    names.inline.push((name, self::names(&body.stream().into_iter().collect::<Vec<_>>())));
                }
                at += 3;
            }
            (Some(keyword), Some(name)) if ITEMS.contains(&keyword.as_str()) => {
                names.items.push(name);
                at += 2;
            }
            (Some(keyword), None) if keyword == "macro_rules" => {
                names.items.extend(after.map(ToString::to_string));
                at += 3;
            }
            _ => at = names.expression(tokens, at),
        }
    }
    names
}

impl Names {
    /// Reads on at `at`, where no item begins, and returns where the next token is.
    fn expression(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        if let TokenTree::Group(group) = &tokens[at] {
            self.body(&group.stream().into_iter().collect::<Vec<_>>());
            return at + 1;
        }
        if is_ident(&tokens[at], "use") && !tokens.get(at + 1).is_some_and(|next| is_punct(next, '<')) {
            let is_export = at > 0 && (is_ident(&tokens[at - 1], "pub") || is_restricted(&tokens[..at]));
            let mut rest = at + 1;
            self.tree(tokens, &mut rest, &[], is_export);
            return rest;
        }
        let (path, end) = path(tokens, at);
        let is_member = at > 0 && is_punct(&tokens[at - 1], '.') && !(at > 1 && is_punct(&tokens[at - 2], '.'));
        if !path.is_empty() && !is_member {
            self.paths.push(path);
        }
        end.max(at + 1)
    }

    /// What is within braces, parentheses or brackets declares nothing that others could name.
    fn body(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            at = self.expression(tokens, at);
        }
    }

    /// One use tree, or the rest of one, after `prefix`.
    fn tree(&mut self, tokens: &[TokenTree], at: &mut usize, prefix: &[String], is_export: bool) {
        let (segments, end) = path(tokens, *at);
        let full = [prefix, &segments].concat();
        *at = end;
        if let Some(group) = tokens.get(end).and_then(braced) {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let mut inside = 0;
            while inside < inner.len() {
                self.tree(&inner, &mut inside, &full, is_export);
                inside += 1;
            }
            *at += 1;
        } else if tokens.get(end).is_some_and(|token| is_punct(token, '*')) {
            self.uses.push(Use { alias: "*".to_owned(), path: full, is_export });
            *at += 1;
        } else if let Some(last) = full.last().cloned() {
            let renamed = tokens.get(end).is_some_and(|token| is_ident(token, "as"));
            *at += if renamed { 2 } else { 0 };
            let path = if last == "self" { full[..full.len() - 1].to_vec() } else { full };
            let alias = if renamed { tokens[end + 1].to_string() } else { path.last().cloned().unwrap_or(last) };
            self.uses.push(Use { alias, path, is_export });
        }
    }
}

/// `pub(…)` before a `use`.
fn is_restricted(before: &[TokenTree]) -> bool {
    matches!(before, [.., public, TokenTree::Group(_)] if is_ident(public, "pub"))
}

/// The segments of the path at `at`, none if there is no name, and where it ends: after a last `::` before `{` or `*`.
fn path(tokens: &[TokenTree], at: usize) -> (Vec<String>, usize) {
    let (mut segments, mut end) = (Vec::new(), at);
    let colons = |at: usize| tokens[at..].iter().take(2).filter(|token| is_punct(token, ':')).count() == 2;
    while let Some(name) = tokens.get(end).and_then(ident) {
        segments.push(name.to_string());
        end += 1;
        if end >= tokens.len() || !colons(end) {
            break;
        }
        end += 2;
    }
    (segments, end)
}

pub(crate) fn ident(token: &TokenTree) -> Option<&Ident> {
    if let TokenTree::Ident(ident) = token { Some(ident) } else { None }
}

pub(crate) fn is_ident(token: &TokenTree, name: &str) -> bool {
    ident(token).is_some_and(|ident| ident == name)
}

pub(crate) fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

pub(crate) fn braced(token: &TokenTree) -> Option<&Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        _ => None,
    }
}
