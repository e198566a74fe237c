//! From a request's headers and path to its one canonical key.
//!
//! A *profile* is a closed grammar per carrier: what does not match exactly is [`Fault::Malformed`], never passed
//! through as text, because a text that the upstream reads differently from us would be a second name for the same
//! key, and its first use would be a thief's. Pure: no I/O, no clock.

mod carrier;
mod custom;
mod grammar;
mod jwt;
mod name;
mod passthrough;
mod protocol;
mod query;
mod seen;
mod table;
#[cfg(test)]
mod tests;
mod unread;

pub use carrier::{Carrier, Form, Place};
pub use custom::Custom;
pub use grammar::{Alphabet, Canonicalisation, Format, Grammar};
pub use name::{Names, same_name};
pub use passthrough::Ignored;
pub use protocol::Unmarked;
pub use query::Plus;
pub use seen::{Seen, What};
pub use table::PROFILES;
pub use unread::{CREDENTIAL_HEADERS, Unread};

use crate::domain::{ApiKey, Reason};
use carrier::Slot;

/// What an operator may allow beside the profile's grammar.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `credentials.jwt = "opaque"`: accept a JSON Web Token as if it were an opaque key, where the upstream reads some.
    pub opaque_jwt: bool,
    /// `credentials.passthrough`: labels of carriers that are not judged where the profile's table of [`Ignored`] holds.
    pub passthrough: Vec<String>,
}

/// One request header as Envoy hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The name; Envoy sends lower case.
    pub name: &'a str,
    /// The value's bytes. In Envoy's joined encoding (`headers`) each byte that is not UTF-8 is already a `!`.
    pub value: &'a [u8],
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

/// In whose words a client expects its denials, so that its SDK raises its own typed error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 9457.
    #[default]
    Generic,
    /// OpenAI's error JSON.
    OpenAi,
    /// Anthropic's error JSON.
    Anthropic,
    /// Google's error JSON.
    Google,
}

/// A closed grammar: the carriers it reads and how each reduces to the canonical key.
///
/// `Copy` and borrowed throughout: one is picked for every request.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name in `credentials.profile`.
    pub name: &'static str,
    /// In whose words it denies.
    pub dialect: Dialect,
    /// All places where its upstream reads a key.
    pub carriers: &'static [Carrier],
    /// Those of [`CREDENTIAL_HEADERS`] that this profile does not read: removed from every allowed request, or an
    /// upstream that reads them would see a key that nobody judged.
    pub unread: Unread,
    /// What `credentials.passthrough` may name.
    pub ignored: &'static [Ignored],
    /// How its upstream reads `+` in a query.
    pub plus: Plus,
    /// How its upstream reads the names of parameters.
    pub names: Names,
    /// Which texts are keys.
    pub grammar: Grammar,
}

/// The most carriers of one profile.
pub const MAX_CARRIERS: usize = 12;

impl Profile {
    /// With what most profiles have: `+` is a space, names of parameters are what they are written as, and no carrier is
    /// ever ignored.
    const fn new(name: &'static str, dialect: Dialect, carriers: &'static [Carrier], grammar: Grammar) -> Self {
        let (unread, plus, names) = (Unread::beside(carriers), Plus::Space, Names::InAnyCase);
        Self { name, dialect, carriers, unread, ignored: &[], plus, names, grammar }
    }

    /// The built-in profile with this name, if there is one.
    pub fn by_name(name: &str) -> Option<Self> {
        PROFILES.into_iter().find(|profile| profile.name == name)
    }

    /// Names in `headers` that an upstream may read as one of [`Profile::unread`], such as `x_api_key` and `x.api.key`,
    /// or `litellm-user-api-key` for the one that has underscores itself.
    ///
    /// The listed names are removed whether or not they are there; these only where they are, since there are dozens of
    /// them.
    pub fn lookalikes<'a>(&self, headers: impl Iterator<Item = Header<'a>>) -> Vec<String> {
        let lookalikes = headers
            .map(|header| header.name)
            .filter(|name| !self.unread.contains(name) && self.unread.iter().any(|unread| same_name(name, unread)));
        lookalikes.map(str::to_owned).collect()
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

type Slots<'a> = [Slot<'a>; MAX_CARRIERS];

/// What one carrier holds.
enum Reading {
    Absent,
    Key(ApiKey),
    Placeholder,
    Malformed,
    Repeated,
}

impl Profile {
    /// What the request has in each carrier, and whether it has an `Upgrade` header.
    fn collect<'a>(&self, headers: impl Iterator<Item = Header<'a>>, path: &'a [u8]) -> (Slots<'a>, bool) {
        let mut slots = [Slot::Absent; MAX_CARRIERS];
        let mut upgrade = false;
        for header in headers {
            upgrade |= same_name(header.name, "upgrade");
            for (carrier, slot) in self.carriers.iter().zip(&mut slots) {
                carrier.take(&header, &self.grammar, slot);
            }
        }
        query::take(path, self.carriers, self.names, &mut slots);
        (slots, upgrade)
    }

    fn read(&self, carrier: &Carrier, slot: &Slot, opaque_jwt: bool) -> Reading {
        let value = match slot {
            Slot::Absent => return Reading::Absent,
            Slot::Repeated => return Reading::Repeated,
            Slot::One(value) => value,
            // Clients of CGI upstreams write headers so: whatever the text is, it is judged.
            Slot::Disguised(value) if matches!(carrier.place, Place::Header(_)) => value,
            Slot::Disguised(_) | Slot::Broken => return Reading::Malformed,
        };
        let Some(text) = carrier.text(value, self.plus) else { return Reading::Malformed };
        if carrier.placeholders.contains(&text.as_str()) {
            return Reading::Placeholder;
        }
        self.grammar.key(text.as_str(), opaque_jwt).map_or(Reading::Malformed, Reading::Key)
    }
}
