//! Answers for people: aligned columns, ages instead of dates, and what to do next.

mod audit;
mod change;
mod diagnosis;
mod explained;
mod keys;
mod peppers;
mod time;

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::admin::api::{Binding, GetStatusResponse};

pub(super) use audit::{record, records};
pub(super) use change::{banned, unbanned, unbound};
pub(super) use diagnosis::report;
pub(super) use explained::explained;
pub(super) use keys::{list, one};
pub(super) use peppers::{activated, peppers, retired};

/// What stands where there is nothing.
const NOTHING: &str = "-";

/// A server's answer to the status command.
pub(super) fn status(status: &GetStatusResponse) -> String {
    let count = |count: Option<u64>| count.map_or("? (the store did not answer)".to_owned(), |n| n.to_string());
    let poll = match status.since_poll_ms {
        Some(millis) => time::ago(millis),
        None => "never".to_owned(),
    };
    vertical(&[
        ("serving", if status.serving { "yes" } else { "no" }.to_owned()),
        ("version", status.version.clone()),
        ("process", format!("{}, up {}", status.pid, time::span(status.uptime_ms))),
        ("mode", status.mode.clone()),
        ("realm", status.realm.clone()),
        ("store", status.store.clone()),
        ("last poll", poll),
        ("revision", status.applied_revision.to_string()),
        ("pepper", status.pepper_id.clone()),
        ("learned", count(status.learned)),
        ("pinned", count(status.pinned)),
        ("reserved", count(status.reserved)),
        ("banned", count(status.banned)),
    ])
}

/// `pinned` without networks has its own word.
fn state(binding: Option<&Binding>) -> &str {
    match binding {
        None => NOTHING,
        Some(binding) if binding.networks.is_empty() => "reserved",
        Some(binding) => &binding.state,
    }
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { NOTHING } else { text }
}

/// A header and rows, one line each; the columns whose header begins with `>` are aligned right.
fn columns<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.map(|name| name.trim_start_matches('>')));
    table.add_rows(rows.into_iter().map(|row| row.map(Cell::new)));
    for (column, name) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        if name.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Names and values, one pair a line.
fn vertical(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

fn text(lines: Vec<String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}
