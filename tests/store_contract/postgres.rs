//! The PostgreSQL backend, and what only a server can do.

use std::sync::Arc;

use async_trait::async_trait;
use key_ip_sentinel::{
    domain::{Fingerprint, Timestamp},
    store::{
        Store,
        postgres::{Options, PostgresStore},
    },
};

use crate::{
    common::{PATIENCE, postgres::Postgres},
    fixture::*,
};

/// A database of its own on the server that all tests share.
pub(crate) struct Database {
    url: String,
}

#[async_trait(?Send)]
impl Backend for Database {
    async fn fresh() -> Self {
        Self { url: Postgres::shared().await.database().await }
    }

    async fn open(&self) -> Arc<dyn Store> {
        let store = PostgresStore::new(&Options::parse(&self.url, 8).unwrap().with_patience(PATIENCE)).unwrap();
        store.prepare(&pepper().into()).await.unwrap();
        Arc::new(store)
    }

    async fn make_provisional(&self, key: &Fingerprint, expires_at: Timestamp) {
        let key = key.digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let sql = format!(
            "UPDATE bindings SET state = 'provisional', expires_at = to_timestamp({}::float8 / 1000)
             WHERE digest = '\\x{key}' RETURNING key_id",
            expires_at.as_millis()
        );
        assert_eq!(Postgres::shared().await.query(&self.url, &sql).await.len(), 1);
    }
}
