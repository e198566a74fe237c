//! The store in a PostgreSQL database: the authority of many replicas.
//!
//! [`PostgresStore::new`] connects to nothing; [`PostgresStore::prepare`] brings the schema up to date and checks the
//! pepper, and may be tried until the server is there. Five lanes, so that nobody waits behind what takes longer:
//! *decisions* for what requests wait for, *polls* for the change log, because a replica whose decisions all wait is not
//! cut off, and because a connection that is proven every second is the last to be dead unnoticed, *changes* for what
//! operators change, *upkeep* for what nobody waits for, *scans* for operators' questions.
//!
//! Every statement sees what is committed when it begins (READ COMMITTED), so what is read under a lock is the last word.
//! Locks are taken in one order: the pepper's, those of keys by their number, rows by their id, the revision.

mod audit;
mod change;
mod claim;
mod connect;
mod exported;
mod facts;
mod keys;
mod life;
mod listen;
mod listing;
mod open;
mod owner;
mod partitions;
mod pepper;
mod revision;
mod rows;
mod server;
mod session;
mod store;

pub use connect::{Options, TlsFault, UrlFault};
pub use listen::Notifications;
pub use open::{OpenError, Unusable};
pub use store::PostgresStore;
