//! Reads the audit: the newest records, all records up to now, or new records as they are stored. The latter two read
//! pages, so that memory and the time of a store query do not grow with the number of records.

use std::{sync::Arc, time::Duration};

use async_stream::try_stream;
use tokio::time::sleep;

use super::{AsOf, Error, FieldError, KeyReference, Operation, OutcomeStream, Principal, Service, validate};
use crate::{
    domain::{
        Timestamp,
        event::{DecisionId, EventKind},
    },
    store::{AuditOrder, AuditQuery, Operators, RecordId, StoreError, StoredRecord},
};

const PAGE: u32 = 1_000;

/// How often [`Service::tail_audit`] looks for new records.
const POLL: Duration = Duration::from_millis(250);

/// Which records; by default all. Not `Debug`, because it may contain a key.
#[derive(Default)]
pub(crate) struct AuditFilter {
    /// Only this kind.
    pub(crate) kind: Option<String>,
    /// Only records of this key, which need not have a row.
    pub(crate) key: Option<KeyReference>,
    /// Only records whose last time is at or after this, in milliseconds since the Unix epoch.
    pub(crate) since_ms: Option<i64>,
    /// Only records whose last time is within this duration before now.
    pub(crate) within_ms: Option<i64>,
    /// Only records whose last time is before this, in milliseconds since the Unix epoch.
    pub(crate) until_ms: Option<i64>,
    /// Only records whose last time is more than this duration before now.
    pub(crate) until_ago_ms: Option<i64>,
    /// Only the record with this number.
    pub(crate) record: Option<i64>,
    /// Only the record whose first decision has this id.
    pub(crate) decision_id: Option<String>,
    /// For a list: at most this number of records, 1 to 1000; by default 100.
    pub(crate) limit: Option<u32>,
}

impl Service {
    /// The newest records.
    pub(crate) async fn list_audit(
        &self,
        by: &Principal,
        filter: AuditFilter,
    ) -> Result<AsOf<Vec<StoredRecord>>, Error> {
        by.authorise(Operation::Read)?;
        let now = self.now()?;
        let query = self.audit_query(filter, Some(now))?;
        let value = self.store.audit(query).await.map_err(Error::read_failed)?;
        Ok(AsOf { now, value })
    }

    /// The records that are stored now, in pages, in the order in which they were stored.
    pub(crate) async fn export_audit(
        self: &Arc<Self>,
        by: &Principal,
        filter: AuditFilter,
    ) -> Result<OutcomeStream<Vec<StoredRecord>>, Error> {
        by.authorise(Operation::Read)?;
        let query = self.audit_query(filter, Some(self.now()?))?;
        let store = Arc::clone(&self.store);
        let upto = last_record(&*store).await.map_err(Error::read_failed)?;
        Ok(Box::pin(try_stream! {
            let mut after = RecordId(0);
            loop {
                let page = page(&*store, query.clone(), after, upto).await.map_err(Error::read_failed)?;
                let Some(last) = page.last() else { break };
                after = last.id;
                yield page;
            }
        }))
    }

    /// The records that are stored from now on, in pages, until the stream is dropped.
    pub(crate) async fn tail_audit(
        self: &Arc<Self>,
        by: &Principal,
        filter: AuditFilter,
    ) -> Result<OutcomeStream<Vec<StoredRecord>>, Error> {
        by.authorise(Operation::Read)?;
        let query = self.audit_query(filter, self.time())?;
        let store = Arc::clone(&self.store);
        let mut after = last_record(&*store).await.map_err(Error::read_failed)?;
        Ok(Box::pin(try_stream! {
            loop {
                sleep(POLL).await;
                match new_records(&*store, &query, &mut after).await {
                    Ok(page) if page.is_empty() => {}
                    Ok(page) => yield page,
                    // Retried at the next poll, so that a short outage does not end an operator's tail.
                    Err(StoreError::Unavailable(_)) => {}
                    Err(cause) => Err(Error::read_failed(cause))?,
                }
            }
        }))
    }

    fn audit_query(&self, filter: AuditFilter, now: Option<Timestamp>) -> Result<AuditQuery, Error> {
        let AuditFilter { kind, key, since_ms, within_ms, until_ms, until_ago_ms, record, decision_id, limit } = filter;
        let key = key.map(|key| self.target(&key)).transpose()?;
        let ago = |field, millis| match validate::span(field, millis)? {
            None => Ok(None),
            Some(span) => now.map(|now| Some(now.before(span))).ok_or(Error::NotReady),
        };
        let since = validate::moment("since_ms", since_ms)?.max(ago("within_ms", within_ms)?);
        let until = [validate::moment("until_ms", until_ms)?, ago("until_ago_ms", until_ago_ms)?];
        let kinds = EventKind::ALL.map(EventKind::as_str);
        Ok(AuditQuery {
            kind: validate::word("kind", kind.as_deref(), EventKind::from_word, &kinds)?,
            key,
            since,
            until: until.into_iter().flatten().min(),
            record: validate::record(record)?,
            decision: decision_id.as_deref().map(decision).transpose()?,
            limit: validate::limit(limit)?,
            ..AuditQuery::ALL
        })
    }
}

fn decision(text: &str) -> Result<String, FieldError> {
    text.parse::<DecisionId>().map(|id| id.to_string()).map_err(|error| FieldError::new("decision_id", error))
}

/// The next page of matching records after `after`, which advances past records that do not match.
async fn new_records(
    store: &dyn Operators,
    query: &AuditQuery,
    after: &mut RecordId,
) -> Result<Vec<StoredRecord>, StoreError> {
    let upto = last_record(store).await?;
    let found = page(store, query.clone(), *after, upto).await?;
    *after = found.last().filter(|_| found.len() == PAGE as usize).map_or(upto, |stored| stored.id);
    Ok(found)
}

async fn page(
    store: &dyn Operators,
    query: AuditQuery,
    after: RecordId,
    upto: RecordId,
) -> Result<Vec<StoredRecord>, StoreError> {
    store.audit(AuditQuery { order: AuditOrder::Stored { after, upto }, limit: PAGE, ..query }).await
}

async fn last_record(store: &dyn Operators) -> Result<RecordId, StoreError> {
    let last = store.audit(AuditQuery { order: AuditOrder::LastStored, limit: 1, ..AuditQuery::ALL }).await?;
    Ok(last.first().map_or(RecordId(0), |stored| stored.id))
}
