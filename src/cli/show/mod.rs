//! Output for people: aligned columns, ages instead of dates, and the next command.

mod audit;
mod change;
mod denied;
mod diagnosis;
mod explained;
mod keys;
mod moved;
mod peppers;
mod promoted;
mod status;
mod table;
mod text;
mod time;

pub(super) use audit::{record, records, undo, undo_question};
pub(super) use change::{banned, networks_set, note_set, unbanned, unbound, undone};
pub(super) use diagnosis::report;
pub(super) use explained::explained;
pub(super) use keys::{key_summary, list, one};
pub(super) use moved::{exported, imported};
pub(super) use peppers::{activated, peppers, retired};
pub(super) use promoted::{Promotion, promoted, promotion_question};
pub(super) use status::status;
pub(super) use text::state;
