//! Makes owners of what observe mode has seen.
//!
//! The walk goes by key id, so that a key which leaves the list, by this walk or by anybody else, shifts no other past
//! it; every key that was there at the start is met exactly once. Whatever ends the walk, what is done stays done, and
//! is no longer observed: the next walk goes on with the rest.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

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
const LET_THROUGH: u32 = 1000;

/// A page of the keys to promote, from the first.
const OBSERVED: KeyQuery =
    KeyQuery { filter: KeyFilter::Observed, limit: PAGE, order: Order::ById(None), ..KeyQuery::ALL };

impl Service {
    /// The walk, which ends with the stream; a dry run changes nothing.
    pub(crate) fn promote(self: &Arc<Self>, by: &Principal, dry_run: bool) -> Result<Parts<PromoteEvent>, Error> {
        by.authorise(if dry_run { Operation::Read } else { Operation::Change })?;
        self.now()?;
        let (events, stream) = mpsc::channel(AT_ONCE);
        let (service, actor) = (Arc::clone(self), by.to_string());
        let mut walk = Walk { service, actor, dry_run, events, sums: PromoteSums::default(), revision: None };
        tokio::spawn(async move {
            if let Err(Stop::Failed(error)) = walk.run().await {
                // Nobody listens any more: nobody needs to be told.
                let _ = walk.events.send(Err(error)).await;
            }
        });
        Ok(ReceiverStream::new(stream).boxed())
    }
}

struct Walk {
    service: Arc<Service>,
    actor: String,
    dry_run: bool,
    events: mpsc::Sender<Result<PromoteEvent, Error>>,
    sums: PromoteSums,
    /// The last change's.
    revision: Option<Revision>,
}

/// Why a walk is over before its end.
enum Stop {
    HungUp,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Walk {
    async fn run(&mut self) -> Result<(), Stop> {
        let store = Arc::clone(&self.service.store);
        let counts = store.counts().await.map_err(Error::lost)?;
        self.tell(PromoteEvent::Start { observed: counts.observed }).await?;
        let mut after = None;
        loop {
            let page = store.list(KeyQuery { order: Order::ById(after), ..OBSERVED }).await.map_err(Error::lost)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key_id);
            self.turn(page).await?;
        }
        self.sums.let_through_cut = self.dry_run && self.tell_let_through().await?;
        self.sums.in_effect = match self.revision {
            Some(revision) => self.service.settled(revision).await,
            None => true,
        };
        self.tell(PromoteEvent::End(AsOf { now: self.service.now()?, value: self.sums })).await
    }

    /// A key that has an owner is none to promote, but whoever is about to enforce must hear of it. Whether
    /// there are more of them.
    async fn tell_let_through(&self) -> Result<bool, Stop> {
        let mut rows = self.service.store.would_deny_keys(LET_THROUGH + 1).await.map_err(Error::lost)?;
        let cut = rows.len() > LET_THROUGH as usize;
        rows.truncate(LET_THROUGH as usize);
        let now = self.service.now()?;
        for value in rows {
            self.tell(PromoteEvent::LetThrough(Box::new(AsOf { now, value }))).await?;
        }
        Ok(cut)
    }

    async fn turn(&mut self, page: Vec<KeyRow>) -> Result<(), Stop> {
        let (service, actor, dry_run) = (&self.service, &self.actor, self.dry_run);
        let done = page.into_iter().map(|row| async move {
            if dry_run {
                return Ok((promoted(&row, &row.facts, outcome(&row.facts)), None));
            }
            one(service, actor.clone(), row).await
        });
        let mut done = Box::pin(stream::iter(done.collect::<Vec<_>>()).buffer_unordered(AT_ONCE));
        let (events, sums, latest) = (&self.events, &mut self.sums, &mut self.revision);
        while let Some(result) = done.next().await {
            let (key, revision) = result?;
            match key.outcome {
                Promoted::Bound => sums.bound += 1,
                Promoted::Reserved => sums.reserved += 1,
                Promoted::Skipped => sums.skipped += 1,
            }
            *latest = revision.max(*latest);
            events.send(Ok(PromoteEvent::Key(key))).await.map_err(|_| Stop::HungUp)?;
        }
        Ok(())
    }

    async fn tell(&self, event: PromoteEvent) -> Result<(), Stop> {
        self.events.send(Ok(event)).await.map_err(|_| Stop::HungUp)
    }
}

/// Promotes one key, and tells what became of it by what the change itself found there.
async fn one(service: &Arc<Service>, actor: String, row: KeyRow) -> Result<(PromotedKey, Option<Revision>), Stop> {
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
        Err(error) => Err(error.into()),
    }
}

fn outcome(facts: &KeyFacts) -> Promoted {
    if facts.only_candidate().is_some() { Promoted::Bound } else { Promoted::Reserved }
}

fn promoted(row: &KeyRow, facts: &KeyFacts, outcome: Promoted) -> PromotedKey {
    let networks = facts.candidates.iter().map(|candidate| candidate.network).collect();
    PromotedKey { key_id: row.key_id, hint: row.hint.clone(), outcome, networks, record: None }
}
