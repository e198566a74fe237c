//! The pepper commands.

use clap::Subcommand;

use super::{manual, values::pepper_id};
use crate::domain::PepperId;

#[derive(Subcommand)]
pub(super) enum PepperCommand {
    /// Print a new random pepper: 64 hex digits
    #[command(after_help = manual::PEPPER_NEW)]
    New,

    #[command(flatten)]
    Remote(RotationCommand),
}

/// The pepper commands that call a running server.
#[derive(Subcommand)]
pub(super) enum RotationCommand {
    /// List the peppers, with their state and the number of rows under each
    #[command(after_help = manual::PEPPER_LIST)]
    List,

    /// Write new rows with another pepper; existing keys move when they are next used
    #[command(after_help = manual::PEPPER_ACTIVATE)]
    Activate {
        /// The pepper's id, 8 hex digits
        #[arg(value_name = "ID", value_parser = pepper_id)]
        id: PepperId,
    },

    /// Mark a pepper as no longer needed; rejected while keys are under it
    #[command(after_help = manual::PEPPER_RETIRE)]
    Retire {
        /// The pepper's id, 8 hex digits
        #[arg(value_name = "ID", value_parser = pepper_id)]
        id: PepperId,
        /// Delete the bindings, bans and observed keys that are still under it
        #[arg(long)]
        forget: bool,
        /// Do not ask for confirmation; required with --forget without a terminal
        #[arg(long, short, requires = "forget")]
        yes: bool,
    },
}
