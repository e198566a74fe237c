//! The commands about peppers.

use clap::Subcommand;

use super::{manual, values::pepper_id};
use crate::domain::PepperId;

#[derive(Subcommand)]
pub(super) enum PepperCommand {
    /// Print a fresh pepper: 64 hex digits. Nothing is stored
    #[command(after_help = manual::PEPPER_NEW)]
    New,

    #[command(flatten)]
    Remote(RotationCommand),
}

/// What a running server is asked of its peppers.
#[derive(Subcommand)]
pub(super) enum RotationCommand {
    /// Show the peppers: which is active, which are listed, and what is left under each
    #[command(after_help = manual::PEPPER_LIST)]
    List,

    /// Write new rows with another pepper from now on; a key moves when it is next used
    #[command(after_help = manual::PEPPER_ACTIVATE)]
    Activate {
        /// The pepper's id, 8 hex digits
        #[arg(value_name = "ID", value_parser = pepper_id)]
        id: PepperId,
    },

    /// Say that a pepper is not needed any more; refused while keys are under it
    #[command(after_help = manual::PEPPER_RETIRE)]
    Retire {
        /// The pepper's id, 8 hex digits
        #[arg(value_name = "ID", value_parser = pepper_id)]
        id: PepperId,
        /// Delete what is left under it: bindings, bans and observed keys
        #[arg(long)]
        forget: bool,
        /// Do not ask; needed with --forget where there is no terminal to ask on
        #[arg(long, short, requires = "forget")]
        yes: bool,
    },
}
