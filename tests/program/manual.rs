//! The README and the manual in `docs/`, held against the program: every setting, reason, metric and finding stands there,
//! every example is accepted, every link leads somewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use key_ip_sentinel::{config::SETTINGS, doctor::Code, domain::Reason};

use crate::common::sentinel;

/// A page and its text.
struct Page {
    path: PathBuf,
    text: String,
}

/// A fenced block, without the indentation of the list that it stands in.
struct Block<'a> {
    page: &'a Path,
    language: &'a str,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(path: &str) -> Page {
    let path = root().join(path);
    Page { text: fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())), path }
}

fn pages() -> Vec<Page> {
    let docs = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().display()));
    let others = ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned);
    docs.chain(others).filter(|path| path.ends_with(".md")).map(|path| page(&path)).collect()
}

impl Page {
    /// The text below `heading`, up to the next one of its level.
    fn section(&self, heading: &str) -> &str {
        let level = heading.split(' ').next().unwrap();
        let below = self.text.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
        below.split(&format!("\n{level} ")).next().unwrap()
    }

    /// The rows of the tables below `heading` whose first cell is code: that code, and all cells.
    fn rows(&self, heading: &str) -> Vec<(&str, Vec<&str>)> {
        let rows = self.section(heading).lines().filter_map(|line| {
            Some((line.strip_prefix("| `")?.split('`').next()?, line.split('|').map(str::trim).collect()))
        });
        rows.collect()
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        let (mut blocks, mut open) = (Vec::new(), None);
        for line in self.text.lines() {
            let (indent, bare) = (line.len() - line.trim_start().len(), line.trim());
            open = match (open.take(), bare.strip_prefix("```")) {
                (None, Some(language)) => Some((indent, Block { page: &self.path, language, text: String::new() })),
                (None, None) => None,
                (Some((_, block)), Some("")) => {
                    blocks.push(block);
                    None
                }
                (Some((indent, mut block)), _) => {
                    block.text += &format!("{}\n", line.get(indent..).unwrap_or_default());
                    Some((indent, block))
                }
            };
        }
        assert!(open.is_none(), "{}: a block has no end", self.path.display());
        blocks
    }

    /// The targets of its links, outside of blocks.
    fn links(&self) -> Vec<&str> {
        let prose = self.text.split("```").step_by(2);
        let targets = prose.flat_map(|prose| prose.split("](").skip(1));
        targets.map(|rest| rest.split([')', ' ']).next().unwrap()).collect()
    }

    /// The anchors of its headings, as forges make them.
    fn anchors(&self) -> BTreeSet<String> {
        let prose = self.text.split("```").step_by(2);
        let headings = prose.flat_map(str::lines).filter(|line| line.starts_with('#'));
        let anchor = |heading: &str| {
            let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            text.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
        };
        headings.map(anchor).collect()
    }
}

#[test]
fn every_setting_stands_in_the_configuration_page_with_its_default_and_whether_it_is_live() {
    let page = page("docs/configuration.md");
    let rows = page.rows("## Settings");
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), SETTINGS.map(|setting| setting.key));
    for (setting, (name, cells)) in SETTINGS.iter().zip(rows) {
        let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
        let live = if setting.live { "live" } else { "restart" };
        assert!(cells.contains(&default.as_str()) && cells.contains(&live), "{name}: {cells:?}");
    }
}

#[test]
fn every_reason_stands_in_the_page_of_error_responses() {
    let page = page("docs/error-responses.md");
    let listed: BTreeSet<_> = page.rows("## Reasons").into_iter().map(|row| row.0).collect();
    assert_eq!(listed, Reason::ALL.map(Reason::as_str).into());
}

#[test]
fn every_finding_of_the_doctor_stands_in_the_page_of_operations_in_its_order() {
    let page = page("docs/operate.md");
    let listed: Vec<_> = page.rows("### Doctor").into_iter().map(|row| row.0).collect();
    assert_eq!(listed, Code::ALL.map(Code::as_str));
}

#[test]
fn sentinel_accepts_every_toml_example() {
    let pages = pages();
    let examples: Vec<_> = pages.iter().flat_map(Page::blocks).filter(|block| block.language == "toml").collect();
    assert!(examples.len() > 20, "{}", examples.len());
    for Block { page, text, .. } in examples {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sentinel.toml");
        fs::write(&path, &text).unwrap();
        // Not `check-config`, which also looks at this machine.
        let loaded = key_ip_sentinel::config::load(Some(&path), []);
        assert!(loaded.is_ok(), "{}:\n{text}{}", page.display(), loaded.unwrap_err());
    }
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut followed = 0;
    for page in &pages {
        for link in page.links().into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.path.clone() } else { page.path.parent().unwrap().join(file) };
            let target = target.canonicalize().unwrap_or_else(|_| panic!("{}: {link}", page.path.display()));
            let there = pages.iter().find(|page| page.path.canonicalize().unwrap() == target);
            let found = anchor.is_empty() || there.is_some_and(|page| page.anchors().contains(anchor));
            assert!(found, "{}: {link}", page.path.display());
            followed += 1;
        }
    }
    assert!(followed > 100, "{followed}");
}

#[test]
fn the_summary_names_every_page() {
    let summary = page("docs/SUMMARY.md");
    let listed: BTreeSet<_> = summary.links().into_iter().filter(|link| !link.starts_with("..")).collect();
    let pages = pages();
    let docs = pages.iter().filter(|page| page.path.parent() == summary.path.parent());
    let names: BTreeSet<_> = docs.map(|page| page.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(listed, names.into_iter().filter(|name| *name != "SUMMARY.md").collect());
}

#[test]
fn the_readme_is_short() {
    for name in ["README.md", "README.zh-CN.md"] {
        let bytes = page(name).text.len();
        assert!(bytes <= 8 * 1024, "{name}: {bytes} bytes; move details to docs/");
    }
}

/// Each command is run against a server, with an example in the place of what the page leaves open. What it answers
/// is not looked at: only that the server was asked, which needs a command line without a fault.
#[tokio::test]
async fn every_command_of_the_manual_is_one() {
    let sentinel = sentinel().set("mode", "\"observe\"").start().await;
    sentinel.check().key("sk-manual-0123456789abcdef").from("203.0.113.7").send().await;
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("request.txt", "GET / HTTP/1.1\nauthorization: Bearer sk-manual-0123456789abcdef\n"),
        ("build.key", "sk-build-0123456789abcdef\n"),
        ("key.txt", "sk-key-0123456789abcdef\n"),
        ("keys.jsonl", ""),
        ("envoy.yaml", "{}\n"),
        ("listeners.yaml", "{}\n"),
        ("routes.yaml", "{}\n"),
        ("dump.json", "{}\n"),
    ] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let pages = pages();
    let lines: Vec<_> = pages.iter().flat_map(Page::blocks).filter(|block| block.language == "sh").collect();
    let mut ran = 0;
    for block in &lines {
        for line in block.text.lines().filter_map(|line| runnable(line, &sentinel.home().config())) {
            let mut shell = Command::new("timeout");
            shell.args(["20", "sh", "-c", &line]).current_dir(directory.path()).env_clear();
            let bin = Path::new(env!("CARGO_BIN_EXE_sentinel")).parent().unwrap();
            shell.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
            let output = shell.output().unwrap();
            let code = output.status.code();
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(code, Some(0 | 1)), "{}: {line}: {code:?}: {err}", block.page.display());
            ran += 1;
        }
    }
    assert!(ran > 50, "{ran}");
}

/// The command of `line`, if it is one of Sentinel's that ends by itself: by the server's configuration, and with examples.
fn runnable(line: &str, config: &Path) -> Option<String> {
    const ENDLESS: [&str; 2] = [" serve", " tail"];
    let command = line.split(" #").next()?.split(" | ").next()?.split(" > ").next()?.trim();
    let arguments = command.strip_prefix("sentinel ")?;
    if ENDLESS.iter().any(|word| command.contains(word)) || arguments.starts_with("completion") {
        return None;
    }
    let mut words: Vec<_> = arguments.split(' ').map(str::to_owned).collect();
    while let Some(at) = words.iter().position(|word| word == "--config") {
        words.drain(at..at + 2);
    }
    let is_key_file = |at: usize| at > 0 && words[at - 1] == "--key-file";
    let key_files: Vec<_> = (0..words.len()).filter(|at| is_key_file(*at)).collect();
    key_files.into_iter().for_each(|at| words[at] = "key.txt".to_owned());
    let example = |word: String| match word.trim_end_matches("...").trim_end_matches('…') {
        "REF" => "0a1b2c3d".to_owned(),
        "CIDR" => "203.0.113.0/24".to_owned(),
        "RECORD" => "1".to_owned(),
        "DECISION_ID" => "0".repeat(32),
        "PEPPER_ID" | "ID" => "0a1b2c3d".to_owned(),
        "PEER" => "192.0.2.1".to_owned(),
        "FILE" => "build.key".to_owned(),
        "ENVOY_YAML" | "/etc/envoy/envoy.yaml" => "envoy.yaml".to_owned(),
        "x-client-ip=CLIENT" => "x-client-ip=203.0.113.7".to_owned(),
        "x-peer-ip=PEER" => "x-peer-ip=192.0.2.1".to_owned(),
        _ => word,
    };
    let mut words: Vec<_> = words.into_iter().map(example).collect();
    let asks = words[0] == "undo" || words.iter().any(|word| word == "--forget" || word == "--reserve");
    if asks || (words.iter().any(|word| word == "promote") && !words.iter().any(|word| word == "--dry-run")) {
        words.push("--yes".to_owned());
    }
    Some(
        format!("sentinel --config {} {} </dev/null", config.display(), words.join(" "))
            .replace("< request.txt </dev/null", "< request.txt"),
    )
}

/// Words that this project does not use, with the places where a stored or public name keeps one.
#[test]
fn private_words_do_not_come_back() {
    const FORBIDDEN: [&str; 22] = [
        "whoever",
        "thief",
        "thieves",
        " told ",
        " tells ",
        "for ever",
        "nobody's",
        "at most so many",
        "is no folder",
        "so to speak",
        "Heralds",
        "Courier",
        "Chore",
        "Manner",
        "doorstep",
        "hearsay",
        "firsthand",
        "behind_the_scenes",
        "keep_active",
        "word of somebody",
        "goes on beside",
        "Tended",
    ];
    let mut found = Vec::new();
    for directory in ["src", "proto", "docs", "envoy", "tests/snapshots"] {
        // Released migrations keep their bytes, comments too: refinery compares their checksums.
        for file in files(&root().join(directory)).into_iter().filter(|file| file.extension() != Some("sql".as_ref())) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in (1..).zip(text.lines()) {
                let line = line.replace("for every", "");
                let words = FORBIDDEN.iter().filter(|word| line.contains(**word));
                found.extend(words.map(|word| format!("{}:{number}: {word}", file.display())));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
