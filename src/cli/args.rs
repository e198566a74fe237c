//! The commands and their options. `--help` prints the doc comments.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, ColorChoice, Parser, Subcommand, ValueEnum, builder::PossibleValuesParser};
use clap_complete::Shell;

use super::{
    audit_args::AuditCommand,
    bindings_args::{ClaimArgs, ExportArgs, ImportArgs, NoteArgs, PromoteArgs, SetArgs},
    manual,
    pepper_args::PepperCommand,
    reference::KeyArgs,
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
  sentinel ban --key-file leaked.txt         deny a key for every client
  sentinel undo 17                           reverse a change, by its record number in the audit

Exit codes: 0 success, 1 rejected or not found, 2 usage or configuration error, 3 server unreachable."
)]
pub(super) struct Cli {
    /// The configuration file (TOML); without it the built-in defaults apply
    #[arg(long, global = true, value_name = "FILE", env = "SENTINEL_CONFIG", hide_env_values = true)]
    pub(super) config: Option<PathBuf>,

    /// The admin socket to call, instead of the configured one
    #[arg(long, global = true, value_name = "unix:/PATH", value_parser = socket)]
    pub(super) admin: Option<PathBuf>,

    /// Text for people, JSON with stable names and RFC 3339 times, or, for listings, CSV (RFC 4180)
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,

    /// Colour the output: denied red, allowed green, headings bold; auto: on a terminal without NO_COLOR
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
    /// Answer Envoy's authorization checks until SIGTERM or SIGINT
    #[command(after_help = "\
Examples:
  sentinel serve
  sentinel serve --config /etc/sentinel.toml
  SENTINEL_LISTEN__GRPC=unix:/run/sentinel/grpc.sock sentinel serve

Changes: creates data_dir and, if no pepper is configured or found there, a pepper and a database.
Where a pepper exists, a missing or empty store stops the start: see `sentinel migrate --init`.
SIGTERM or SIGINT starts a drain that loses no request, then the server exits. A second signal
exits at once.")]
    Serve,

    /// Check the configuration as `serve` would, and list every fault
    #[command(after_help = "\
Examples:
  sentinel check-config --config /etc/sentinel.toml && systemctl restart sentinel

Run it as the user of the server. Not tried: to connect to PostgreSQL and Redis; and, beside a
running server, whether the addresses and the database are free.
Changes: nothing, on disk or in a running server. Exit code 2 if there is a fault.")]
    CheckConfig,

    /// Bring the schema of the store up to date, as `serve` does at start, and exit
    #[command(after_help = "\
Examples:
  sentinel migrate --init --config /etc/sentinel.toml    # once, before the first start
  sentinel migrate --config /etc/sentinel.toml           # before the first replica of a new version

Changes: the schema, under a lock; replicas of the previous version keep running. With --init, a
missing or empty store is created with the first pepper of pepper.secrets. Do not run --init at
each start: a lost store would be replaced by an empty one, in which no key has an owner. A SQLite
file must not be in use. Exit code 1 if the store is missing, does not answer or was not made by
Sentinel.")]
    Migrate {
        /// Create the store if it is missing or empty; an existing one is only brought up to date
        #[arg(long)]
        init: bool,
    },

    /// Check the installation and print fixes: addresses, permissions, Envoy's files
    #[command(after_help = manual::DOCTOR)]
    Doctor {
        /// Envoy's files, YAML or JSON: bootstrap, xDS, config_dump or Istio EnvoyFilter; repeatable, read together
        #[arg(long, value_name = "FILE")]
        envoy: Vec<PathBuf>,
    },

    /// List, activate and retire peppers
    #[command(subcommand, arg_required_else_help = true, after_help = manual::PEPPER)]
    Pepper(PepperCommand),

    /// Print a shell completion script
    #[command(after_help = manual::COMPLETIONS)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },

    /// Print the manual page of the program or of one command
    #[command(after_help = manual::MAN)]
    Man {
        /// The command, such as bindings set
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },

    #[command(flatten)]
    Remote(RemoteCommand),
}

/// The commands that call a running server.
#[derive(Subcommand)]
pub(super) enum RemoteCommand {
    /// List and change keys, their owners and notes
    #[command(subcommand, arg_required_else_help = true)]
    Bindings(BindingsCommand),

    /// Take a key from its networks; without --to or --open every client is denied
    #[command(
        group = ArgGroup::new("mode").multiple(false),
        after_help = "\
Examples:
  sentinel unbind 0a1b2c3d                     reserve it: denied until you name its network
  sentinel unbind 0a1b2c3d --to 203.0.113.7    give it to one address
  sentinel unbind 0a1b2c3d --to 2001:db8::/48  give it to a network
  sentinel unbind 0a1b2c3d --open              the next network that uses it owns it

Changes: the key's networks; a ban stays. Prints the networks that were denied the key in the last
24 hours: the owner's new network, or an attacker's. Without --to it asks first, on a terminal: the
owner is locked out, or, with --open, the next network that uses the key owns it.
To reverse it: sentinel undo RECORD, with the printed record number."
    )]
    Unbind {
        #[command(flatten)]
        key: KeyArgs,
        /// Give the key to exactly this network
        #[arg(long, value_name = "CIDR", group = "mode", value_parser = network)]
        to: Option<Network>,
        /// Remove the owner: the next first use wins, an attacker's too
        #[arg(long, group = "mode")]
        open: bool,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },

    /// Deny a key for every client, its owner included; the key need not have been seen
    #[command(after_help = "\
Examples:
  sentinel ban 0a1b2c3d --for 2h --reason \"leaked in a log\"
  sentinel ban 0a1b2c3d --until 2099-12-01T08:00:00Z
  sentinel ban --key-file leaked.txt
  pass show leaked-key | sentinel ban --key-file -
  sentinel ban --key-file leaked.txt --profile one-api

Changes: the key's ban; an earlier ban is replaced. The binding stays, and applies again when the
ban ends.
To reverse it: sentinel unban, or sentinel undo RECORD, which restores an earlier ban.")]
    Ban {
        #[command(flatten)]
        key: KeyArgs,
        /// How long the ban lasts, such as 30m, 2h or 7d; default: indefinitely
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        lasting: Option<Duration>,
        /// When the ban ends, in RFC 3339, such as 2026-12-01T08:00:00Z or 2026-12-01T09:00:00+01:00
        #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "lasting")]
        until: Option<Timestamp>,
        /// The reason, shown in the audit: at most 200 characters
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },

    /// Remove a ban; the binding stays
    #[command(after_help = "\
Examples:
  sentinel unban 0a1b2c3d
  sentinel unban --key-file key.txt

Changes: removes the key's ban. A reserved key stays reserved.
To reverse it: sentinel undo RECORD, with the printed record number.")]
    Unban {
        #[command(flatten)]
        key: KeyArgs,
    },

    /// Reverse the change of one audit record
    #[command(after_help = manual::UNDO)]
    Undo {
        /// The record number, as `sentinel audit list` shows it
        #[arg(value_name = "RECORD", value_parser = record)]
        record: i64,
        /// Do not ask for confirmation; required without a terminal
        #[arg(long, short)]
        yes: bool,
    },

    /// Show how the request head on standard input would be decided, and why
    #[command(after_help = "\
Examples:
  sentinel explain --peer 203.0.113.7 < request.txt
  sentinel explain --peer 203.0.113.7 --output json < request.txt | jq .verdict.reason
  sentinel explain --peer 10.0.0.2 --metadata x-client-ip=203.0.113.7 \\
    --metadata x-peer-ip=10.0.0.2 < request.txt

The head is the request as Envoy sees it: a request line, then one header per line, at most
64 KiB; input after an empty line is ignored. The server does not keep the key. Exit code 0 means
that there is an answer, allowed or denied. The caller's token (listen.caller_token_file) is not
checked. Changes: nothing; no claim, no audit record, no metric.")]
    Explain(ExplainArgs),

    /// Show the state of the server and of its store
    #[command(after_help = "\
Examples:
  sentinel status
  sentinel status --output json | jq .serving

Changes: nothing. Works while the store is unavailable, without the counts. Exit code 0 means that
the server answers, not that it serves.")]
    Status,

    /// Read the audit: first uses, denials and operators' changes
    #[command(subcommand, arg_required_else_help = true)]
    Audit(AuditCommand),
}

#[derive(Subcommand)]
pub(super) enum BindingsCommand {
    /// List keys, the newest first
    #[command(after_help = "\
Examples:
  sentinel bindings list --banned
  sentinel bindings list --hint 995y              keys that end in 995y
  sentinel bindings list --network 203.0.113.7
  sentinel bindings list --observed               keys without an owner that observe mode has seen
  sentinel bindings list --output json | jq -r '.keys[].key_id'
  sentinel bindings list --limit 1000 --output csv > keys.csv

Changes: nothing. A narrow terminal gets short ids, which every command accepts, or one value per
line; files and pipes always get whole lines.")]
    List(ListArgs),

    /// Show one key: its owner, ban, candidates and note, and the networks that were denied
    #[command(after_help = "\
Examples:
  sentinel bindings show 0a1b2c3d
  sentinel bindings show --key-file key.txt

Changes: nothing. Candidates are networks that used the key in observe mode; they own nothing.")]
    Show {
        #[command(flatten)]
        key: KeyArgs,
    },

    /// Set the networks that own a key, and replace its owner
    #[command(after_help = manual::SET, override_usage = manual::SET_USAGE)]
    Set(SetArgs),

    /// Give a key its networks before its first use
    #[command(after_help = manual::CLAIM)]
    Claim(ClaimArgs),

    /// Write or remove the note of a binding
    #[command(after_help = manual::NOTE, override_usage = manual::NOTE_USAGE)]
    Note(NoteArgs),

    /// Turn the networks that observe mode has seen into owners
    #[command(after_help = manual::PROMOTE)]
    Promote(PromoteArgs),

    /// Write every key of the store to a file, for another store
    #[command(after_help = manual::EXPORT)]
    Export(ExportArgs),

    /// Add the keys of an exported file; existing keys are not overwritten
    #[command(after_help = manual::IMPORT)]
    Import(ImportArgs),
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// Only bindings in this state; reserved is pinned without networks
    #[arg(long, value_parser = PossibleValuesParser::new(State::ALL.map(State::as_str).into_iter().chain(["reserved"])))]
    pub(super) state: Option<String>,
    /// Only keys whose hint contains this, case-sensitive, 3 to 8 characters, such as the key's last four
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
    /// Print at most N keys (1 to 1000)
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
    pub(super) limit: u32,
    /// Skip the first N keys
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = offset)]
    pub(super) offset: u32,
}

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// The address that Envoy's connection comes from
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(super) peer: IpAddr,
    /// Envoy's initial_metadata, x-client-ip=ADDR or x-peer-ip=ADDR; for client_ip.source = "metadata"
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
