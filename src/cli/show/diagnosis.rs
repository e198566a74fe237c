//! What is wrong with a set-up, one block a finding.

use super::text::vertical;
use crate::doctor::{Finding, Report};

/// As wide as the help is.
const WIDTH: usize = 100;

/// What `doctor` found; where that is nothing, what it looked at. `answered` says whether a server has.
pub(in crate::cli) fn report(report: &Report, answered: bool) -> String {
    let checks = report.checked().count();
    let alone = if answered { "" } else { " The server has not answered." };
    if report.findings().is_empty() {
        let pairs: Vec<_> = report.checked().map(|code| (code.as_str(), code.promise().to_owned())).collect();
        return format!("{}\n{checks} checks, nothing found.{alone}\n", vertical(&pairs));
    }
    let blocks: String = report.findings().iter().map(block).collect();
    let found = match report.findings().len() {
        1 => "1 finding".to_owned(),
        more => format!("{more} findings"),
    };
    format!("{blocks}{checks} checks, {found}.{alone}\n")
}

fn block(finding: &Finding) -> String {
    let Finding { code, severity, seen, fix } = finding;
    format!("{code} ({})\n{}{}\n", severity.as_str(), wrapped("  ", seen), wrapped("  fix: ", fix))
}

/// A fix may be long; a path in it stays whole.
fn wrapped(label: &str, text: &str) -> String {
    let mut lines = vec![label.to_owned()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.ends_with(' ') => line.push_str(word),
            Some(line) if line.chars().count() + word.chars().count() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("    {word}")),
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}
