//! The store in a PostgreSQL database, shared by many replicas.
//!
//! [`PostgresStore::new`] does not connect; [`PostgresStore::prepare`] brings the schema up to date and checks the
//! pepper, and may be retried until the server is reachable. Connections are divided into five lanes, so that no
//! operation waits for a slower kind: *decisions* for requests; *polls* for the change log, because a replica whose
//! decisions all wait must not count as cut off, and because a connection that is used every second shows a lost server
//! early; *changes* for changes by operators; *upkeep* for background jobs; *scans* for queries by operators.
//!
//! Every statement sees what is committed when it begins (READ COMMITTED), so a read under a lock is up to date. Locks
//! are taken in one order: the pepper, keys by their number, rows by their id, the revision.

mod audit;
mod change;
mod claim;
mod connect;
mod exported;
mod facts;
mod keys;
mod last_use;
mod listen;
mod listing;
mod open;
mod partitions;
mod pepper;
mod revision;
mod rows;
mod running;
mod server;
mod session;
mod store;
mod writes;

pub use connect::{Options, TlsFault, UrlFault};
pub use listen::Notifications;
pub use open::{OpenError, Unusable};
pub use store::PostgresStore;
