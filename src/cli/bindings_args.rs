//! The arguments of the commands that change bindings.

use std::path::PathBuf;

use clap::Args;

use super::{
    failure::Failure,
    reference::{KeyArgs, usage},
    values::network,
};
use crate::{admin::api::KeyReference, domain::Network};

#[derive(Args)]
pub(super) struct SetArgs {
    /// The first 8 or more hex digits of the key's id, unless --key-file names it; then its networks
    #[arg(value_name = "REF|CIDR")]
    words: Vec<String>,
    /// A file with the key itself, which need not have been seen; - for standard input
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
    /// How the key in the file is read: credentials.profile (default) or one of credentials.route_profiles
    #[arg(long, value_name = "NAME", requires = "key_file")]
    profile: Option<String>,
    /// No networks: every client is denied until an operator names one
    #[arg(long)]
    reserve: bool,
    /// Do not ask for confirmation; required for --reserve without a terminal
    #[arg(long, short)]
    pub(super) yes: bool,
}

impl SetArgs {
    /// The key, and its networks.
    pub(super) fn resolve(self) -> Result<(KeyReference, Vec<Network>), Failure> {
        let (key, words) = KeyArgs::first_of(self.words, self.key_file, self.profile)?;
        let networks = words.iter().map(|text| network(text).map_err(|why| usage("<CIDR>...", &why)));
        let networks: Vec<Network> = networks.collect::<Result<_, _>>()?;
        match (networks.is_empty(), self.reserve) {
            (true, false) => Err(usage("<CIDR>...", "name at least one network, or --reserve the key")),
            (false, true) => Err(usage("--reserve", "a reserved key has no networks; leave one of them out")),
            _ => Ok((key.resolve()?, networks)),
        }
    }
}

#[derive(Args)]
pub(super) struct ClaimArgs {
    /// The networks that will own it
    #[arg(value_name = "CIDR", required = true, value_parser = network)]
    pub(super) networks: Vec<Network>,
    /// A file with the key itself, - for standard input
    #[arg(long, value_name = "PATH", required = true)]
    pub(super) key_file: PathBuf,
    /// How the key in the file is read: credentials.profile (default) or one of credentials.route_profiles
    #[arg(long, value_name = "NAME")]
    pub(super) profile: Option<String>,
}

#[derive(Args)]
pub(super) struct NoteArgs {
    /// The first 8 or more hex digits of the key's id, unless --key-file names it; then the note
    #[arg(value_name = "REF|TEXT")]
    words: Vec<String>,
    /// A file with the key itself, - for standard input
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
    /// How the key in the file is read: credentials.profile (default) or one of credentials.route_profiles
    #[arg(long, value_name = "NAME", requires = "key_file")]
    profile: Option<String>,
    /// Remove the note
    #[arg(long)]
    remove: bool,
}

impl NoteArgs {
    /// The key, and its note; `None` removes it.
    pub(super) fn resolve(self) -> Result<(KeyReference, Option<String>), Failure> {
        let (key, mut words) = KeyArgs::first_of(self.words, self.key_file, self.profile)?;
        let text = words.pop();
        match (words.is_empty(), text.as_deref(), self.remove) {
            (false, ..) => Err(usage("<TEXT>", "is more than one argument; put quotes around it")),
            (_, None, false) => Err(usage("<TEXT>", "is missing; give the note, or --remove")),
            (_, Some(""), false) => Err(usage("<TEXT>", "is empty; --remove removes the note")),
            (_, Some(_), true) => Err(usage("--remove", "a text is given as well; leave one of them out")),
            _ => Ok((key.resolve()?, text)),
        }
    }
}

#[derive(Args)]
pub(super) struct PromoteArgs {
    /// Only list what would change for each key, and which owned keys would be denied
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask for confirmation; required without a terminal
    #[arg(long, short)]
    pub(super) yes: bool,
}

#[derive(Args)]
pub(super) struct ExportArgs {
    /// The file to write, with mode 0600; it appears only when complete; - for standard output
    #[arg(value_name = "FILE", default_value = "-")]
    pub(super) file: PathBuf,
}

#[derive(Args)]
pub(super) struct ImportArgs {
    /// The file to read, - for standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
}
