//! Which key an operator means.

use zeroize::Zeroizing;

use super::{FieldError, Service};
use crate::{credential::Profile, store::Target};

/// Which key is meant: by its id, or by itself. No `Debug`: it may hold a key, which is wiped from memory with it.
#[derive(Default)]
pub(crate) struct KeyReference {
    /// The first 8 to 32 hex digits of the key id.
    pub(crate) key_id: Option<String>,
    /// The key, as a client would show it in a bare carrier.
    pub(crate) api_key: Option<Zeroizing<String>>,
    /// Which profile reads `api_key`; without one `credentials.profile`.
    pub(crate) profile: Option<String>,
}

impl Service {
    pub(super) fn target(&self, key: &KeyReference) -> Result<Target, FieldError> {
        match (&key.key_id, &key.api_key) {
            (None, Some(text)) => {
                let unknown = "is neither credentials.profile nor one of credentials.route_profiles, which are";
                let profile = self.profile("key.profile", key.profile.as_deref(), unknown)?;
                let key = self.credentials.bare_key(profile, text).ok_or_else(|| {
                    let why = format_args!("the profile {} accepts no such key", profile.name).to_string();
                    FieldError::new("key.api_key", why)
                })?;
                Ok(Target::Key(self.ring.fingerprint(&key)))
            }
            (Some(_), None) if key.profile.is_some() => {
                let why = "goes with api_key only; a key_id is read by no profile";
                Err(FieldError::new("key.profile", why))
            }
            (Some(text), None) => text.parse().map(Target::Id).map_err(|error| FieldError::new("key.key_id", error)),
            (Some(_), Some(_)) => Err(FieldError::new("key.api_key", "give this or key_id, not both")),
            (None, None) => Err(FieldError::new("key", "say which key, by key_id or api_key")),
        }
    }

    /// The profile that `name` names; an error says `unknown`, then which there are.
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
