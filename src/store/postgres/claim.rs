//! Claims: two round trips to the server, the second of which commits.

use super::{
    audit, facts, pepper,
    revision::{advance, revision},
    rows::Step,
    session::Session,
    writes,
};
use crate::store::{
    Claim, Claimed, StoreError,
    rules::{
        KeyIdentity,
        claim::{ClaimState, judge, takes_a_revision},
    },
};

pub(super) async fn claim(session: &mut Session, claim: &Claim) -> Result<Claimed, StoreError> {
    let (mut steps, mut claimed, advances) = plan(session, claim).await?;
    let Claimed::Won { record, reading } = &mut claimed else {
        session.commit(steps).await?;
        return Ok(claimed);
    };
    steps.push(audit::append(record)?);
    let written = steps.len();
    if advances {
        steps.extend(advance([reading.digest], claim.now));
    }
    let answers = session.commit(steps).await?;
    if let answer @ Some(_) = answers.get(written) {
        // The key cannot have changed since it was read, because it is locked.
        reading.as_of = revision(answer)?;
    }
    Ok(claimed)
}

/// A server that extends a table for a row does it before the commit, and so fails without one.
pub(super) async fn try_claim(session: &mut Session, claim: &Claim) -> Result<(), StoreError> {
    let (mut steps, ..) = plan(session, claim).await?;
    steps.push(audit::try_append(claim.now));
    session.send(steps).await?;
    session.roll_back().await;
    Ok(())
}

/// Locks the key and returns what the claim writes, its answer, and whether it takes a revision.
async fn plan(session: &mut Session, claim: &Claim) -> Result<(Vec<Step>, Claimed, bool), StoreError> {
    let mut found = pepper::adopt(session, &claim.key, claim.now).await?;
    let id = found.iter().find_map(|found| found.id).unwrap_or_else(|| claim.key.digest.new_id());
    let archived = found.iter_mut().find_map(|found| found.archived.take());
    let state = ClaimState {
        key: KeyIdentity { id, fingerprint: claim.key.clone() },
        known: facts::first(found, claim.key.digest),
        archived,
    };
    let key = state.key.clone();
    let (writes, claimed) = judge(claim, state);
    Ok((writes::steps(&key, &writes), claimed, takes_a_revision(&writes)))
}
