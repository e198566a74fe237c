//! The report of `doctor`, one block per finding.

use super::text::vertical;
use crate::doctor::{Finding, Report};

/// The width of the help.
const WIDTH: usize = 100;

/// The findings; without findings, the checks that were made. `answered` is whether a server answered.
pub(in crate::cli) fn report(report: &Report, answered: bool) -> String {
    let checks = report.checked().count();
    let unanswered = if answered { "" } else { " The server did not answer." };
    if report.findings().is_empty() {
        let pairs: Vec<_> = report.checked().map(|code| (code.as_str(), code.good_state().to_owned())).collect();
        return format!("{}\n{checks} checks, no findings.{unanswered}\n", vertical(&pairs));
    }
    let blocks: String = report.findings().iter().map(block).collect();
    let found = match report.findings().len() {
        1 => "1 finding".to_owned(),
        more => format!("{more} findings"),
    };
    format!("{blocks}{checks} checks, {found}.{unanswered}\n")
}

fn block(finding: &Finding) -> String {
    let Finding { code, severity, seen, fix } = finding;
    format!("{code} ({})\n{}{}\n", severity.as_str(), wrapped("  ", seen), wrapped("  fix: ", fix))
}

/// Wraps at blanks, so that a path stays whole.
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
