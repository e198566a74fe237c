//! Resolves an operator's reference to a key.

use zeroize::Zeroizing;

use super::{FieldError, Service};
use crate::{credential::Profile, store::Target};

/// Names a key, by its id or by the key itself. Not `Debug`, because it may contain a key. Zeroed on drop.
#[derive(Default)]
pub(crate) struct KeyReference {
    /// The first 8 to 32 hex digits of the key id.
    pub(crate) key_id: Option<String>,
    /// The key, as a client would send it in a bare carrier.
    pub(crate) api_key: Option<Zeroizing<String>>,
    /// The profile that reads `api_key`; by default `credentials.profile`.
    pub(crate) profile: Option<String>,
}

impl Service {
    pub(super) fn target(&self, key: &KeyReference) -> Result<Target, FieldError> {
        match (&key.key_id, &key.api_key) {
            (None, Some(text)) => {
                let unknown = "is neither credentials.profile nor one of credentials.route_profiles, which are";
                let profile = self.profile("key.profile", key.profile.as_deref(), unknown)?;
                let key = self.credentials.bare_key(profile, text).ok_or_else(|| {
                    match self.credentials.is_placeholder(profile, text) {
                        true => FieldError::new("key.api_key", "is a placeholder, which clients send when they have no key; it cannot have an owner or a ban"),
                        false => FieldError::new("key.api_key", format_args!("not a key of profile {}", profile.name)),
                    }
                })?;
                Ok(Target::Key(self.ring.fingerprint(&key)))
            }
            (Some(_), None) if key.profile.is_some() => {
                Err(FieldError::new("key.profile", "is used only with api_key; leave it out with key_id"))
            }
            (Some(text), None) => text.parse().map(Target::Id).map_err(|error| FieldError::new("key.key_id", error)),
            (Some(_), Some(_)) => Err(FieldError::new("key.api_key", "cannot be given together with `key.key_id`")),
            (None, None) => Err(FieldError::new("key", "is missing; give key_id or api_key")),
        }
    }

    /// The profile with this name, by default `credentials.profile`. The error is `unknown`, then the configured
    /// profiles.
    pub(super) fn profile(
        &self,
        field: &'static str,
        name: Option<&str>,
        unknown: &str,
    ) -> Result<&Profile, FieldError> {
        let Some(name) = name else { return Ok(&self.credentials.profile) };
        self.credentials.for_route(name).ok_or_else(|| {
            let all: Vec<_> = self.credentials.names().collect();
            FieldError::new(field, format_args!("{unknown} {}", all.join(", ")))
        })
    }
}
