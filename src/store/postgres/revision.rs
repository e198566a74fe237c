//! The number that every change takes, and the log of what was changed.

use tokio_postgres::Row;

use super::rows::{Step, step, time};
use crate::{
    domain::{KeyDigest, Timestamp},
    store::{
        Revision, StoreError,
        columns::{Columns, no_revision},
        rules::log::LOG_KEPT,
    },
};

/// The channel on which every commit that takes a revision says so.
pub(super) const CHANNEL: &str = "sentinel";

/// Takes as many revisions as there are digests, logs the changes, forgets what every cache has long seen, and tells
/// whoever listens at the commit. The last step of a transaction: from its first statement on every other change waits.
/// The first of the steps answers the [`revision`].
pub(super) fn advance(digests: impl IntoIterator<Item = KeyDigest>, now: Timestamp) -> Vec<Step> {
    let digests: Vec<_> = digests.into_iter().map(|digest| digest.as_bytes().to_vec()).collect();
    vec![
        take_revisions(digests.len() as i64),
        step!(
            "INSERT INTO changes (revision, digest, at)
             SELECT revision.value - cardinality($1::bytea[]) + place, digest, $2
             FROM revision, unnest($1::bytea[]) WITH ORDINALITY AS changed (digest, place)",
            digests,
            time(now)
        ),
        // Only what is older than everything kept goes, so that the log has no holes even when a clock was set back.
        step!(
            "UPDATE revision SET floor = greatest(floor,
                 (SELECT min(changes.revision) - 1 FROM changes WHERE at >= $1 AND changes.revision > revision.floor))",
            time(now.before(LOG_KEPT))
        ),
        // A few for each that comes: an archive of thousands must not be deleted in one go while others wait.
        step!(
            "DELETE FROM changes WHERE changes.revision IN
                 (SELECT old.revision FROM changes AS old WHERE old.revision <= (SELECT floor FROM revision)
                  ORDER BY old.revision LIMIT $1)",
            FORGOTTEN
        ),
        notify(),
    ]
}

/// More than an archiving takes revisions in one go, so that the log does not grow for ever.
const FORGOTTEN: i64 = 1000;

/// A revision without a changed key: no cached fact is wrong, but every replica has to look.
pub(super) fn next() -> Vec<Step> {
    vec![take_revisions(1), notify()]
}

fn take_revisions(count: i64) -> Step {
    step!("UPDATE revision SET value = value + $1 RETURNING value", count)
}

fn notify() -> Step {
    step!("SELECT pg_notify($1, (SELECT value::text FROM revision))", CHANNEL)
}

/// The answer to the first step of [`advance`] or [`next`].
pub(super) fn revision(answer: Option<&Vec<Row>>) -> Result<Revision, StoreError> {
    let row = answer.and_then(|rows| rows.first()).ok_or_else(no_revision)?;
    row.integer(0, "revision.value").map(Revision)
}
