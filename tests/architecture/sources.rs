//! The production code of `src/`, file by file, as tokens: without comments, and without what only tests compile.

use std::{fs, iter::Peekable, path::Path, sync::LazyLock};

use proc_macro2::{Group, TokenStream, TokenTree, token_stream};

use crate::names::{Names, braced, ident, is_ident, is_punct, names};

/// One file.
pub(crate) struct Source {
    /// From `src/` on: `store/mod.rs`.
    pub(crate) file: String,
    /// `["store"]`; empty for `lib.rs`.
    pub(crate) module: Vec<String>,
    pub(crate) lines: usize,
    /// Its code, formatted as `TokenStream` does.
    pub(crate) text: String,
    /// Each function, with its lines.
    pub(crate) functions: Vec<(String, usize)>,
    pub(crate) names: Names,
}

/// Every file that `lib.rs` reaches by `mod`, and `main.rs`, as the module `main`.
pub(crate) fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
        let mut found = Vec::new();
        collect("main.rs", vec!["main".to_owned()], "", &mut found);
        collect("lib.rs", Vec::new(), "", &mut found);
        found
    });
    &SOURCES
}

/// Adds a file and those below it, which are in `folder`.
fn collect(file: &str, module: Vec<String>, folder: &str, found: &mut Vec<Source>) {
    let text = fs::read_to_string(Path::new("src").join(file)).unwrap_or_else(|cause| panic!("src/{file}: {cause}"));
    let tokens = without_tests(text.parse().unwrap_or_else(|cause| panic!("src/{file}: {cause}")));
    for name in file_modules(&tokens) {
        let (flat, nested) = (format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs"));
        let file = if Path::new("src").join(&flat).exists() { flat } else { nested };
        collect(&file, [module.clone(), vec![name.clone()]].concat(), &format!("{folder}{name}/"), found);
    }
    found.push(Source {
        file: file.to_owned(),
        module,
        lines: text.lines().count(),
        functions: functions(&tokens),
        names: names(&tokens),
        text: tokens.into_iter().collect::<TokenStream>().to_string(),
    });
}

/// The names of `mod name;`.
fn file_modules(tokens: &[TokenTree]) -> Vec<String> {
    let is_file = |three: &&[TokenTree]| is_ident(&three[0], "mod") && is_punct(&three[2], ';');
    tokens.windows(3).filter(is_file).map(|three| three[1].to_string()).collect()
}

/// Leaves out every item, field or statement under `#[cfg(test)]`.
fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let (mut kept, mut rest) = (Vec::new(), tokens.into_iter().peekable());
    while let Some(token) = rest.next() {
        match token {
            TokenTree::Punct(hash) if hash.as_char() == '#' && is_for_tests(&mut rest) => skip_item(&mut rest),
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_tests(group.stream()).into_iter().collect());
                inner.set_span(group.span());
                kept.push(TokenTree::Group(inner));
            }
            other => kept.push(other),
        }
    }
    kept
}

fn is_for_tests(rest: &mut Peekable<token_stream::IntoIter>) -> bool {
    let attribute = rest.peek().map(|token| token.to_string().replace(' ', ""));
    attribute.as_deref() == Some("[cfg(test)]")
}

fn skip_item(rest: &mut Peekable<token_stream::IntoIter>) {
    let ends = |token: &TokenTree| is_punct(token, ';') || braced(token).is_some();
    // A `use` ends with a semicolon, which may follow a brace.
    if rest.by_ref().find(ends).is_some_and(|end| braced(&end).is_some()) {
        rest.next_if(|token| is_punct(token, ';'));
    }
}

/// The functions in these tokens, at any depth: the name, and the lines from `fn` to the closing brace.
fn functions(tokens: &[TokenTree]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            found.extend(functions(&group.stream().into_iter().collect::<Vec<_>>()));
        }
        let Some(name) = tokens.get(at + 1).and_then(ident).filter(|_| is_ident(token, "fn")) else { continue };
        let end = tokens[at..].iter().find(|token| is_punct(token, ';') || braced(token).is_some());
        if let Some(body) = end.and_then(braced) {
            let lines = body.span_close().end().line - token.span().start().line + 1;
            found.push((name.to_string(), lines));
        }
    }
    found
}
