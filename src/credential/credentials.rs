//! A request's one canonical key, by a profile and what the operator allows beside it.

use super::{
    carrier::{Carrier, Header},
    passthrough::Ignored,
    profile::{Profile, Reading, Slots},
    seen::{Seen, What},
    slot::Slot,
};
use crate::domain::{ApiKey, Reason};

/// What an operator may allow beside the profile's grammar.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `credentials.jwt = "opaque"`: accept a JSON Web Token as if it were an opaque key, where the upstream reads some.
    pub opaque_jwt: bool,
    /// `credentials.passthrough`: labels of carriers that are not judged where the profile's table of [`Ignored`] holds.
    pub passthrough: Vec<String>,
}

/// Why a request has no single key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// More than one key, or one carrier more than once. An attack: a thief shows us his own key and the upstream the
    /// stolen one.
    Conflicting,
    /// A carrier is present, but its text is no key.
    Malformed,
}

impl Fault {
    /// The word for it.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Conflicting => Reason::ConflictingKeys,
            Self::Malformed => Reason::MalformedKey,
        }
    }
}

/// How requests show their keys: `credentials.profile`, `credentials.route_profiles` and their options.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The grammar of every route that names no other.
    pub profile: Profile,
    /// The grammars that a route may name. All have the canonicalisation of `profile`.
    pub route_profiles: Vec<Profile>,
    /// What the operator allows beside them.
    pub options: Options,
}

impl Credentials {
    /// The profile for a route that names `name`.
    pub fn for_route(&self, name: &str) -> Option<&Profile> {
        self.profiles().find(|profile| profile.name == name)
    }

    /// The names of [`Credentials::profiles`].
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.profiles().map(|profile| profile.name)
    }

    /// The configured profile, then those that routes may name.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        std::iter::once(&self.profile).chain(&self.route_profiles)
    }

    /// The request's one canonical key by `profile`; `Ok(None)` if every carrier is absent. `path` is the request
    /// target with its query.
    ///
    /// All carriers are read on every request. `Conflicting` is reported before `Malformed`.
    pub fn key<'a>(
        &self,
        profile: &Profile,
        headers: impl Iterator<Item = Header<'a>>,
        path: &'a [u8],
    ) -> Result<Option<ApiKey>, Fault> {
        self.read(profile, headers, path, |_, _, _| {})
    }

    /// As [`Credentials::key`], and what was seen in each carrier that is there, for an operator's eye.
    pub fn explain<'a>(
        &self,
        profile: &Profile,
        headers: impl Iterator<Item = Header<'a>>,
        path: &'a [u8],
    ) -> (Result<Option<ApiKey>, Fault>, Vec<Seen>) {
        let mut all = Vec::new();
        let key = self.read(profile, headers, path, |carrier, slot, seen| all.extend(Seen::of(carrier, slot, seen)));
        (key, all)
    }

    fn read<'a>(
        &self,
        profile: &Profile,
        headers: impl Iterator<Item = Header<'a>>,
        path: &'a [u8],
        mut see: impl FnMut(&Carrier, &Slot, What),
    ) -> Result<Option<ApiKey>, Fault> {
        let (slots, upgrade) = profile.collect(headers, path);
        let mut found: Option<ApiKey> = None;
        let mut fault: Option<Fault> = None;
        let mut placeholder = false;
        for (carrier, slot) in profile.carriers.iter().zip(&slots) {
            if !self.options.passthrough.is_empty() && self.is_exempt(profile, carrier, &slots, path, upgrade) {
                see(carrier, slot, What::Exempt);
                continue;
            }
            let what = match profile.read(carrier, slot, self.options.opaque_jwt) {
                Reading::Absent => continue,
                Reading::Placeholder => {
                    placeholder = true;
                    What::Placeholder
                }
                Reading::Malformed => {
                    fault = fault.or(Some(Fault::Malformed));
                    What::Malformed
                }
                Reading::Repeated => {
                    fault = Some(Fault::Conflicting);
                    What::Repeated
                }
                Reading::Key(key) if found.as_ref().is_some_and(|first| *first != key) => {
                    fault = Some(Fault::Conflicting);
                    What::AnotherKey
                }
                Reading::Key(key) => {
                    found = Some(key);
                    What::Key
                }
            };
            see(carrier, slot, what);
        }
        match (fault, found) {
            (Some(fault), _) => Err(fault),
            // A carrier is there, if only with a placeholder.
            (None, None) if placeholder => Err(Fault::Malformed),
            (None, found) => Ok(found),
        }
    }

    /// Whether the upstream ignores `carrier` in this request and the operator exempts it.
    fn is_exempt(&self, profile: &Profile, carrier: &Carrier, slots: &Slots, path: &[u8], upgrade: bool) -> bool {
        let named = |ignored: &&Ignored| {
            carrier.is(ignored.carrier) && self.options.passthrough.iter().any(|label| label == ignored.carrier)
        };
        // What it is beside must itself be judged, or nothing would be; and must have the very name that this upstream
        // reads, or it would read the other one.
        let is_judged = |(other, slot): (&Carrier, &Slot)| {
            matches!(slot, Slot::One(value) if !value.is_empty())
                && !self.is_exempt(profile, other, slots, path, upgrade)
        };
        profile.ignored.iter().filter(named).any(|ignored| {
            let mut beside = profile.carriers.iter().zip(slots);
            ignored.holds_for(path, upgrade)
                && beside.any(|pair| ignored.beside.iter().any(|label| pair.0.is(label)) && is_judged(pair))
        })
    }

    /// The key that an operator hands over by file: the text of a bare carrier of `profile`. Another one of ours could
    /// refuse the text, but not make another key of it.
    pub fn bare_key(&self, profile: &Profile, text: &str) -> Option<ApiKey> {
        profile.grammar.key(text, self.options.opaque_jwt)
    }
}
