//! The audit as a stream: all of it up to now, or what comes from now on. In pages, so that neither takes more memory or
//! holds the store longer for a million records than for a thousand.

use std::{sync::Arc, time::Duration};

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::sleep;
use tonic::Status;

use super::{
    Operations, api,
    operations::{Failure, lost},
    response,
};
use crate::store::{AuditOrder, AuditQuery, Operators, RecordId, StoreError, Stored};

/// What the two methods answer with.
pub(super) type Pages = BoxStream<'static, Result<api::AuditPage, Status>>;

const PAGE: u32 = 1_000;

/// How often to look for new records.
const POLL: Duration = Duration::from_millis(250);

/// The records that match `query` and are there now, as they were stored.
pub(super) async fn export(operations: Arc<Operations>, query: AuditQuery) -> Result<Pages, Failure> {
    let upto = last(&*operations.store).await.map_err(lost)?;
    let pages = stream::try_unfold(Some(RecordId(0)), move |after| {
        let (operations, query) = (Arc::clone(&operations), query.clone());
        async move {
            let Some(after) = after else { return Ok(None) };
            let page = page(&*operations.store, query, after, upto).await.map_err(failed)?;
            let next = page.last().filter(|_| page.len() == PAGE as usize).map(|stored| stored.id);
            Ok((!page.is_empty()).then(|| (message(page), next)))
        }
    });
    Ok(pages.boxed())
}

/// The records that match `query` and are stored from now on, for as long as somebody listens.
pub(super) async fn tail(operations: Arc<Operations>, query: AuditQuery) -> Result<Pages, Failure> {
    let after = last(&*operations.store).await.map_err(lost)?;
    let pages = stream::try_unfold(after, move |mut after| {
        let (operations, query) = (Arc::clone(&operations), query.clone());
        async move {
            loop {
                sleep(POLL).await;
                match new(&*operations.store, &query, &mut after).await {
                    Ok(page) if page.is_empty() => {}
                    Ok(page) => return Ok(Some((message(page), after))),
                    // It is asked again soon: who watches the audit of a store in trouble wants to see the rest.
                    Err(StoreError::Unavailable(_)) => {}
                    Err(cause) => return Err(failed(cause)),
                }
            }
        }
    });
    Ok(pages.boxed())
}

/// The next page after `after`, which moves on over what does not match.
async fn new(store: &dyn Operators, query: &AuditQuery, after: &mut RecordId) -> Result<Vec<Stored>, StoreError> {
    let upto = last(store).await?;
    let found = page(store, query.clone(), *after, upto).await?;
    *after = found.last().filter(|_| found.len() == PAGE as usize).map_or(upto, |stored| stored.id);
    Ok(found)
}

async fn page(
    store: &dyn Operators,
    query: AuditQuery,
    after: RecordId,
    upto: RecordId,
) -> Result<Vec<Stored>, StoreError> {
    store.audit(AuditQuery { order: AuditOrder::Stored { after, upto }, limit: PAGE, ..query }).await
}

async fn last(store: &dyn Operators) -> Result<RecordId, StoreError> {
    let last = store.audit(AuditQuery { order: AuditOrder::LastStored, limit: 1, ..AuditQuery::ALL }).await?;
    Ok(last.first().map_or(RecordId(0), |stored| stored.id))
}

fn message(page: Vec<Stored>) -> api::AuditPage {
    api::AuditPage { records: page.into_iter().map(response::record).collect() }
}

fn failed(cause: StoreError) -> Status {
    lost(cause).into()
}
