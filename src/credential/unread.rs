//! The headers that an allow removes: those that exist only to carry credentials and that the profile does not read.

use std::ops::Deref;

use super::{Carrier, Place, same_name};

/// The headers that exist only to carry credentials, by their exact names. A profile reads or removes each of them.
pub const CREDENTIAL_HEADERS: [&str; 9] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "ocp-apim-subscription-key",
    "x-goog-api-key",
    "x-litellm-api-key",
    "mj-api-secret",
    // LiteLLM reads it with underscores.
    "litellm_user_api_key",
];

/// The [`CREDENTIAL_HEADERS`] that are not carriers. Computed from the carriers, so that a profile cannot omit one.
#[derive(Clone, Copy, Debug)]
pub struct Unread {
    names: [&'static str; CREDENTIAL_HEADERS.len()],
    count: usize,
}

impl Unread {
    /// The headers that `carriers` leave unread.
    pub(super) const fn without(carriers: &[Carrier]) -> Self {
        let mut unread = Self { names: [""; CREDENTIAL_HEADERS.len()], count: 0 };
        let mut at = 0;
        while at < CREDENTIAL_HEADERS.len() {
            if !reads(carriers, CREDENTIAL_HEADERS[at]) {
                unread.names[unread.count] = CREDENTIAL_HEADERS[at];
                unread.count += 1;
            }
            at += 1;
        }
        unread
    }
}

const fn reads(carriers: &[Carrier], header: &str) -> bool {
    let mut at = 0;
    while at < carriers.len() {
        if let Place::Header(name) = carriers[at].place
            && same_name(name, header)
        {
            return true;
        }
        at += 1;
    }
    false
}

impl Deref for Unread {
    type Target = [&'static str];

    fn deref(&self) -> &Self::Target {
        self.names.get(..self.count).unwrap_or_default()
    }
}
