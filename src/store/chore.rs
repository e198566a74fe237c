//! What is asked of a store beside decisions and operators' questions and changes.

use super::{BatchId, KnownPepper, Moving, Rekey, Use};
use crate::domain::{KeyId, Timestamp, event::Record};

/// A chore. First uses wait behind its transaction, so it should be a small one.
#[derive(Clone, Debug)]
pub enum Chore {
    /// Writes down when keys were last used and refused; never moves a time backwards, never makes a row.
    NoteUses(Vec<Use>),
    /// Appends audit records, all or none, and once: no row says that they were there already. That is remembered in the
    /// same transaction, and by the highest number alone, so the batches of a spool must come in the order of their
    /// numbers; one that comes after a later one is taken for delivered.
    Deliver {
        /// What is remembered.
        batch: BatchId,
        /// What is in it.
        records: Vec<Record>,
    },
    /// Deletes the oldest of the audit records whose last time is before `before`, and never the one with the highest
    /// number, so that no number is given twice. What it takes to undo a change goes with its record.
    PruneAudit {
        /// Records of this moment stay.
        before: Timestamp,
        /// The most to delete.
        limit: u32,
    },
    /// Archives learned bindings that were made before `unused_since` and neither used nor refused since, the longest
    /// unused first; each is judged again by the statement that archives it. Its ban stays, its audit record and its
    /// change are part of the same transaction. Fewer than `limit` records: there are no more.
    Archive {
        /// A binding that was used at this moment stays.
        unused_since: Timestamp,
        /// The most to archive.
        limit: u32,
        /// Now, on the store's clock.
        now: Timestamp,
    },
    /// Deletes bans and provisional bindings that ended before `before`: they bind nobody any more, so no cached fact is
    /// wrong for it.
    Expire {
        /// What ended at this moment stays.
        before: Timestamp,
        /// The most to delete, of each.
        limit: u32,
    },
    /// Re-keys rows: binding, ban, candidates and archived rows of a key get the digest that it has under the active
    /// pepper, and keep their id and all else. Each takes a revision and is logged under the digest that it leaves, which
    /// is the one that caches know. What is no longer there, is there under the new digest already or would leave the
    /// active pepper is left alone.
    Rekey {
        /// From where to where.
        moves: Vec<Rekey>,
        /// Now, on the store's clock.
        now: Timestamp,
    },
    /// Takes in keys of another store, in their order. A key that is known already, by its id or its digest, in whatever
    /// table, is left alone: nothing is overwritten, and nobody's key goes to somebody else. Each key taken takes a
    /// revision; one audit record tells of all. What they are under need not be active, but must be among `peppers`,
    /// which the store knows from then on.
    Import {
        /// The keys, with peppers whose digests this process can make.
        keys: Vec<Moving>,
        /// What the process lists.
        peppers: Vec<KnownPepper>,
        /// Who asked for it.
        actor: String,
        /// Now, on the store's clock.
        now: Timestamp,
    },
}

/// A [`Chore`] that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// How much it was: bindings touched, records appended or deleted, keys archived, moved or imported.
    pub rows: u64,
    /// The audit records written on the way, already stored: for the log. Only [`Chore::Archive`] and [`Chore::Import`]
    /// have any.
    pub records: Vec<Record>,
    /// Of an import: the keys that were known already, and otherwise than they came. Times of use make no difference.
    pub kept: Vec<KeyId>,
}
