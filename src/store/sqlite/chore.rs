//! Who does which chore.

use rusqlite::Connection;

use super::{audit, life, moving, rekey};
use crate::store::{Chore, StoreError, Tended};

pub(super) fn tend(conn: &Connection, chore: &Chore) -> Result<Tended, StoreError> {
    let rows = match chore {
        Chore::NoteUses(uses) => {
            let before = conn.total_changes();
            life::note_uses(conn, uses)?;
            conn.total_changes() - before
        }
        Chore::Deliver { batch, records } => match audit::deliver(conn, *batch, records)? {
            true => records.len() as u64,
            false => 0,
        },
        Chore::PruneAudit { before, limit } => audit::prune(conn, *before, *limit)?,
        Chore::Archive { unused_since, limit, now } => {
            let records = life::archive(conn, *unused_since, *limit, *now)?;
            return Ok(Tended { rows: records.len() as u64, records, ..Tended::default() });
        }
        Chore::Import { keys, peppers, actor, now } => return moving::import(conn, keys, peppers, actor, *now),
        Chore::Expire { before, limit } => life::expire(conn, *before, *limit)?,
        Chore::Rekey { moves, now } => rekey::rekey(conn, moves, *now)?,
    };
    Ok(Tended { rows, ..Tended::default() })
}
