//! How a change reaches the decisions: the Follower asks the store what changed and invalidates the caches. A hint says
//! "look now"; a feed carries hints between processes.
//!
//! Hints may only make things sooner. Every one of them may be lost, late, repeated or made up: what changed is known
//! from the store alone, and the Follower's timer finds it.

mod follower;
mod postgres;
mod redis;

use std::{convert::Infallible, sync::Arc};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::Notify;

pub use follower::{Follower, WrongPepper};
pub use postgres::PostgresFeed;
pub use redis::RedisFeed;

use crate::store::Revision;

/// Says "look now" to the Follower of this process.
#[derive(Clone, Debug, Default)]
pub struct Hint(Arc<Notify>);

impl Hint {
    /// Wakes the Follower. Of hints that come faster than it polls, one is left.
    pub fn give(&self) {
        self.0.notify_one();
    }

    /// Waits for the next one.
    pub async fn given(&self) {
        self.0.notified().await;
    }
}

/// Carries hints from process to process, where it can.
#[async_trait]
pub trait ChangeFeed: Send + Sync + 'static {
    /// This process has made a change, which is durable and has this revision. Returns at once: the reply to an operator
    /// never waits for it. Nothing to do where the store itself tells the others, as by a NOTIFY in the change's
    /// transaction.
    fn publish(&self, revision: Revision);

    /// Does the feed's work, for ever: carries out what was published, and gives `hint` for every change that is heard of
    /// and **each time that hearing begins**, since what was told while nobody listened is lost. Cancel it by dropping it.
    async fn listen(&self, hint: &Hint) -> Infallible;
}

/// All who want to know of a change: the Follower of this process, and by the feeds those of the others.
#[derive(Clone, Default)]
pub struct Heralds {
    hint: Hint,
    feeds: Vec<Arc<dyn ChangeFeed>>,
}

impl Heralds {
    /// Beside this process's own Follower, all who hear of changes by `feeds`; there may be none.
    pub fn new(feeds: Vec<Arc<dyn ChangeFeed>>) -> Self {
        Self { hint: Hint::default(), feeds }
    }

    /// What the Follower of this process waits for.
    pub fn hint(&self) -> &Hint {
        &self.hint
    }

    /// A change is durable. Returns at once.
    pub fn tell(&self, revision: Revision) {
        self.hint.give();
        self.feeds.iter().for_each(|feed| feed.publish(revision));
    }

    /// Does the work of all feeds, for ever.
    pub async fn listen(&self) -> Infallible {
        join_all(self.feeds.iter().map(|feed| feed.listen(&self.hint))).await;
        // Without a feed there is nothing to hear.
        std::future::pending().await
    }
}
