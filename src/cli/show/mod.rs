//! Answers for people: aligned columns, ages instead of dates, and what to do next.

mod audit;
mod change;
mod diagnosis;
mod explained;
mod keys;
mod moved;
mod peppers;
mod promoted;
mod refused;
mod status;
mod table;
mod text;
mod time;

pub(super) use audit::{record, records, to_undo, undo};
pub(super) use change::{banned, done, given, unbanned, unbound, undone};
pub(super) use diagnosis::report;
pub(super) use explained::explained;
pub(super) use keys::{list, one, subject};
pub(super) use moved::{exported, imported};
pub(super) use peppers::{activated, peppers, retired};
pub(super) use promoted::{Walked, plan, promoted};
pub(super) use status::status;
pub(super) use text::state;
