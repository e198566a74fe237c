//! Makes owners of what observe mode has seen.
//!
//! The walk goes by key id, so that a key which leaves the list, by this walk or by anybody else, shifts no other past
//! it; every key that was there at the start is met exactly once. Whatever ends the walk, what is done stays done, and
//! is no longer observed: the next walk goes on with the rest.

use std::sync::Arc;

use async_stream::try_stream;
use futures_util::{StreamExt, stream};

use super::{AsOf, Error, Operation, Parts, Principal, PromoteEvent, PromoteSums, Promoted, PromotedKey, Service};
use crate::{
    domain::{KeyFacts, KeyIdPrefix},
    store::{Action, Change, KeyFilter, KeyQuery, KeyRow, Order, Refusal, Revision, Target},
};

/// Keys read at once.
const PAGE: u32 = 512;

/// Keys promoted at once. They share the store's commits, so that a walk waits for a few syncs of the disk and not for
/// one a key, and leaves room in its queue for first uses.
const AT_ONCE: usize = 64;

/// The most keys that a dry run tells of those that have an owner.
const LET_THROUGH: usize = 1000;

/// A page of the keys to promote, from the first.
const OBSERVED: KeyQuery =
    KeyQuery { filter: KeyFilter::Observed, limit: PAGE, order: Order::ById(None), ..KeyQuery::ALL };

impl Service {
    /// The walk, which ends with the stream; a dry run changes nothing.
    pub(crate) fn promote(self: &Arc<Self>, by: &Principal, dry_run: bool) -> Result<Parts<PromoteEvent>, Error> {
        by.authorise(if dry_run { Operation::Read } else { Operation::Change })?;
        self.now()?;
        let (service, actor) = (Arc::clone(self), by.to_string());
        Ok(Box::pin(try_stream! {
            let counts = service.store.counts().await.map_err(Error::lost)?;
            yield PromoteEvent::Start { observed: counts.observed };
            let (mut after, mut sums, mut latest) = (None, PromoteSums::default(), None);
            loop {
                let query = KeyQuery { order: Order::ById(after), ..OBSERVED };
                let page = service.store.list(query).await.map_err(Error::lost)?;
                let Some(last) = page.last() else { break };
                after = Some(last.key_id);
                let turns = page.into_iter().map(|row| turn(Arc::clone(&service), actor.clone(), row, dry_run));
                let mut done = stream::iter(turns).buffer_unordered(AT_ONCE);
                while let Some(result) = done.next().await {
                    let (key, revision) = result?;
                    sums.add(key.outcome);
                    latest = revision.max(latest);
                    yield PromoteEvent::Key(key);
                }
            }
            let let_through = if dry_run { service.let_through().await? } else { Vec::new() };
            sums.let_through_cut = let_through.len() > LET_THROUGH;
            let now = service.now()?;
            for value in let_through.into_iter().take(LET_THROUGH) {
                yield PromoteEvent::LetThrough(Box::new(AsOf { now, value }));
            }
            sums.in_effect = match latest {
                Some(revision) => service.settled(revision).await,
                None => true,
            };
            yield PromoteEvent::End(AsOf { now: service.now()?, value: sums });
        }))
    }

    /// A key that has an owner is none to promote, but an operator who is about to enforce must hear of it. One more than
    /// are reported, if there are more.
    async fn let_through(&self) -> Result<Vec<KeyRow>, Error> {
        self.store.would_deny_keys(LET_THROUGH as u32 + 1).await.map_err(Error::lost)
    }
}

/// Promotes one key, and returns what became of it by what the change itself found there.
async fn turn(
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
