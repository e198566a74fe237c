//! The page that a run writes.

use std::{fmt::Write, fs, path::Path, process::Command};

use crate::{Plan, busy::MOST_OTHERS, chart, run::Figures};

/// The rows of one group.
pub(crate) struct Table {
    title: String,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
    /// What the chart shows.
    pub(crate) bars: Vec<Bar>,
    is_busy: bool,
}

pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) ratio: f64,
}

/// `cells!["{:.1}", a; "{}", b]`.
macro_rules! cells {
    ($($form:literal, $value:expr);+ $(;)?) => { vec![$(format!($form, $value)),+] };
}
pub(crate) use cells;

impl Table {
    pub(crate) fn new(title: String, head: &[&'static str]) -> Self {
        println!("\n## {title}");
        Self { title, head: head.to_vec(), rows: Vec::new(), notes: Vec::new(), bars: Vec::new(), is_busy: false }
    }

    /// A row of medians, with a mark if others were busy.
    pub(crate) fn row(&mut self, name: &str, figures: &Figures, cells: Vec<String>) {
        let mark = if figures.is_clear() { "" } else { " *" };
        self.is_busy |= !figures.is_clear();
        self.plain(&format!("{name}{mark}"), cells);
    }

    pub(crate) fn plain(&mut self, name: &str, cells: Vec<String>) {
        println!(
            "{name:42} {}",
            self.head[1..]
                .iter()
                .zip(&cells)
                .map(|(head, cell)| format!("{head} {cell}"))
                .collect::<Vec<_>>()
                .join(" | ")
        );
        self.rows.push([vec![name.to_owned()], cells].concat());
    }

    pub(crate) fn note(&mut self, text: String) {
        println!("{text}");
        self.notes.push(text);
    }

    fn markdown(&self) -> String {
        let mut text =
            format!("## {}\n\n| {} |\n|{}\n", self.title, self.head.join(" | "), "---|".repeat(self.head.len()));
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        if self.is_busy {
            let _ = write!(
                text,
                "\n\\* The machine was too busy to tell: other programs used more than {MOST_OTHERS} cores.\n"
            );
        }
        text
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

const METHOD: &str = include_str!("method.md");

/// Writes the page and its chart, if everything was measured.
pub(crate) fn finish(plan: &Plan, tables: &[Table]) {
    if !plan.is_whole() {
        println!("\nNot everything was measured, so docs/benchmarks.md stays as it is.");
        return;
    }
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown").to_owned();
    let machine = format!(
        "Measured on {} at commit `{}` with {}, on {} cores of {model}; Linux {}. {} rounds of {} s, interleaved; medians.",
        output("date", &["-u", "+%Y-%m-%d"]),
        output("git", &["rev-parse", "--short", "HEAD"]),
        output("rustc", &["--version"]),
        std::thread::available_parallelism().map_or(1, usize::from).max(2),
        output("uname", &["-r"]),
        plan.rounds,
        plan.round.as_secs(),
    );
    draw(tables);
    let tables: Vec<String> = tables.iter().map(Table::markdown).collect();
    let page = METHOD.replace("MACHINE", &machine).replace("TABLES\n", &tables.join("\n"));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    fs::write(docs.join("benchmarks.md"), page).expect("docs/benchmarks.md");
}

fn draw(tables: &[Table]) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let groups: Vec<(&str, &[Bar])> = tables
        .iter()
        .filter(|table| !table.bars.is_empty())
        .map(|table| (table.title.as_str(), &table.bars[..]))
        .collect();
    fs::write(docs.join("benchmarks.svg"), chart::svg(&groups)).expect("docs/benchmarks.svg");
}
