//! What an operator is told of a carrier: where, in which form, and what became of it. Never the text itself.

use strum::{Display, EnumString, VariantArray, VariantNames};

use super::{
    carrier::{Carrier, Form, Place},
    slot::Slot,
};
use crate::domain::words;

words!(What);

/// What a carrier holds; one word each, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum What {
    /// The key, or the same key once more.
    Key,
    /// A key, but not that of an earlier carrier.
    AnotherKey,
    /// What clients put there for no key.
    Placeholder,
    /// A text that is not exactly a key of the profile.
    Malformed,
    /// More than one value.
    Repeated,
    /// Not judged: `credentials.passthrough` exempts it in this request.
    Exempt,
}

/// A carrier that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// [`Carrier::label`].
    pub carrier: String,
    /// How it is written: `bare` or `bearer`, `disguised` where its name is spelled in another way, empty where no single
    /// text is there.
    pub form: &'static str,
    /// What it holds.
    pub what: What,
}

impl Seen {
    /// `None` if the carrier is absent.
    pub(super) fn of(carrier: &Carrier, slot: &Slot, what: What) -> Option<Self> {
        let form = match slot {
            Slot::Absent => return None,
            Slot::Repeated | Slot::Broken => "",
            Slot::Disguised(_) => "disguised",
            Slot::One(value) => match (carrier.place, carrier.form) {
                (Place::Header(_), Form::Bearer) => "bearer",
                (Place::Header(_), Form::BearerOrBare) if value.contains(&b' ') => "bearer",
                _ => "bare",
            },
        };
        Some(Self { carrier: carrier.label(), form, what })
    }
}
