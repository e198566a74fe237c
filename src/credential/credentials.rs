//! Finds a request's one canonical key, by a profile and the operator's options.

use super::{
    carrier::{Carrier, Header},
    explained::{ExplainedCarrier, Holds},
    passthrough::Ignored,
    profile::{Profile, Reading, Slots},
    slot::Slot,
};
use crate::domain::{ApiKey, Reason};

/// What an operator may allow in addition to the profile's grammar.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `credentials.jwt = "opaque"`: accept a JSON Web Token as an opaque key, where the upstream accepts such tokens.
    pub opaque_jwt: bool,
    /// `credentials.passthrough`: labels of carriers that are exempt where an entry of [`Profile::ignored`] applies.
    pub passthrough: Vec<String>,
}

/// Why a request does not have exactly one valid key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// More than one key, or a carrier more than once. With this, an attacker could have Sentinel check one key while
    /// the upstream uses a stolen one.
    Conflicting,
    /// A carrier is present, but its text is not a key.
    Malformed,
    /// The carriers that are present hold only what clients send when they have no key.
    Placeholder,
}

impl Fault {
    /// The reason of the denial.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Conflicting => Reason::ConflictingKeys,
            Self::Malformed | Self::Placeholder => Reason::MalformedKey,
        }
    }
}

/// How requests carry their keys: `credentials.*`.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `credentials.profile`: the profile of every route that does not name another.
    pub profile: Profile,
    /// `credentials.route_profiles`: the profiles that a route may name. All have the canonicalisation of `profile`.
    pub route_profiles: Vec<Profile>,
    /// The operator's options.
    pub options: Options,
}

impl Credentials {
    /// The profile that a route names by `name`; `None` if it is not configured.
    pub fn for_route(&self, name: &str) -> Option<&Profile> {
        self.profiles().find(|profile| profile.name == name)
    }

    /// The names of [`Credentials::profiles`].
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.profiles().map(|profile| profile.name)
    }

    /// `profile`, then `route_profiles`.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        std::iter::once(&self.profile).chain(&self.route_profiles)
    }

    /// The request's one canonical key by `profile`; `Ok(None)` if every carrier is absent. `path` is the request
    /// target with its query.
    ///
    /// Always reads all carriers. `Conflicting` takes precedence over `Malformed`.
    pub fn key<'a>(
        &self,
        profile: &Profile,
        headers: impl Iterator<Item = Header<'a>>,
        path: &'a [u8],
    ) -> Result<Option<ApiKey>, Fault> {
        self.read(profile, headers, path, |_, _, _| {})
    }

    /// Like [`Credentials::key`], and also describes each carrier that is present, for an operator.
    pub fn explain<'a>(
        &self,
        profile: &Profile,
        headers: impl Iterator<Item = Header<'a>>,
        path: &'a [u8],
    ) -> (Result<Option<ApiKey>, Fault>, Vec<ExplainedCarrier>) {
        let mut carriers = Vec::new();
        let key = self.read(profile, headers, path, |carrier, slot, holds| {
            carriers.extend(ExplainedCarrier::new(carrier, slot, holds));
        });
        (key, carriers)
    }

    fn read<'a>(
        &self,
        profile: &Profile,
        headers: impl Iterator<Item = Header<'a>>,
        path: &'a [u8],
        mut explain: impl FnMut(&Carrier, &Slot, Holds),
    ) -> Result<Option<ApiKey>, Fault> {
        let (slots, upgrade) = profile.collect(headers, path);
        let mut found: Option<ApiKey> = None;
        let mut fault: Option<Fault> = None;
        let (mut placeholder, mut template) = (false, false);
        for (carrier, slot) in profile.carriers.iter().zip(&slots) {
            if !self.options.passthrough.is_empty() && self.is_exempt(profile, carrier, &slots, path, upgrade) {
                explain(carrier, slot, Holds::Exempt);
                continue;
            }
            let holds = match profile.read(carrier, slot, self.options.opaque_jwt) {
                Reading::Absent => continue,
                Reading::Placeholder => {
                    placeholder = true;
                    Holds::Placeholder
                }
                Reading::Template => {
                    template = true;
                    Holds::Placeholder
                }
                Reading::Malformed => {
                    fault = fault.or(Some(Fault::Malformed));
                    Holds::Malformed
                }
                Reading::Repeated => {
                    fault = Some(Fault::Conflicting);
                    Holds::Repeated
                }
                Reading::Key(key) if found.as_ref().is_some_and(|first| *first != key) => {
                    fault = Some(Fault::Conflicting);
                    Holds::AnotherKey
                }
                Reading::Key(key) => {
                    found = Some(key);
                    Holds::Key
                }
            };
            explain(carrier, slot, holds);
        }
        match (fault, found) {
            (Some(fault), _) => Err(fault),
            // Not `Ok(None)`: a carrier is present.
            (None, None) if placeholder || template => Err(Fault::Placeholder),
            (None, Some(_)) if template => Err(Fault::Malformed),
            (None, found) => Ok(found),
        }
    }

    /// Whether the upstream ignores `carrier` in this request and the operator exempts it.
    fn is_exempt(&self, profile: &Profile, carrier: &Carrier, slots: &Slots, path: &[u8], upgrade: bool) -> bool {
        let applies = |ignored: &&Ignored| {
            carrier.has_label(ignored.carrier) && self.options.passthrough.iter().any(|label| label == ignored.carrier)
        };
        // The carrier that takes precedence must not be exempt itself, or no carrier would be checked. Its name must be
        // exact, or the upstream might not read it and read this carrier instead.
        let is_checked = |(other, slot): (&Carrier, &Slot)| {
            matches!(slot, Slot::One(value) if !value.is_empty())
                && !self.is_exempt(profile, other, slots, path, upgrade)
        };
        profile.ignored.iter().filter(applies).any(|ignored| {
            let mut others = profile.carriers.iter().zip(slots);
            ignored.holds_for(path, upgrade)
                && others.any(|other| {
                    ignored.overridden_by.iter().any(|label| other.0.has_label(label)) && is_checked(other)
                })
        })
    }

    /// Whether `text`, which [`Credentials::bare_key`] rejected, is what clients send when they have no key.
    pub fn is_placeholder(&self, profile: &Profile, text: &str) -> bool {
        profile.grammar.placeholder(text).is_some()
    }

    /// The canonical key of `text`, a key that an operator provides, as if a client sent it in a bare carrier of
    /// `profile`. Another configured profile may reject the text, but cannot give another key.
    pub fn bare_key(&self, profile: &Profile, text: &str) -> Option<ApiKey> {
        profile.grammar.key(text, self.options.opaque_jwt)
    }
}
