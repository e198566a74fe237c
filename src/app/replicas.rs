//! The connections between the replicas of a store: notifications and the shared cache.

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

/// The notifier and the cache that this process shares with other replicas.
pub(super) struct Replicas {
    pub(super) notifier: ChangeNotifier,
    pub(super) shared: Option<Shared>,
    /// Runs until the process ends.
    pub(super) background: BoxFuture<'static, Infallible>,
}

/// Connects the transports. The commit of a change sends PostgreSQL's NOTIFY, so NOTIFY is the fastest and covers every
/// writer. Redis also carries notifications, for a replica that is reconnecting to PostgreSQL.
pub(super) fn connect(
    config: &Config,
    ring: &Arc<KeyRing>,
    replica_state: &Arc<ReplicaState>,
    metrics: &StoreMetrics,
) -> Replicas {
    let mut transports: Vec<Arc<dyn ChangeTransport>> = Vec::new();
    if let Store::Postgres(options) = &config.store {
        transports.push(Arc::new(PostgresTransport::new((**options).clone())));
    }
    let (shared, redis): (_, BoxFuture<'static, Infallible>) = match &config.redis {
        Some(options) => {
            let link = Link::new(options.clone(), metrics.redis_up.clone());
            transports.push(Arc::new(RedisTransport::new(Arc::clone(&link))));
            let grace = config.settings.stale_grace;
            let (shared, writer) =
                Shared::new(Arc::clone(&link), Arc::clone(ring), Arc::clone(replica_state), grace, metrics.clone());
            (Some(shared), async move { join(link.run(), writer.run()).await.0 }.boxed())
        }
        None => (None, pending().boxed()),
    };
    let notifier = ChangeNotifier::new(transports);
    let listener = notifier.clone();
    let background = async move { join(listener.listen(), redis).await.0 };
    Replicas { notifier, shared, background: background.boxed() }
}
