//! The arguments of the audit commands.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum, builder::PossibleValuesParser};

use super::{
    manual,
    reference::key_id,
    values::{When, duration, limit, when},
};
use crate::domain::{
    KeyIdPrefix,
    event::{DecisionId, EventKind},
};

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// List audit records, the newest first, with the command that reverses each change
    #[command(after_help = "\
Examples:
  sentinel audit list --since 24h
  sentinel audit list --kind denied --key 0a1b2c3d
  sentinel audit list --key-file key.txt --output json
  sentinel audit list --decision 0f3c5a7b9d1e2f4061728394a5b6c7d8
  sentinel audit list --limit 1000 --output csv > audit.csv

Changes: nothing. Denials with the same key, network and reason within a second are one record
with a count and the decision id of the first. UNDO is rejected once the key has been changed
again; undo the later changes first.")]
    List(AuditArgs),

    /// Write all audit records, the oldest first, as CSV or JSON Lines
    #[command(after_help = manual::AUDIT_EXPORT)]
    Export(ExportArgs),

    /// Print audit records as they are stored, until Ctrl-C
    #[command(after_help = manual::AUDIT_TAIL)]
    Tail(FilterArgs),
}

#[derive(Args)]
pub(super) struct ExportArgs {
    /// Only records from this time on: 2026-11-21T08:30:00Z, 2026-11-21 (UTC), or how long ago, such as 7d
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(super) since: Option<When>,
    /// Only records before this time, in the same forms
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(super) until: Option<When>,
    #[command(flatten)]
    pub(super) only: FilterArgs,
    /// Only the record whose (first) decision has this id, as shown in a denial
    #[arg(long, value_name = "ID")]
    pub(super) decision: Option<DecisionId>,
    /// CSV (RFC 4180) with a header, or JSON Lines; default: csv, with --output json jsonl
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(super) format: Option<Format>,
}

#[derive(Args)]
pub(super) struct FilterArgs {
    /// Only records of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(EventKind::ALL.map(EventKind::as_str)))]
    pub(super) kind: Option<String>,
    /// Only records of this key: the first 8 or more hex digits of its id
    #[arg(long, value_name = "REF", value_parser = key_id)]
    pub(super) key: Option<KeyIdPrefix>,
}

// Doc comments on the variants would make `--help` print every option on several lines.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Csv,
    Jsonl,
}

#[derive(Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    pub(super) only: FilterArgs,
    /// Only records of the key in this file, - for standard input
    #[arg(long, value_name = "PATH", conflicts_with = "key")]
    pub(super) key_file: Option<PathBuf>,
    /// How the key in the file is read: credentials.profile (default) or one of credentials.route_profiles
    #[arg(long, value_name = "NAME", requires = "key_file", conflicts_with = "key")]
    pub(super) profile: Option<String>,
    /// Only the record whose (first) decision has this id, as shown in a denial
    #[arg(long, value_name = "ID")]
    pub(super) decision: Option<DecisionId>,
    /// Only records of the last DURATION, such as 30m, 24h or 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) since: Option<Duration>,
    /// Print at most N records (1 to 1000)
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
    pub(super) limit: u32,
}
