//! Promotes observed keys: makes the observed networks their owners.
//!
//! Reads pages by key id, so that every key that is observed at the start is processed exactly once, even if keys leave
//! the list meanwhile. If the operation ends early, the keys that were promoted stay promoted, and the next call
//! continues with the others.

use std::sync::Arc;

use async_stream::try_stream;
use futures_util::{StreamExt, stream};

use super::{
    AsOf, Error, Operation, OutcomeStream, Principal, PromoteEvent, PromoteSums, Promoted, PromotedKey, Service,
};
use crate::{
    domain::{KeyFacts, KeyIdPrefix},
    store::{Action, Change, KeyFilter, KeyQuery, KeyRow, Order, Refusal, Revision, Target},
};

/// Keys in a page.
const PAGE: u32 = 512;

/// Keys promoted concurrently. They share SQLite's commits, so that not every key waits for its own disk sync, and leave
/// room in the store's queue for first uses. PostgreSQL makes two changes at a time, and a change fails that waits longer
/// than 10 s for its turn: with 64, a busy server ended the promotion.
const CONCURRENT: usize = 16;

/// The most [`PromoteEvent::LetThrough`] of a dry run.
const MAX_LET_THROUGH: usize = 1000;

/// The first page of keys to promote.
const OBSERVED: KeyQuery =
    KeyQuery { filter: KeyFilter::Observed, limit: PAGE, order: Order::ById(None), ..KeyQuery::ALL };

impl Service {
    /// Promotes all observed keys. Dropping the stream ends the operation. A dry run changes nothing.
    pub(crate) fn promote(
        self: &Arc<Self>,
        by: &Principal,
        dry_run: bool,
    ) -> Result<OutcomeStream<PromoteEvent>, Error> {
        by.authorise(if dry_run { Operation::Read } else { Operation::Change })?;
        self.now()?;
        let (service, actor) = (Arc::clone(self), by.to_string());
        Ok(Box::pin(try_stream! {
            let counts = service.store.counts().await.map_err(Error::read_failed)?;
            yield PromoteEvent::Start { observed: counts.observed };
            let (mut after, mut sums, mut latest) = (None, PromoteSums::default(), None);
            loop {
                let query = KeyQuery { order: Order::ById(after), ..OBSERVED };
                let page = service.store.list(query).await.map_err(Error::read_failed)?;
                let Some(last) = page.last() else { break };
                after = Some(last.key_id);
                let promotions =
                    page.into_iter().map(|row| promote_one(Arc::clone(&service), actor.clone(), row, dry_run));
                let mut results = stream::iter(promotions).buffer_unordered(CONCURRENT);
                while let Some(result) = results.next().await {
                    let (key, revision) = result?;
                    sums.add(key.outcome);
                    latest = revision.max(latest);
                    yield PromoteEvent::Key(key);
                }
            }
            let let_through = if dry_run { service.let_through().await? } else { Vec::new() };
            sums.let_through_cut = let_through.len() > MAX_LET_THROUGH;
            let now = service.now()?;
            for value in let_through.into_iter().take(MAX_LET_THROUGH) {
                yield PromoteEvent::LetThrough(Box::new(AsOf { now, value }));
            }
            sums.in_effect = match latest {
                Some(revision) => service.takes_effect(revision).await,
                None => true,
            };
            yield PromoteEvent::End(AsOf { now: service.now()?, value: sums });
        }))
    }

    /// The keys with an owner of which `enforce` would deny recent requests. They are not promoted, but an operator
    /// must know them before enforcing. Reads one more than are reported, to find out whether there are more.
    async fn let_through(&self) -> Result<Vec<KeyRow>, Error> {
        self.store.would_deny_keys(MAX_LET_THROUGH as u32 + 1).await.map_err(Error::read_failed)
    }
}

/// Promotes one key. The outcome is that of the facts that the change found, which may differ from `row`.
async fn promote_one(
    service: Arc<Service>,
    actor: String,
    row: KeyRow,
    dry_run: bool,
) -> Result<(PromotedKey, Option<Revision>), Error> {
    if dry_run {
        return Ok((promoted(&row, &row.facts, outcome(&row.facts)), None));
    }
    let target = Target::Id(KeyIdPrefix::from(row.key_id));
    let now = service.now()?;
    match service.write(Change::Key { target, action: Action::Promote }, actor, now).await {
        Ok(applied) => {
            let key = promoted(&row, &applied.before, outcome(&applied.before));
            Ok((PromotedKey { record: Some(applied.number), ..key }, Some(applied.revision)))
        }
        Err(Error::Refused(Refusal::NothingToPromote(_) | Refusal::NotFound)) => {
            Ok((promoted(&row, &row.facts, Promoted::Skipped), None))
        }
        Err(error) => Err(error),
    }
}

fn outcome(facts: &KeyFacts) -> Promoted {
    if facts.only_candidate().is_some() { Promoted::Bound } else { Promoted::Reserved }
}

fn promoted(row: &KeyRow, facts: &KeyFacts, outcome: Promoted) -> PromotedKey {
    let networks = facts.candidates.iter().map(|candidate| candidate.network).collect();
    PromotedKey { key_id: row.key_id, hint: row.hint.clone(), outcome, networks, record: None }
}
