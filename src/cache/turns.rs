//! Who of this process claims a key next.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::{Mutex as Line, OwnedMutexGuard};

use super::lock::locked;
use crate::domain::KeyDigest;

/// The claims of one key take turns, in the order in which they came: a crowd with one key would else hold every
/// connection to the store, only to wait there for each other, and nobody else could decide.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<KeyDigest, Queue>>);

#[derive(Debug, Default)]
struct Queue {
    line: Arc<Line<()>>,
    /// Who is at turn and who waits.
    length: usize,
}

/// The turn, until it is dropped.
pub(super) struct Turn {
    _place: Place,
    _at_turn: OwnedMutexGuard<()>,
}

impl Turns {
    /// Waits for the turn. Whoever gives up waiting leaves the queue.
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

/// A place in a queue, which goes with its last one.
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
    async fn whoever_gives_up_leaves_nothing_behind() {
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
