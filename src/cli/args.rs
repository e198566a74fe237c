//! The one table of commands and flags. Its doc comments are the manual that `--help` prints.

use std::{
    net::IpAddr,
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use clap::{ArgGroup, Args, ColorChoice, Parser, Subcommand, ValueEnum, builder::PossibleValuesParser};

use super::reference::{Which, key_id};
use crate::admin::api::Metadata;
use crate::domain::{KeyIdPrefix, Network, PepperId, State, Timestamp, addr::NetworkError, event::EventKind};

/// The first network that uses an API key owns it.
#[derive(Parser)]
#[command(
    name = "sentinel",
    version,
    color = ColorChoice::Never,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  sentinel serve                             serve with the built-in defaults
  sentinel bindings list                     which network owns which key
  sentinel unbind 0a1b2c3d --to 10.2.0.0/16  hand a key over
  sentinel ban --key-file leaked.txt         refuse a key everywhere

Exit codes: 0 done, 1 refused or not found, 2 usage or configuration, 3 server unreachable."
)]
pub(super) struct Cli {
    /// The configuration file (TOML); without one the built-in defaults hold
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "FILE",
        env = "SENTINEL_CONFIG",
        hide_env_values = true
    )]
    pub(super) config: Option<PathBuf>,

    /// The admin socket to ask, instead of the configured one
    #[arg(long, global = true, help_heading = "Global options", value_name = "unix:/PATH", value_parser = socket)]
    pub(super) admin: Option<PathBuf>,

    /// For people, or one JSON document with stable names and RFC 3339 times
    #[arg(long, global = true, help_heading = "Global options", value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Answer Envoy's authorization checks until told to stop
    #[command(after_help = "\
Examples:
  sentinel serve
  sentinel serve --config /etc/sentinel.toml
  SENTINEL_LISTEN__GRPC=unix:/run/sentinel/grpc.sock sentinel serve")]
    Serve,

    /// Read the configuration as `serve` would, list every fault, and change nothing
    #[command(after_help = "\
Examples:
  sentinel check-config --config /etc/sentinel.toml && systemctl restart sentinel")]
    CheckConfig,

    /// Say what is wrong with the set-up, and the fix: addresses, permissions, Envoy's files
    #[command(after_help = "\
Examples:
  sentinel doctor --config /etc/sentinel.toml
  sentinel doctor --config /etc/sentinel.toml --envoy /etc/envoy/envoy.yaml
  sentinel doctor --output json | jq -r '.findings[].code'

Reads the configuration as `serve` would, looks at the files and sockets that it names, asks the
running server, and holds Envoy's files against client_ip.source. Run it on the server's machine, as
the server's user. Changes nothing. Exit code 0: nothing was found; 1: something was; 2: a file is
not valid; 3: the server did not answer, and what was found without it is printed.")]
    Doctor {
        /// A file of Envoy's, YAML or JSON: bootstrap, xDS resources, or an Istio EnvoyFilter; may be given again
        #[arg(long, value_name = "FILE")]
        envoy: Vec<PathBuf>,
    },

    /// The secrets that key the digests, and how one follows another
    #[command(subcommand, arg_required_else_help = true)]
    Pepper(PepperCommand),

    #[command(flatten)]
    Remote(RemoteCommand),
}

#[derive(Subcommand)]
pub(super) enum PepperCommand {
    /// Print a fresh pepper: 64 hex digits. Nothing is stored
    #[command(after_help = "\
Examples:
  (umask 077; sentinel pepper new > pepper)
  SENTINEL_HMAC_SECRET_FILE=pepper sentinel serve

Whoever replaces the pepper of a store in use makes every key new: list the new one beside the old
one and rotate, as `sentinel pepper activate --help` shows.")]
    New,

    #[command(flatten)]
    Remote(RotationCommand),
}

/// What a running server is asked of its peppers.
#[derive(Subcommand)]
pub(super) enum RotationCommand {
    /// Show the peppers: which is active, which are listed, and what is left under each
    #[command(after_help = "\
Examples:
  sentinel pepper list
  sentinel pepper list --output json | jq '.peppers[] | select(.state != \"retired\")'")]
    List,

    /// Write new rows with another pepper from now on; a key of the old one moves when it is next used
    #[command(after_help = "\
Examples:
  sentinel pepper new > new-pepper       1. make one, and list it beside the old one in pepper.secrets
                                            of every server; restart them
  sentinel pepper activate 0a1b2c3d      2. this command
  sentinel pepper list                   3. until nothing is left under the old one
  sentinel pepper retire 4e5f6a7b        4. then its secret can go from every server

A server that does not list the new pepper stops at step 2.")]
    Activate {
        /// The pepper's id, 8 hex digits
        #[arg(value_name = "ID", value_parser = pepper_id)]
        id: PepperId,
    },

    /// Say that a pepper is not needed any more; refused while keys are under it
    #[command(after_help = "\
Examples:
  sentinel pepper retire 4e5f6a7b
  sentinel pepper retire 4e5f6a7b --forget --yes

--forget makes every key that has not been used since the activation a new one: whoever uses it next
owns it, and its ban is gone. The audit names each.")]
    Retire {
        /// The pepper's id, 8 hex digits
        #[arg(value_name = "ID", value_parser = pepper_id)]
        id: PepperId,
        /// Delete what is left under it: bindings, bans and observed keys
        #[arg(long)]
        forget: bool,
        /// Do not ask; needed with --forget where there is no terminal
        #[arg(long, requires = "forget")]
        yes: bool,
    },
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

Prints the networks that were refused the key in the last 24 hours: the owner's new one, or a thief's."
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
    },

    /// Refuse a key everywhere, whoever owns it, also one that was never seen
    #[command(after_help = "\
Examples:
  sentinel ban 0a1b2c3d --for 2h --reason \"leaked in a log\"
  sentinel ban --key-file leaked.txt
  pass show leaked-key | sentinel ban --key-file -
  sentinel ban --key-file leaked.txt --profile one-api

Replaces an earlier ban. The binding is left as it is.")]
    Ban {
        #[command(flatten)]
        which: Which,
        /// How long, such as 30m, 2h or 7d; without it for ever
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        lasting: Option<Duration>,
        /// Why, for whoever reads the audit: at most 200 characters
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },

    /// Lift a ban; the binding is left as it is
    #[command(after_help = "\
Examples:
  sentinel unban 0a1b2c3d
  sentinel unban --key-file key.txt")]
    Unban {
        #[command(flatten)]
        which: Which,
    },

    /// Show what would be decided of the request head on standard input, and why
    #[command(after_help = "\
Examples:
  sentinel explain --peer 203.0.113.7 < request.txt
  sentinel explain --peer 203.0.113.7 --output json < request.txt | jq .verdict.reason
  sentinel explain --peer 10.0.0.2 --metadata x-client-ip=203.0.113.7 \\
    --metadata x-peer-ip=10.0.0.2 < request.txt

The head is what Envoy has when it asks: a request line, then a header a line, at most 64 KiB;
what follows an empty line is not read. Its key is judged by the server and forgotten. Exit code 0
says that there is an answer, allowed or denied. Whether the caller would be believed
(listen.caller_token_file) is not judged.")]
    Explain(ExplainArgs),

    /// Show the state of the server and its store
    #[command(after_help = "\
Examples:
  sentinel status
  sentinel status --output json | jq .serving")]
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
  sentinel bindings list --network 203.0.113.7
  sentinel bindings list --output json | jq -r '.keys[].key_id'")]
    List(ListArgs),

    /// Show one key: its owner, its ban
    #[command(after_help = "\
Examples:
  sentinel bindings show 0a1b2c3d
  sentinel bindings show --key-file key.txt")]
    Show {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// Only bindings in this state
    #[arg(long, value_parser = PossibleValuesParser::new(State::ALL.map(State::as_str)))]
    pub(super) state: Option<String>,
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
}

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// List audit records, the newest first, with the command that reverses each change
    #[command(after_help = "\
Examples:
  sentinel audit list --since 24h
  sentinel audit list --kind denied --key 0a1b2c3d
  sentinel audit list --key-file key.txt --output json")]
    List(AuditArgs),

    /// Write all audit records, the oldest first, as CSV or as a JSON document a line
    #[command(after_help = "\
Examples:
  sentinel audit export > audit.csv
  sentinel audit export --since 2026-11-01 --until 2026-12-01 --kind denied > november.csv
  sentinel audit export --since 7d --format jsonl | jq -r .network | sort | uniq -c

The order is that in which the server stored them; what it stores meanwhile is not in it. In CSV, a
text that a spreadsheet would take for a formula has an apostrophe before it.")]
    Export(ExportArgs),

    /// Print audit records as they are stored, until Ctrl-C
    #[command(after_help = "\
Examples:
  sentinel audit tail --kind denied
  sentinel audit tail --key 0a1b2c3d --output json")]
    Tail(TailArgs),
}

#[derive(Args)]
pub(super) struct ExportArgs {
    /// Not before this: a time such as 2026-11-21T08:30:00Z or 2026-11-21 (UTC), or how long ago, such as 7d
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(super) since: Option<When>,
    /// Only before this, in the same forms
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(super) until: Option<When>,
    /// Only this kind
    #[arg(long, value_parser = PossibleValuesParser::new(EventKind::ALL.map(EventKind::as_str)))]
    pub(super) kind: Option<String>,
    /// Only this key: the first 8 or more hex digits of its id
    #[arg(long, value_name = "REF", value_parser = key_id)]
    pub(super) key: Option<KeyIdPrefix>,
    /// csv, unless --output says json
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(super) format: Option<Format>,
}

#[derive(Args)]
pub(super) struct TailArgs {
    /// Only this kind
    #[arg(long, value_parser = PossibleValuesParser::new(EventKind::ALL.map(EventKind::as_str)))]
    pub(super) kind: Option<String>,
    /// Only this key: the first 8 or more hex digits of its id
    #[arg(long, value_name = "REF", value_parser = key_id)]
    pub(super) key: Option<KeyIdPrefix>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// RFC 4180, with a header
    Csv,
    /// A JSON document a line, with the names of `audit list --output json`
    Jsonl,
}

/// A moment, or how long before the server's now.
#[derive(Clone, Copy)]
pub(super) enum When {
    At(Timestamp),
    Ago(Duration),
}

#[derive(Args)]
pub(super) struct AuditArgs {
    /// Only this kind
    #[arg(long, value_parser = PossibleValuesParser::new(EventKind::ALL.map(EventKind::as_str)))]
    pub(super) kind: Option<String>,
    /// Only this key: the first 8 or more hex digits of its id
    #[arg(long, value_name = "REF", value_parser = key_id)]
    pub(super) key: Option<KeyIdPrefix>,
    /// Only the key in this file, - for standard input
    #[arg(long, value_name = "PATH", conflicts_with = "key")]
    pub(super) key_file: Option<PathBuf>,
    /// How the key in the file is read: credentials.profile (default) or one of credentials.route_profiles
    #[arg(long, value_name = "NAME", requires = "key_file", conflicts_with = "key")]
    pub(super) profile: Option<String>,
    /// Only the last so long, such as 30m, 24h or 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) since: Option<Duration>,
    /// At most so many, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
    pub(super) limit: u32,
}

// None of these texts repeats the argument: it may be a key that slipped into the wrong place.

fn socket(text: &str) -> Result<PathBuf, &'static str> {
    let path = text.strip_prefix("unix:").ok_or("must begin with unix:, such as unix:/run/sentinel/admin.sock")?;
    if path.is_empty() { Err("names no path, such as unix:/run/sentinel/admin.sock") } else { Ok(path.into()) }
}

fn network(text: &str) -> Result<Network, String> {
    text.parse().map_err(|error: NetworkError| match error {
        NetworkError::Unparsable(_) => "must be an IP address or CIDR, such as 203.0.113.7 or 2001:db8::/48".to_owned(),
        NetworkError::HostBits { .. } | NetworkError::Disguised(_) => error.to_string(),
    })
}

fn address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "must be an IP address without a port, such as 203.0.113.7 or 2001:db8::7")
}

fn metadata(text: &str) -> Result<Metadata, &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be x-client-ip=ADDR or x-peer-ip=ADDR")?;
    Ok(Metadata { name: name.to_owned(), value: value.to_owned() })
}

fn pepper_id(text: &str) -> Result<PepperId, &'static str> {
    text.parse().map_err(|_| {
        "a pepper's id is 8 lower-case hex digits, as `sentinel pepper list` shows them. What was given is not repeated \
         here: if it is a pepper, it is now in your shell's history"
    })
}

fn limit(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|limit| (1..=1000).contains(limit)).ok_or("must be 1 to 1000")
}

fn offset(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "must be a number of rows")
}

fn when(text: &str) -> Result<When, &'static str> {
    if let Ok(ago) = duration(text) {
        return Ok(When::Ago(ago));
    }
    let whole = if text.contains(':') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let time = humantime::parse_rfc3339_weak(&whole).ok();
    let millis = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()?.as_millis().try_into().ok());
    millis
        .map(|millis| When::At(Timestamp::from_millis(millis)))
        .ok_or("must be a time such as 2026-11-21T08:30:00Z or 2026-11-21, or how long ago, such as 7d")
}

/// Zero would mean "for ever" to the server, and "since the beginning".
fn duration(text: &str) -> Result<Duration, &'static str> {
    let duration = humantime::parse_duration(text).map_err(|_| "must be a duration such as 30m, 2h or 7d")?;
    if duration.as_millis() == 0 { Err("must be longer than nothing") } else { Ok(duration) }
}
