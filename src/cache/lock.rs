//! The one way to lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nothing in the cache can panic while it holds a lock, so a poisoned lock guards sound data.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
