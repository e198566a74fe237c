//! Locks a mutex.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nothing in the cache can panic while it holds a lock, so the data behind a poisoned lock is consistent.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
