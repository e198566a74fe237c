//! `audit export` and `audit tail`, which stream records.

use std::io::{self, BufWriter, IsTerminal, Write};

use super::{
    args::Output,
    audit_args::{ExportArgs, FilterArgs, Format},
    client::{ask, next},
    csv,
    failure::Failure,
    json,
    progress::Progress,
    reference::by_id,
    session::{Session, say},
    show,
    values::When,
};
use crate::admin::api::{AuditRecord, ExportAuditRequest, TailAuditRequest};

/// Printed to standard error with an empty answer.
pub(super) const NO_SUCH_DECISION: &str = "no record has that decision id: denials of one key, network and reason within a \
     second are one record with the id of the first; search with --key and --since";

/// Writes the stored records.
pub(super) async fn export(session: &Session<'_>, args: ExportArgs) -> Result<(), Failure> {
    let ExportArgs { since, until, only: FilterArgs { kind, key }, decision, format } = args;
    let format = format.unwrap_or(if session.output == Output::Json { Format::Jsonl } else { Format::Csv });
    let (since_ms, within_ms) = time_or_age(since);
    let (until_ms, until_ago_ms) = time_or_age(until);
    let request = ExportAuditRequest {
        kind: kind.unwrap_or_default(),
        key: key.as_ref().map(by_id),
        since_ms,
        within_ms,
        until_ms,
        until_ago_ms,
        decision_id: decision.map(|id| id.to_string()).unwrap_or_default(),
    };
    let mut pages = ask(session.socket, async |api| api.export_audit(request).await).await?;
    let mut out = BufWriter::new(io::stdout().lock());
    let (progress, mut found) = (Progress::new(io::stdout().is_terminal()), 0);
    if format == Format::Csv {
        out.write_all(csv::records_header().as_bytes())?;
    }
    let line = if format == Format::Csv { csv::record_line } else { json_line };
    while let Some(page) = next(session.socket, &mut pages).await? {
        for record in &page.records {
            out.write_all(line(record).as_bytes())?;
        }
        found += page.records.len();
        progress.at(format_args!("{found} records"));
    }
    progress.keep();
    if decision.is_some() && found == 0 {
        say(NO_SUCH_DECISION);
    }
    Ok(out.flush()?)
}

/// Writes new records until Ctrl-C.
pub(super) async fn tail(session: &Session<'_>, args: FilterArgs) -> Result<(), Failure> {
    let FilterArgs { kind, key } = args;
    let request = TailAuditRequest { kind: kind.unwrap_or_default(), key: key.as_ref().map(by_id) };
    let mut pages = ask(session.socket, async |api| api.tail_audit(request).await).await?;
    let mut out = io::stdout();
    if session.output == Output::Csv {
        out.write_all(csv::records_header().as_bytes())?;
        out.flush()?;
    }
    loop {
        let page = tokio::select! {
            page = next(session.socket, &mut pages) => page?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Some(page) = page else { return Ok(()) };
        for record in &page.records {
            let line = match session.output {
                Output::Table => show::record(record, session.screen),
                Output::Json => json_line(record),
                Output::Csv => csv::record_line(record),
            };
            out.write_all(line.as_bytes())?;
        }
        out.flush()?;
    }
}

fn json_line(record: &AuditRecord) -> String {
    format!("{}\n", json::message(record))
}

/// A point in time and an age before now, both in milliseconds; 0 is absent.
fn time_or_age(when: Option<When>) -> (i64, i64) {
    match when {
        None => (0, 0),
        Some(When::At(time)) => (time.as_millis(), 0),
        Some(When::Ago(duration)) => (0, i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
    }
}
