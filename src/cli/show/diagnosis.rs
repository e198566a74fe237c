//! What is wrong with a set-up, one block a finding.

use super::vertical;
use crate::doctor::{Finding, Report};

/// What `doctor` found; where that is nothing, what it looked at. `asked` says whether a server answered.
pub(in crate::cli) fn report(report: &Report, asked: bool) -> String {
    let checks = report.checked().count();
    let alone = if asked { "" } else { " The server was not asked." };
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
    format!("{code} ({})\n  {seen}\n  fix: {fix}\n\n", severity.as_str())
}
