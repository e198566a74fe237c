//! What replicas of one store share beside it: hints, and a cache.

use std::{convert::Infallible, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt, join, pending};

use crate::{
    changes::{ChangeFeed, Heralds, PostgresFeed, RedisFeed},
    config::{Config, Store},
    domain::KeyRing,
    metrics::StoreMetrics,
    redis_link::Link,
    store::{cached::Shared, view::View},
};

/// How this process hears of the others, and they of it.
pub(super) struct Replicas {
    pub(super) heralds: Heralds,
    pub(super) shared: Option<Shared>,
    /// Runs beside the requests, for ever.
    pub(super) work: BoxFuture<'static, Infallible>,
}

/// With Redis its channel carries the hints, so that a fleet of sidecars does not hold one more connection each to
/// PostgreSQL.
pub(super) fn join_them(config: &Config, ring: &Arc<KeyRing>, view: &Arc<View>, metrics: &StoreMetrics) -> Replicas {
    let (feeds, shared, work): (Vec<Arc<dyn ChangeFeed>>, _, BoxFuture<'static, Infallible>) =
        match (&config.redis, &config.store) {
            (Some(options), _) => {
                let link = Link::new(options.clone(), metrics.clone());
                let feed = RedisFeed::new(Arc::clone(&link));
                let grace = config.engine.stale_grace;
                let (shared, writer) =
                    Shared::new(Arc::clone(&link), Arc::clone(ring), Arc::clone(view), grace, metrics.clone());
                let work = async move { join(link.run(), writer.run()).await.0 };
                (vec![Arc::new(feed)], Some(shared), work.boxed())
            }
            (None, Store::Postgres(options)) => {
                (vec![Arc::new(PostgresFeed::new((**options).clone()))], None, pending().boxed())
            }
            (None, Store::Sqlite(_)) => (Vec::new(), None, pending().boxed()),
        };
    let heralds = Heralds::new(feeds);
    let listening = heralds.clone();
    let work = async move { join(listening.listen(), work).await.0 };
    Replicas { heralds, shared, work: work.boxed() }
}
