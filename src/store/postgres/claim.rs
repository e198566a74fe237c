//! Claims: two round trips to the server, the second of which commits.

use super::{
    audit, facts, pepper,
    revision::{advance, revision},
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
    let mut found = pepper::adopt(session, &claim.key, claim.now).await?;
    let id = found.iter().find_map(|found| found.id).unwrap_or_else(|| claim.key.digest.new_id());
    let archived = found.iter_mut().find_map(|found| found.archived.take());
    let state = ClaimState {
        key: KeyIdentity { id, fingerprint: claim.key.clone() },
        known: facts::first(found, claim.key.digest),
        archived,
    };
    let key = state.key.clone();
    let (writes, mut claimed) = judge(claim, state);
    let mut steps = writes::steps(&key, &writes);
    let Claimed::Won { record, reading } = &mut claimed else {
        session.commit(steps).await?;
        return Ok(claimed);
    };
    steps.push(audit::append(record)?);
    let written = steps.len();
    if takes_a_revision(&writes) {
        steps.extend(advance([reading.digest], claim.now));
    }
    let answers = session.commit(steps).await?;
    if let answer @ Some(_) = answers.get(written) {
        // The key cannot have changed since it was read, because it is locked.
        reading.as_of = revision(answer)?;
    }
    Ok(claimed)
}
