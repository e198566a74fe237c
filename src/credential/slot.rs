//! What is found in a carrier, as it is written.

use super::name::Written;

/// What a request has in one carrier.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot<'a> {
    Absent,
    One(&'a [u8]),
    /// Under another name, such as `x_api_key` or `x.api.key`, which not every upstream takes for the carrier's.
    Disguised(&'a [u8]),
    /// Something that is no key and that an upstream might read as one.
    Broken,
    Repeated,
}

impl<'a> Slot<'a> {
    pub(super) fn put(&mut self, value: &'a [u8], written: Written) {
        self.fill(match written {
            Written::Exactly => Self::One(value),
            Written::Disguised => Self::Disguised(value),
        });
    }

    pub(super) fn fill(&mut self, with: Self) {
        *self = if matches!(self, Self::Absent) { with } else { Self::Repeated };
    }

    /// Envoy joins repeated headers with a comma, so one line with a comma and two lines look the same.
    pub(super) fn put_line(&mut self, value: &'a [u8], written: Written) {
        match value.contains(&b',') {
            true => self.fill(Self::Repeated),
            false => self.put(value, written),
        }
    }
}

/// Without the outer spaces and tabs, which HTTP/1.1 takes off before Envoy's filters and HTTP/2 after them.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
