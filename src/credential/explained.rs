//! What `explain` shows of a carrier: its place, its form and what it holds, but never its text.

use strum::{Display, EnumString, VariantArray, VariantNames};

use super::{
    carrier::{Carrier, Form, Place},
    slot::{Slot, trim},
};
use crate::domain::words;

words!(Holds);

/// What a carrier holds, as one word for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Holds {
    /// The key, or the same key again.
    Key,
    /// A key that differs from an earlier carrier's.
    AnotherKey,
    /// What clients send when they have no key.
    Placeholder,
    /// A text that is not exactly one key of the profile.
    Malformed,
    /// More than one value.
    Repeated,
    /// Not checked: `credentials.passthrough` exempts it in this request.
    Exempt,
}

/// A carrier that is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedCarrier {
    /// [`Carrier::label`].
    pub carrier: String,
    /// `bare`, `bearer`, `scheme`, `basic` or `signature`; `disguised` if the name is a lookalike; empty if the carrier
    /// does not have exactly one value.
    pub form: &'static str,
    /// What it holds.
    pub holds: Holds,
}

impl ExplainedCarrier {
    /// A header that is not removed, although the profile does not read it.
    pub(super) fn exempt(name: &str) -> Self {
        Self { carrier: name.to_owned(), form: "", holds: Holds::Exempt }
    }

    /// `None` if the carrier is absent.
    pub(super) fn new(carrier: &Carrier, slot: &Slot, holds: Holds) -> Option<Self> {
        let form = match slot {
            Slot::Absent => return None,
            Slot::Repeated | Slot::Malformed => "",
            Slot::Lookalike(_) => "disguised",
            Slot::One(value) => match (carrier.place, carrier.form) {
                (Place::Header(_), Form::Scheme(_)) => "scheme",
                (Place::Header(_), Form::Basic(_)) => "basic",
                (Place::Header(_), Form::LiteLlm) if begins(value, b"Basic ") => "basic",
                (Place::Header(_), Form::LiteLlm) if begins(value, b"AWS4-HMAC-SHA256 ") => "signature",
                (Place::Header(_), _) if begins(value, b"Bearer ") => "bearer",
                _ => "bare",
            },
        };
        Some(Self { carrier: carrier.label(), form, holds })
    }
}

/// Whether the value begins with this scheme and a space. Any other word in front of a space is part of the text.
fn begins(value: &[u8], scheme: &[u8]) -> bool {
    trim(value).get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
}
