//! The PostgreSQL backend, and what only a server can do.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use key_ip_sentinel::{
    domain::{Fingerprint, Timestamp},
    store::{
        Store,
        postgres::{Options, PostgresStore},
    },
};

use crate::{fixture::*, shim};

/// A database of its own on the server that all tests share.
pub(crate) struct Database {
    url: String,
}

#[async_trait]
impl Backend for Database {
    async fn fresh() -> Self {
        Self { url: shim::database().await }
    }

    async fn open(&self) -> Arc<dyn Store> {
        let store = PostgresStore::new(&Options::parse(&self.url, 8).unwrap()).unwrap();
        store.prepare(&pepper().into()).await.unwrap();
        Arc::new(store)
    }

    async fn make_provisional(&self, key: &Fingerprint, expires_at: Timestamp) {
        let sql = "UPDATE bindings SET state = 'provisional', expires_at = $2 WHERE digest = $1";
        let expires_at = UNIX_EPOCH + Duration::from_millis(expires_at.as_millis() as u64);
        let changed = shim::client(&self.url).await.execute(sql, &[&&key.digest.as_bytes()[..], &expires_at]).await;
        assert_eq!(changed.unwrap(), 1);
    }
}
