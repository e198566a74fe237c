//! Finds a request's one canonical key, by a profile and the operator's options.

use super::{
    carrier::{Carrier, Header},
    explained::{ExplainedCarrier, Holds},
    foreign::Foreign,
    grammar::Alphabet,
    jwt::looks_like_jwt,
    passthrough::{Ignored, plain_path},
    profile::{Profile, Reading, Slots},
    slot::{Slot, trim},
};
use crate::domain::{ApiKey, Reason};

/// What an operator may allow in addition to the profile's grammar.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `credentials.jwt = "opaque"`: accept a JSON Web Token as an opaque key, where the upstream accepts such tokens.
    pub opaque_jwt: bool,
    /// `credentials.passthrough`: labels of carriers that are exempt where an entry of [`Profile::ignored`] applies.
    pub passthrough: Vec<String>,
    /// `credentials.passthrough`: entries that name their paths.
    pub foreign: Vec<Foreign>,
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
        headers: impl Iterator<Item = Header<'a>> + Clone,
        path: &'a [u8],
    ) -> (Result<Option<ApiKey>, Fault>, Vec<ExplainedCarrier>) {
        let mut carriers = Vec::new();
        let key = self.read(profile, headers.clone(), path, |carrier, slot, holds| {
            carriers.extend(ExplainedCarrier::new(carrier, slot, holds));
        });
        if matches!(key, Ok(Some(_))) {
            carriers.extend(self.kept(profile, headers, path).into_iter().map(ExplainedCarrier::exempt));
        }
        (key, carriers)
    }

    fn read<'a>(
        &self,
        profile: &Profile,
        headers: impl Iterator<Item = Header<'a>>,
        path: &'a [u8],
        mut explain: impl FnMut(&Carrier, &Slot, Holds),
    ) -> Result<Option<ApiKey>, Fault> {
        let (slots, prevented) = profile.collect(headers, path);
        let exempts = !self.options.passthrough.is_empty() || !self.options.foreign.is_empty();
        let plain = if exempts && !prevented { plain_path(path) } else { None };
        let mut found = Found::default();
        for (carrier, slot) in profile.carriers.iter().zip(&slots) {
            if plain.is_some_and(|path| self.is_exempt(profile, carrier, slot, &slots, path)) {
                explain(carrier, slot, Holds::Exempt);
            } else if let Some(holds) = found.add(profile.read(carrier, slot, self.options.opaque_jwt)) {
                explain(carrier, slot, holds);
            }
        }
        found.key()
    }

    /// Whether the upstream ignores `carrier` in this request and the operator exempts it.
    fn is_exempt(&self, profile: &Profile, carrier: &Carrier, slot: &Slot, slots: &Slots, path: &[u8]) -> bool {
        let by_label = |ignored: &&Ignored| {
            ignored.by_label
                && carrier.has_label(ignored.carrier)
                && self.options.passthrough.iter().any(|label| label == ignored.carrier)
                && ignored.holds_for(path)
        };
        let by_entry = |entry: &&Foreign| match entry.holds_for(profile, |label| carrier.has_label(label), path) {
            Some(true) => holds_token(profile, carrier, slot),
            Some(false) => true,
            None => false,
        };
        let checked = |label: &str| self.is_checked(profile, label, slots, path);
        profile.ignored.iter().filter(by_label).any(|ignored| ignored.overridden_by.iter().any(|label| checked(label)))
            || self.options.foreign.iter().filter(by_entry).any(|entry| checked(entry.beside()))
    }

    /// Whether the carrier `label` holds an own key. It must not be exempt itself, or no carrier would be checked. Its name
    /// must be exact, or the upstream might not read it and read the exempt carrier instead.
    fn is_checked(&self, profile: &Profile, label: &str, slots: &Slots, path: &[u8]) -> bool {
        profile.carriers.iter().zip(slots).filter(|(carrier, _)| carrier.has_label(label)).any(|(carrier, slot)| {
            matches!(slot, Slot::One(_))
                && matches!(profile.read(carrier, slot, self.options.opaque_jwt), Reading::Key(_))
                && !self.is_exempt(profile, carrier, slot, slots, path)
        })
    }

    /// The request's headers of [`Profile::unread`] that reach the upstream all the same, because `credentials.passthrough`
    /// names them and the own key is beside them. For a request that has exactly one key.
    pub fn kept<'a>(
        &self,
        profile: &Profile,
        headers: impl Iterator<Item = Header<'a>> + Clone,
        target: &'a [u8],
    ) -> Vec<&'static str> {
        if self.options.foreign.is_empty() {
            return Vec::new();
        }
        let Some(path) = plain_path(target) else { return Vec::new() };
        let (slots, prevented) = profile.collect(headers.clone(), target);
        if prevented {
            return Vec::new();
        }
        let is_kept = |name: &&'static str| {
            let mut entries = self.options.foreign.iter();
            let mut lines = headers.clone().filter(|header| header.name == *name).peekable();
            entries.any(|entry| {
                entry.holds_for(profile, |label| label == *name, path).is_some()
                    && self.is_checked(profile, entry.beside(), &slots, path)
                // A header that is not in the Check, but perhaps in the request, is removed: nobody has seen its value.
            }) && lines.peek().is_some()
                && lines.all(|line| is_harmless(profile, &line, self.options.opaque_jwt))
        };
        profile.unread.iter().copied().filter(is_kept).collect()
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

/// What the carriers of a request hold together.
#[derive(Default)]
struct Found {
    key: Option<ApiKey>,
    fault: Option<Fault>,
    placeholder: bool,
    template: bool,
}

impl Found {
    /// What the carrier holds; `None` if it is absent.
    fn add(&mut self, reading: Reading) -> Option<Holds> {
        Some(match reading {
            Reading::Absent => return None,
            Reading::Placeholder => {
                self.placeholder = true;
                Holds::Placeholder
            }
            Reading::Template => {
                self.template = true;
                Holds::Placeholder
            }
            Reading::Malformed => {
                self.fault = self.fault.or(Some(Fault::Malformed));
                Holds::Malformed
            }
            Reading::Repeated => {
                self.fault = Some(Fault::Conflicting);
                Holds::Repeated
            }
            Reading::Key(key) if self.key.as_ref().is_some_and(|first| *first != key) => {
                self.fault = Some(Fault::Conflicting);
                Holds::AnotherKey
            }
            Reading::Key(key) => {
                self.key = Some(key);
                Holds::Key
            }
        })
    }

    fn key(self) -> Result<Option<ApiKey>, Fault> {
        match (self.fault, self.key) {
            (Some(fault), _) => Err(fault),
            // Not `Ok(None)`: a carrier is present.
            (None, None) if self.placeholder || self.template => Err(Fault::Placeholder),
            (None, Some(_)) if self.template => Err(Fault::Malformed),
            (None, key) => Ok(key),
        }
    }
}

/// Whether the carrier holds one JSON Web Token, in its form.
fn holds_token(profile: &Profile, carrier: &Carrier, slot: &Slot) -> bool {
    let Slot::One(value) = slot else { return false };
    // Only Basic credentials depend on whether tokens are keys.
    let text = carrier.text(value, profile.plus, &profile.grammar, false);
    text.is_some_and(|text| Alphabet::TOKEN.holds(text.as_str()) && looks_like_jwt(text.as_str()))
}

/// Whether a header that the profile does not read may reach the upstream: it has no key of this realm, and
/// `authorization` has nothing but `Bearer` and a token, because any other scheme may hide a key in Base64 or parameters.
fn is_harmless(profile: &Profile, header: &Header, opaque_jwt: bool) -> bool {
    let is_plain = || {
        let text = std::str::from_utf8(trim(header.value)).ok();
        let token =
            text.and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"));
        token.is_some_and(|(_, token)| !token.is_empty() && Alphabet::TOKEN.holds(token))
    };
    !profile.grammar.resembles_key(header.value, opaque_jwt) && (header.name != "authorization" || is_plain())
}
