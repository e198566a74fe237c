use strum::{Display, EnumString, VariantArray, VariantNames};

use super::words::words;

words!(Mode);

/// Whether decisions are enforced: `mode`, or a route's `sentinel.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Mode {
    /// Denials are enforced.
    #[default]
    Enforce,
    /// Decisions are reported but not enforced, except those of [`super::Reason::binds_in_observe`]. A network never
    /// becomes an owner.
    Observe,
    /// Every request is allowed without a decision.
    Off,
}
