//! The store in one SQLite file, without a server.
//!
//! [`Database::open`] locks the file for this process and brings its schema up to date; [`Database::start`] checks the
//! pepper and starts three threads, each with its own connection. The *writer* commits many calls with one sync of the
//! disk; *lookup* serves decisions and polls; *scan* serves queries by operators, so that no listing delays a decision.

mod audit;
mod change;
mod claim;
mod error;
mod exported;
mod facts;
mod inspect;
mod keys;
mod last_use;
mod listing;
mod lock;
mod open;
mod pepper;
mod revision;
mod rows;
mod running;
mod store;
mod worker;
mod writes;

pub use error::{OpenError, Unusable};
pub use inspect::{Inspection, check_unowned};
pub use open::Database;
pub use store::SqliteStore;
