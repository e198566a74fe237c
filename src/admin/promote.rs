//! Makes owners of what observe mode has seen.
//!
//! The walk goes by key id, so that a key which leaves the list, by this walk or by anybody else, shifts no other past
//! it; every key that was there at the start is met exactly once. Whatever ends the walk, what is done stays done, and
//! is no longer observed: the next walk goes on with the rest.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{
    Operations, api,
    operations::{Failure, lost},
    response,
};
use crate::{
    domain::{KeyFacts, KeyIdPrefix, Network},
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

const BOUND: &str = "bound";
const RESERVED: &str = "reserved";
const SKIPPED: &str = "skipped";

/// The walk, as a stream that ends it when it is dropped.
pub(super) fn promote(
    operations: &Arc<Operations>,
    actor: String,
    dry_run: bool,
) -> Result<ReceiverStream<Result<api::PromoteResponse, Status>>, Failure> {
    operations.now()?;
    let (events, stream) = mpsc::channel(AT_ONCE);
    let operations = Arc::clone(operations);
    let mut walk = Walk { operations, actor, dry_run, events, end: api::PromoteEnd::default(), revision: None };
    tokio::spawn(async move {
        if let Err(Stop::Failed(failure)) = walk.run().await {
            // Nobody listens any more: nobody needs to be told.
            let _ = walk.events.send(Err(failure.into())).await;
        }
    });
    Ok(ReceiverStream::new(stream))
}

struct Walk {
    operations: Arc<Operations>,
    actor: String,
    dry_run: bool,
    events: mpsc::Sender<Result<api::PromoteResponse, Status>>,
    end: api::PromoteEnd,
    /// The last change's.
    revision: Option<Revision>,
}

/// Why a walk is over before its end.
enum Stop {
    HungUp,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Walk {
    async fn run(&mut self) -> Result<(), Stop> {
        let store = Arc::clone(&self.operations.store);
        let counts = store.counts().await.map_err(lost)?;
        self.tell(api::promote_response::Event::Start(api::PromoteStart { observed: counts.observed })).await?;
        let mut after = None;
        loop {
            let page = store.list(KeyQuery { order: Order::ById(after), ..OBSERVED }).await.map_err(lost)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key_id);
            self.turn(page).await?;
        }
        if self.dry_run {
            self.tell_let_through().await?;
        }
        self.end.in_effect = match self.revision {
            Some(revision) => self.operations.settled(revision).await,
            None => true,
        };
        self.end.now_ms = self.operations.now()?.as_millis();
        self.tell(api::promote_response::Event::End(self.end)).await
    }

    /// A key that has an owner is none to promote, but whoever is about to enforce must hear of it.
    async fn tell_let_through(&mut self) -> Result<(), Stop> {
        let mut rows = self.operations.store.would_deny_keys(LET_THROUGH + 1).await.map_err(lost)?;
        self.end.let_through_cut = rows.len() > LET_THROUGH as usize;
        rows.truncate(LET_THROUGH as usize);
        let now = self.operations.now()?;
        for row in rows {
            let refused = row.refused.iter().map(response::refused).collect();
            let key = api::LetThroughKey { key: Some(response::key(&row, now)), refused };
            self.tell(api::promote_response::Event::LetThrough(Box::new(key))).await?;
        }
        Ok(())
    }

    async fn turn(&mut self, page: Vec<KeyRow>) -> Result<(), Stop> {
        let (operations, actor, dry_run) = (&self.operations, &self.actor, self.dry_run);
        let done = page.into_iter().map(|row| async move {
            if dry_run {
                return Ok((told(&row, &row.facts, outcome(&row.facts)), None));
            }
            one(operations, actor.clone(), row).await
        });
        let mut done = Box::pin(stream::iter(done.collect::<Vec<_>>()).buffer_unordered(AT_ONCE));
        let (events, end, latest) = (&self.events, &mut self.end, &mut self.revision);
        while let Some(result) = done.next().await {
            let (key, revision) = result?;
            match key.outcome.as_str() {
                BOUND => end.bound += 1,
                RESERVED => end.reserved += 1,
                _ => end.skipped += 1,
            }
            *latest = revision.max(*latest);
            let event = Some(api::promote_response::Event::Key(key));
            events.send(Ok(api::PromoteResponse { event })).await.map_err(|_| Stop::HungUp)?;
        }
        Ok(())
    }

    async fn tell(&self, event: api::promote_response::Event) -> Result<(), Stop> {
        let event = Some(event);
        self.events.send(Ok(api::PromoteResponse { event })).await.map_err(|_| Stop::HungUp)
    }
}

/// Promotes one key, and tells what became of it by what the change itself found there.
async fn one(
    operations: &Arc<Operations>,
    actor: String,
    row: KeyRow,
) -> Result<(api::PromotedKey, Option<Revision>), Stop> {
    let target = Target::Id(KeyIdPrefix::from(row.key_id));
    let now = operations.now()?;
    match operations.write(Change::Key { target, action: Action::Promote }, actor, now).await {
        Ok(applied) => {
            let key = told(&row, &applied.before, outcome(&applied.before));
            Ok((api::PromotedKey { record: applied.number.0, ..key }, Some(applied.revision)))
        }
        Err(Failure::Refused(Refusal::NothingToPromote(_) | Refusal::NotFound)) => {
            Ok((told(&row, &row.facts, SKIPPED), None))
        }
        Err(failure) => Err(failure.into()),
    }
}

fn outcome(facts: &KeyFacts) -> &'static str {
    if facts.only_candidate().is_some() { BOUND } else { RESERVED }
}

fn told(row: &KeyRow, facts: &KeyFacts, outcome: &str) -> api::PromotedKey {
    let networks = facts.candidates.iter().map(|candidate| candidate.network);
    api::PromotedKey {
        key_id: row.key_id.to_string(),
        hint: row.hint.as_ref().map(|hint| hint.as_str().to_owned()).unwrap_or_default(),
        outcome: outcome.to_owned(),
        networks: networks.map(|network: Network| network.to_string()).collect(),
        record: 0,
    }
}
