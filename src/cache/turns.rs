//! One claim per key at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::{Mutex as Line, OwnedMutexGuard};

use super::lock::locked;
use crate::domain::KeyDigest;

/// Claims of one key run one after the other, in the order in which they came. Otherwise many requests with one key
/// would take all connections to the store, only to wait there for each other, and no other key could be decided.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<KeyDigest, Queue>>);

#[derive(Debug, Default)]
struct Queue {
    line: Arc<Line<()>>,
    /// The holder and all that wait.
    length: usize,
}

/// The turn, which ends when this is dropped.
pub(super) struct Turn {
    _place: Place,
    _at_turn: OwnedMutexGuard<()>,
}

impl Turns {
    /// Waits for the turn. A caller that is dropped while it waits leaves the queue.
    pub(super) async fn wait(self: &Arc<Self>, key: KeyDigest) -> Turn {
        let (line, place) = self.queue_up(key);
        Turn { _at_turn: line.lock_owned().await, _place: place }
    }

    fn queue_up(self: &Arc<Self>, key: KeyDigest) -> (Arc<Line<()>>, Place) {
        let mut queues = locked(&self.0);
        let queue = queues.entry(key).or_default();
        queue.length += 1;
        (Arc::clone(&queue.line), Place { turns: Arc::clone(self), key })
    }
}

/// A place in a queue. The queue is removed with its last place.
struct Place {
    turns: Arc<Turns>,
    key: KeyDigest,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = locked(&self.turns.0);
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.length -= 1;
            if queue.length == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const A: KeyDigest = KeyDigest::from_bytes([1; 32]);
    const B: KeyDigest = KeyDigest::from_bytes([2; 32]);

    #[tokio::test]
    async fn one_key_is_one_at_a_time_and_another_key_does_not_wait() {
        let turns = Arc::new(Turns::default());
        let first = turns.wait(A).await;
        let (mut second, mut third) = (Box::pin(turns.wait(A)), Box::pin(turns.wait(A)));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert!(turns.wait(B).now_or_never().is_some());
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "it came later");
        let second = second.await;
        drop(second);
        third.await;
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_leaves_nothing_behind() {
        let turns = Arc::new(Turns::default());
        let first = turns.wait(A).await;
        let mut second = Box::pin(turns.wait(A));
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(turns.wait(A));
        assert!((&mut third).now_or_never().is_none());
        drop((second, first));
        drop(third.await);
        assert!(locked(&turns.0).is_empty());
    }
}
