//! The audit: the newest records, all of them up to now, or what comes from now on. The latter two in pages, so that
//! neither takes more memory or holds the store longer for a million records than for a thousand.

use std::{sync::Arc, time::Duration};

use async_stream::try_stream;
use tokio::time::sleep;

use super::{AsOf, Error, FieldError, KeyReference, Operation, Parts, Principal, Service, validate};
use crate::{
    domain::{
        Timestamp,
        event::{DecisionId, EventKind},
    },
    store::{AuditOrder, AuditQuery, Operators, RecordId, StoreError, StoredRecord},
};

const PAGE: u32 = 1_000;

/// How often to look for new records.
const POLL: Duration = Duration::from_millis(250);

/// Which records; without anything all. No `Debug`: it may hold a key.
#[derive(Default)]
pub(crate) struct AuditFilter {
    /// Only this kind.
    pub(crate) kind: Option<String>,
    /// Only records of this key, of which there need be no row.
    pub(crate) key: Option<KeyReference>,
    /// Only records whose last time is not before this.
    pub(crate) since_ms: Option<i64>,
    /// Only records whose last time lies within so much before now.
    pub(crate) within_ms: Option<i64>,
    /// Only records whose last time is before this.
    pub(crate) until_ms: Option<i64>,
    /// Only records whose last time lies more than so much before now.
    pub(crate) until_ago_ms: Option<i64>,
    /// Only the record with this number.
    pub(crate) record: Option<i64>,
    /// Only the record whose first decision has this id.
    pub(crate) decision_id: Option<String>,
    /// Of a list at most so many, 1 to 1000; without it 100.
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
        let value = self.store.audit(query).await.map_err(Error::lost)?;
        Ok(AsOf { now, value })
    }

    /// The records that are there now, in pages, as they were stored.
    pub(crate) async fn export_audit(
        self: &Arc<Self>,
        by: &Principal,
        filter: AuditFilter,
    ) -> Result<Parts<Vec<StoredRecord>>, Error> {
        by.authorise(Operation::Read)?;
        let query = self.audit_query(filter, Some(self.now()?))?;
        let store = Arc::clone(&self.store);
        let upto = last(&*store).await.map_err(Error::lost)?;
        Ok(Box::pin(try_stream! {
            let mut after = RecordId(0);
            loop {
                let page = page(&*store, query.clone(), after, upto).await.map_err(Error::lost)?;
                let Some(last) = page.last() else { break };
                after = last.id;
                yield page;
            }
        }))
    }

    /// The records that are stored from now on, in pages, for as long as somebody listens.
    pub(crate) async fn tail_audit(
        self: &Arc<Self>,
        by: &Principal,
        filter: AuditFilter,
    ) -> Result<Parts<Vec<StoredRecord>>, Error> {
        by.authorise(Operation::Read)?;
        let query = self.audit_query(filter, self.time())?;
        let store = Arc::clone(&self.store);
        let mut after = last(&*store).await.map_err(Error::lost)?;
        Ok(Box::pin(try_stream! {
            loop {
                sleep(POLL).await;
                match new(&*store, &query, &mut after).await {
                    Ok(page) if page.is_empty() => {}
                    Ok(page) => yield page,
                    // It is asked again soon: an operator who watches the audit of a store in trouble wants the rest.
                    Err(StoreError::Unavailable(_)) => {}
                    Err(cause) => Err(Error::lost(cause))?,
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

/// The next page after `after`, which moves on over what does not match.
async fn new(store: &dyn Operators, query: &AuditQuery, after: &mut RecordId) -> Result<Vec<StoredRecord>, StoreError> {
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
) -> Result<Vec<StoredRecord>, StoreError> {
    store.audit(AuditQuery { order: AuditOrder::Stored { after, upto }, limit: PAGE, ..query }).await
}

async fn last(store: &dyn Operators) -> Result<RecordId, StoreError> {
    let last = store.audit(AuditQuery { order: AuditOrder::LastStored, limit: 1, ..AuditQuery::ALL }).await?;
    Ok(last.first().map_or(RecordId(0), |stored| stored.id))
}
