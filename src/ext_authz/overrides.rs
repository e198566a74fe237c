//! A route's overrides: the `context_extensions` whose names begin with `sentinel.`.

use crate::{
    credential::{Credentials, Profile},
    domain::{Missing, Mode},
};

/// A route's overrides.
pub(super) struct Overrides<'a> {
    /// `sentinel.profile`, or the configured one.
    pub(super) profile: &'a Profile,
    /// `sentinel.missing`.
    pub(super) missing: Option<Missing>,
    /// `sentinel.mode`.
    pub(super) mode: Option<Mode>,
}

/// The prefix of all overrides. An unknown name with it may be an override of a later version, so the check is denied.
const PREFIX: &str = "sentinel.";

impl<'a> Overrides<'a> {
    /// Reads the overrides in `extensions`; `None` if one is unknown or repeated, or names a profile that is not
    /// configured.
    pub(super) fn read(extensions: &[(&str, &str)], credentials: &'a Credentials) -> Option<Self> {
        let (mut profile, mut missing, mut mode) = (None, None, None);
        for (name, value) in extensions {
            let Some(name) = name.strip_prefix(PREFIX) else { continue };
            let repeated = match name {
                "profile" => profile.replace(credentials.for_route(value)?).is_some(),
                "missing" => missing.replace(Missing::from_word(value)?).is_some(),
                "mode" => mode.replace(Mode::from_word(value)?).is_some(),
                _ => return None,
            };
            if repeated {
                return None;
            }
        }
        Some(Self { profile: profile.unwrap_or(&credentials.profile), missing, mode })
    }
}
