use strum::{Display, EnumString, VariantArray, VariantNames};

use super::words::words;

words!(Mode);

/// Whether decisions bind: `mode`, or a route's `sentinel.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// Almost everything passes, and is told as it would be decided. Nobody becomes an owner.
    Observe,
    /// Nothing is judged.
    Off,
}
