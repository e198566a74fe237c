//! Whether the store accepts writes, and whether what this process has to write is written.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

/// What keeps a store that answers from writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteObstacle {
    /// No space is left.
    DiskFull,
    /// The disk fails, or a quota is exhausted.
    DiskFault,
    /// The server is out of memory.
    OutOfMemory,
    /// The database, or its file system, is read-only.
    ReadOnly,
    /// The role has no right to write.
    NotPermitted,
    /// It passes by itself: a lock, a deadline, a lost connection.
    Passing,
}

impl WriteObstacle {
    /// Why nothing can be written; completes "the store cannot be written: ".
    pub fn cause(self) -> &'static str {
        match self {
            Self::DiskFull => "its disk is full",
            Self::DiskFault => "its disk does not accept writes",
            Self::OutOfMemory => "its server is out of memory",
            Self::ReadOnly => "it is read-only",
            Self::NotPermitted => "its role has no right to write",
            Self::Passing => "it did not accept the write in time",
        }
    }

    /// What an operator does about it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::DiskFull => "free space on the disk that holds it",
            Self::DiskFault => "repair the disk that holds it, or raise the quota",
            Self::OutOfMemory => "give its server memory",
            Self::ReadOnly => "make it writable, or point store.url to the primary",
            Self::NotPermitted => "grant the role of store.url INSERT, UPDATE and DELETE on all tables",
            Self::Passing => "try again",
        }
    }

    /// Whether it lasts until an operator acts.
    pub fn lasts(self) -> bool {
        self != Self::Passing
    }
}

/// Whether the store accepts claims, as the last one that was made or tried shows; whether this process has written its
/// times of last use; and why nothing is archived.
#[derive(Debug, Default)]
pub struct WriteState {
    obstacle: Mutex<Option<WriteObstacle>>,
    suspected: Notify,
    uses_unwritten: AtomicBool,
    archive_waits: Mutex<Option<String>>,
}

impl WriteState {
    /// What keeps the store from accepting claims and changes, if anything does.
    pub fn obstacle(&self) -> Option<WriteObstacle> {
        *locked(&self.obstacle)
    }

    /// Replaces it, and returns whether it is another one than before.
    pub fn record(&self, obstacle: Option<WriteObstacle>) -> bool {
        std::mem::replace(&mut *locked(&self.obstacle), obstacle) != obstacle
    }

    /// Some write was refused, so a claim may be refused too.
    pub fn suspect(&self) {
        self.suspected.notify_one();
    }

    /// Waits until a write was refused.
    pub async fn suspected(&self) {
        self.suspected.notified().await;
    }

    /// Records whether the last batch of times of last use could not be written.
    pub fn note_uses_unwritten(&self, unwritten: bool) {
        self.uses_unwritten.store(unwritten, Ordering::Relaxed);
    }

    /// Whether the last batch of times of last use could not be written.
    pub fn are_uses_unwritten(&self) -> bool {
        self.uses_unwritten.load(Ordering::Relaxed)
    }

    /// Why no binding is archived at present.
    pub fn archive_waits(&self) -> Option<String> {
        locked(&self.archive_waits).clone()
    }

    /// Replaces why no binding is archived, and returns whether that has changed.
    pub fn note_archive_waits(&self, why: Option<String>) -> bool {
        let mut waits = locked(&self.archive_waits);
        let changed = *waits != why;
        *waits = why;
        changed
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
