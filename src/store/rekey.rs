//! The queue of keys that were found under an older pepper and are re-keyed to the active one: in batches, never on the
//! path of a request.

use std::{collections::HashMap, time::Duration};

use super::Rekey;
use crate::domain::KeyDigest;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

/// How long a batch is collected.
const EVERY: Duration = Duration::from_secs(5);

/// The most keys of a batch: claims wait for its transaction.
const BATCH: usize = 500;

/// The most keys that wait. A key that finds no room is queued again when it is next used.
const QUEUE: usize = 4 * BATCH;

/// The sender of keys to re-key.
#[derive(Clone, Debug)]
pub struct Queue(mpsc::Sender<Rekey>);

/// The receiver of a [`Queue`].
#[derive(Debug)]
pub struct Batches(mpsc::Receiver<Rekey>);

impl Queue {
    /// Creates a queue and its receiver.
    pub fn new() -> (Self, Batches) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), Batches(receiver))
    }

    /// Queues a key. Never waits; drops the key if the queue is full.
    pub fn put(&self, key: Rekey) {
        let _ = self.0.try_send(key);
    }

    /// Whether the queue has room. The caller need not compute the digest of a key that would be dropped.
    pub fn has_room(&self) -> bool {
        self.0.capacity() > 0
    }
}

impl Batches {
    /// Collects a batch, with one entry per key, however often it was used.
    pub async fn gather(&mut self) -> Vec<Rekey> {
        let mut batch: HashMap<KeyDigest, Rekey> = HashMap::new();
        let mut end = None;
        loop {
            let next = match end {
                None => Ok(self.0.recv().await),
                Some(end) => timeout_at(end, self.0.recv()).await,
            };
            match next {
                Ok(Some(key)) => batch.insert(key.from, key),
                // The senders are gone; the task of this future ends with the process.
                Ok(None) if batch.is_empty() => std::future::pending().await,
                Ok(None) | Err(_) => return batch.into_values().collect(),
            };
            let end = *end.get_or_insert_with(|| Instant::now() + EVERY);
            if batch.len() >= BATCH || Instant::now() >= end {
                return batch.into_values().collect();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ApiKey, KeyHasher, Pepper};

    fn key(number: usize) -> Rekey {
        let hasher = KeyHasher::new(Pepper::new(&[7; 32]).unwrap(), "default", false);
        let to = hasher.fingerprint(&ApiKey::new(number.to_string()));
        Rekey { from: to.digest, to }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_has_a_key_once_and_is_full_or_five_seconds_old() {
        let (queue, mut batches) = Queue::new();
        let began = Instant::now();
        (0..10).for_each(|number| queue.put(key(number % 2)));
        assert_eq!((batches.gather().await.len(), began.elapsed()), (2, EVERY));
        (0..QUEUE + 7).for_each(|number| queue.put(key(number)));
        assert!(!queue.has_room());
        assert_eq!((batches.gather().await.len(), began.elapsed()), (BATCH, EVERY), "full at once");
    }
}
