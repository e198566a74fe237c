//! The one table of commands and flags. Its doc comments are the manual that `--help` prints.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, ColorChoice, Parser, Subcommand, ValueEnum, builder::PossibleValuesParser};
use clap_complete::Shell;

use super::{
    audit_args::AuditCommand,
    bindings_args::{ClaimArgs, ExportArgs, ImportArgs, NoteArgs, PromoteArgs, SetArgs},
    manual,
    pepper_args::PepperCommand,
    reference::Which,
    screen::Color,
    values::{address, duration, hint, limit, metadata, moment, network, offset, record, socket},
};
use crate::{
    admin::api::Metadata,
    domain::{Mode, Network, State, Timestamp},
};

/// The first network that uses an API key owns it.
#[derive(Parser)]
#[command(
    name = "sentinel",
    version,
    color = ColorChoice::Never,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    next_help_heading = "Global options",
    after_help = "\
Examples:
  sentinel serve                             serve with the built-in defaults
  sentinel bindings list                     which network owns which key
  sentinel unbind 0a1b2c3d --to 10.2.0.0/16  hand a key over
  sentinel ban --key-file leaked.txt         refuse a key everywhere
  sentinel undo 17                           take a change back, by its number in the audit

Exit codes: 0 done, 1 refused or not found, 2 usage or configuration, 3 server unreachable."
)]
pub(super) struct Cli {
    /// The configuration file (TOML); without one the built-in defaults hold
    #[arg(long, global = true, value_name = "FILE", env = "SENTINEL_CONFIG", hide_env_values = true)]
    pub(super) config: Option<PathBuf>,

    /// The admin socket to ask, instead of the configured one
    #[arg(long, global = true, value_name = "unix:/PATH", value_parser = socket)]
    pub(super) admin: Option<PathBuf>,

    /// For people, one JSON document with stable names and RFC 3339 times, or, for listings, CSV (RFC 4180)
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,

    /// Colours: red what is denied, green what is allowed, bold headings; auto: on a terminal without NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub(super) color: Color,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
    Csv,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Answer Envoy's authorization checks until told to stop
    #[command(after_help = "\
Examples:
  sentinel serve
  sentinel serve --config /etc/sentinel.toml
  SENTINEL_LISTEN__GRPC=unix:/run/sentinel/grpc.sock sentinel serve

Changes: makes data_dir, its database and, for an empty one, a pepper. SIGTERM and SIGINT end it
after a drain that loses no request.")]
    Serve,

    /// Read the configuration as `serve` would, list every fault, and change nothing
    #[command(after_help = "\
Examples:
  sentinel check-config --config /etc/sentinel.toml && systemctl restart sentinel

Changes: nothing, on disk or in a running server. Exit code 2 if there is any fault.")]
    CheckConfig,

    /// Bring the store's schema up to date, as `serve` does at its start, and end
    #[command(after_help = "\
Examples:
  sentinel migrate --config /etc/sentinel.toml    # before the first new replica, as a step of its own

Changes: the schema, under a lock; replicas of before go on beside it. A new store is made, and takes the first pepper of
pepper.secrets. A SQLite file must not be in use. Exit code 1 if the store does not answer or is not ours.")]
    Migrate,

    /// Say what is wrong with the set-up, and the fix: addresses, permissions, Envoy's files
    #[command(after_help = manual::DOCTOR)]
    Doctor {
        /// A file of Envoy's, YAML or JSON: bootstrap, xDS resources, or an Istio EnvoyFilter; may be given again
        #[arg(long, value_name = "FILE")]
        envoy: Vec<PathBuf>,
    },

    /// The secrets that key the digests, and how one follows another
    #[command(subcommand, arg_required_else_help = true, after_help = manual::PEPPER)]
    Pepper(PepperCommand),

    /// Print a script that completes commands and options in a shell
    #[command(after_help = manual::COMPLETIONS)]
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: Shell,
    },

    /// Print a manual page: of the program, or of one command
    #[command(after_help = manual::MAN)]
    Man {
        /// The command, such as bindings set
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },

    #[command(flatten)]
    Remote(RemoteCommand),
}

/// What a running server is asked.
#[derive(Subcommand)]
pub(super) enum RemoteCommand {
    /// Which network owns which key
    #[command(subcommand, arg_required_else_help = true)]
    Bindings(BindingsCommand),

    /// Take a key from its networks; without --to or --open nobody can use it from then on
    #[command(
        group = ArgGroup::new("mode").multiple(false),
        after_help = "\
Examples:
  sentinel unbind 0a1b2c3d                     reserve it: nobody gets it until you hand it over
  sentinel unbind 0a1b2c3d --to 203.0.113.7    hand it to one address
  sentinel unbind 0a1b2c3d --to 2001:db8::/48  hand it to a network
  sentinel unbind 0a1b2c3d --open              whoever uses it next owns it

Changes: the key's networks; a ban stays. Prints the networks that were refused the key in the
last 24 hours: the owner's new one, or a thief's. Without --to it asks first, on a terminal: the
owner is locked out, or, with --open, the key goes to whoever comes first.
To take it back: sentinel undo RECORD, with the number that it prints."
    )]
    Unbind {
        #[command(flatten)]
        which: Which,
        /// Give the key to exactly this network
        #[arg(long, value_name = "CIDR", group = "mode", value_parser = network)]
        to: Option<Network>,
        /// Forget the owner: the next first use wins, a thief's too
        #[arg(long, group = "mode")]
        open: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },

    /// Refuse a key everywhere, whoever owns it, also one that was never seen
    #[command(after_help = "\
Examples:
  sentinel ban 0a1b2c3d --for 2h --reason \"leaked in a log\"
  sentinel ban 0a1b2c3d --until 2026-12-01T08:00:00Z
  sentinel ban --key-file leaked.txt
  pass show leaked-key | sentinel ban --key-file -
  sentinel ban --key-file leaked.txt --profile one-api

Changes: the key's ban; an earlier one is replaced. The binding is left as it is, and binds again
when the ban ends.
To take it back: sentinel unban, or sentinel undo RECORD, which brings an earlier ban back.")]
    Ban {
        #[command(flatten)]
        which: Which,
        /// How long, such as 30m, 2h or 7d; without it for ever
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        lasting: Option<Duration>,
        /// Until when, in RFC 3339, such as 2026-12-01T08:00:00Z or 2026-12-01T09:00:00+01:00
        #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "lasting")]
        until: Option<Timestamp>,
        /// Why, for whoever reads the audit: at most 200 characters
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },

    /// Lift a ban; the binding is left as it is
    #[command(after_help = "\
Examples:
  sentinel unban 0a1b2c3d
  sentinel unban --key-file key.txt

Changes: the key's ban is gone. A reserved key stays reserved.
To take it back: sentinel undo RECORD, with the number that it prints.")]
    Unban {
        #[command(flatten)]
        which: Which,
    },

    /// Take back the change of one audit record
    #[command(after_help = manual::UNDO)]
    Undo {
        /// The record's number, as `sentinel audit list` shows it
        #[arg(value_name = "RECORD", value_parser = record)]
        record: i64,
        /// Do not ask; needed where there is no terminal to ask on
        #[arg(long, short)]
        yes: bool,
    },

    /// Show what would be decided of the request head on standard input, and why
    #[command(after_help = "\
Examples:
  sentinel explain --peer 203.0.113.7 < request.txt
  sentinel explain --peer 203.0.113.7 --output json < request.txt | jq .verdict.reason
  sentinel explain --peer 10.0.0.2 --metadata x-client-ip=203.0.113.7 \\
    --metadata x-peer-ip=10.0.0.2 < request.txt

The head is what Envoy has when it asks: a request line, then a header a line, at most 64 KiB;
what follows an empty line is not read. Its key is judged by the server and forgotten. Exit code
0 says that there is an answer, allowed or denied. Whether the caller would be believed
(listen.caller_token_file) is not judged. Changes: nothing; no claim, no audit record, no
metric.")]
    Explain(ExplainArgs),

    /// Show the state of the server and its store
    #[command(after_help = "\
Examples:
  sentinel status
  sentinel status --output json | jq .serving

Changes: nothing. Answers also while the store does not; the counts are missing then. Exit code
0 says that the server answers, not that it serves.")]
    Status,

    /// What happened, and who did it
    #[command(subcommand, arg_required_else_help = true)]
    Audit(AuditCommand),
}

#[derive(Subcommand)]
pub(super) enum BindingsCommand {
    /// List keys, the newest first
    #[command(after_help = "\
Examples:
  sentinel bindings list --banned
  sentinel bindings list --hint 995y              the key that ends so
  sentinel bindings list --network 203.0.113.7
  sentinel bindings list --observed               what observe mode has seen, and nobody owns yet
  sentinel bindings list --output json | jq -r '.keys[].key_id'
  sentinel bindings list --limit 1000 --output csv > keys.csv

Changes: nothing. On a narrow terminal ids are shortened to what any command still takes, or
every fact has a line of its own; files and pipes always get whole lines.")]
    List(ListArgs),

    /// Show one key: its owner, its ban, its candidates, its note, who was refused it
    #[command(after_help = "\
Examples:
  sentinel bindings show 0a1b2c3d
  sentinel bindings show --key-file key.txt

Changes: nothing. Candidates are networks that used the key in observe mode; they own nothing.")]
    Show {
        #[command(flatten)]
        which: Which,
    },

    /// Give a key exactly these networks, whoever owned it before
    #[command(after_help = manual::SET, override_usage = manual::SET_USAGE)]
    Set(SetArgs),

    /// Give a key its networks before its first use
    #[command(after_help = manual::CLAIM)]
    Claim(ClaimArgs),

    /// Write a note beside a binding, or remove it
    #[command(after_help = manual::NOTE, override_usage = manual::NOTE_USAGE)]
    Note(NoteArgs),

    /// Make owners of what observe mode has seen
    #[command(after_help = manual::PROMOTE)]
    Promote(PromoteArgs),

    /// Write every key that the store knows to a file, for another store
    #[command(after_help = manual::EXPORT)]
    Export(ExportArgs),

    /// Take in the keys of such a file; nothing that is there is overwritten
    #[command(after_help = manual::IMPORT)]
    Import(ImportArgs),
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// Only bindings in this state; reserved is pinned without networks
    #[arg(long, value_parser = PossibleValuesParser::new(State::ALL.map(State::as_str).into_iter().chain(["reserved"])))]
    pub(super) state: Option<String>,
    /// Only keys whose hint has this in it, 3 to 8 characters, such as the key's last four
    #[arg(long, value_name = "TEXT", value_parser = hint)]
    pub(super) hint: Option<String>,
    /// Only keys that observe mode has seen and that have no binding
    #[arg(long, conflicts_with_all = ["state", "banned", "network"])]
    pub(super) observed: bool,
    /// Only keys with a ban in force
    #[arg(long)]
    pub(super) banned: bool,
    /// Only keys that exactly this network owns
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub(super) network: Option<Network>,
    /// At most so many, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
    pub(super) limit: u32,
    /// Skip so many
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = offset)]
    pub(super) offset: u32,
}

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// The address that Envoy's connection comes from
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(super) peer: IpAddr,
    /// What Envoy's initial_metadata sends, x-client-ip=ADDR or x-peer-ip=ADDR; for client_ip.source = "metadata"
    #[arg(long, value_name = "NAME=VALUE", value_parser = metadata)]
    pub(super) metadata: Vec<Metadata>,
    /// The route's sentinel.profile
    #[arg(long, value_name = "NAME")]
    pub(super) profile: Option<String>,
    /// The route's sentinel.missing
    #[arg(long, value_parser = ["deny", "allow"])]
    pub(super) missing: Option<String>,
    /// The route's sentinel.mode
    #[arg(long, value_parser = PossibleValuesParser::new(Mode::ALL.map(Mode::as_str)))]
    pub(super) mode: Option<String>,
}
