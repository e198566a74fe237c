//! What replicas of one store share beside it: hints, and a cache.

use std::{convert::Infallible, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt, join, pending};

use crate::{
    cache::Shared,
    config::{Config, Store},
    domain::KeyRing,
    net::redis_link::Link,
    replication::{ChangeNotifier, ChangeTransport, PostgresTransport, RedisTransport},
    store::ReplicaState,
    telemetry::metrics::StoreMetrics,
};

/// How this process hears of the others, and they of it.
pub(super) struct Replicas {
    pub(super) notifier: ChangeNotifier,
    pub(super) shared: Option<Shared>,
    /// Runs beside the requests, for ever.
    pub(super) work: BoxFuture<'static, Infallible>,
}

/// PostgreSQL's NOTIFY is sent by the change's own commit, so it is the soonest and comes for whatever takes revisions;
/// Redis carries hints beside it, for a replica whose listening connection is just being made anew.
pub(super) fn join_them(
    config: &Config,
    ring: &Arc<KeyRing>,
    replica_state: &Arc<ReplicaState>,
    metrics: &StoreMetrics,
) -> Replicas {
    let mut feeds: Vec<Arc<dyn ChangeTransport>> = Vec::new();
    if let Store::Postgres(options) = &config.store {
        feeds.push(Arc::new(PostgresTransport::new((**options).clone())));
    }
    let (shared, work): (_, BoxFuture<'static, Infallible>) = match &config.redis {
        Some(options) => {
            let link = Link::new(options.clone(), metrics.redis_up.clone());
            feeds.push(Arc::new(RedisTransport::new(Arc::clone(&link))));
            let grace = config.settings.stale_grace;
            let (shared, writer) =
                Shared::new(Arc::clone(&link), Arc::clone(ring), Arc::clone(replica_state), grace, metrics.clone());
            (Some(shared), async move { join(link.run(), writer.run()).await.0 }.boxed())
        }
        None => (None, pending().boxed()),
    };
    let notifier = ChangeNotifier::new(feeds);
    let listening = notifier.clone();
    let work = async move { join(listening.listen(), work).await.0 };
    Replicas { notifier, shared, work: work.boxed() }
}
