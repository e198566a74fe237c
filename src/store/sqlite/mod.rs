//! The store in one SQLite file: nothing to install.
//!
//! [`Database::open`] takes the file for this process and brings its schema up to date; [`Database::start`] checks the
//! pepper and starts three threads, each with its own connection. The *writer* commits many calls with one sync of the
//! disk; *lookup* answers what decisions wait for; *scan* answers operators, so that no listing delays a decision.

mod audit;
mod change;
mod claim;
mod error;
mod exported;
mod facts;
mod life;
mod listing;
mod lock;
mod names;
mod open;
mod owner;
mod pepper;
mod revision;
mod rows;
mod store;
mod worker;

pub use error::{OpenError, Unusable};
pub use open::Database;
pub use store::SqliteStore;
