//! The undecoded content of a carrier.

use super::name::Spelling;

/// What a request has in one carrier.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot<'a> {
    Absent,
    One(&'a [u8]),
    /// A value under another name, such as `x_api_key` or `x.api.key`, which only some upstreams take for the
    /// carrier's.
    Lookalike(&'a [u8]),
    /// Not a key, but some upstream might read it as one.
    Malformed,
    Repeated,
}

impl<'a> Slot<'a> {
    pub(super) fn put(&mut self, value: &'a [u8], spelling: Spelling) {
        self.fill(match spelling {
            Spelling::Exact => Self::One(value),
            Spelling::Lookalike => Self::Lookalike(value),
        });
    }

    pub(super) fn fill(&mut self, with: Self) {
        *self = if matches!(self, Self::Absent) { with } else { Self::Repeated };
    }

    /// Envoy joins repeated headers with a comma, so a line with a comma counts as two.
    pub(super) fn put_line(&mut self, value: &'a [u8], spelling: Spelling) {
        match value.contains(&b',') {
            true => self.fill(Self::Repeated),
            false => self.put(value, spelling),
        }
    }
}

/// Removes outer spaces and tabs, which HTTP/1.1 removes before Envoy's filters and HTTP/2 after them.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
