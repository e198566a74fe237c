//! A profile: which carriers its upstream reads, and which texts are keys there.

use super::{
    carrier::{Carrier, Header, Place},
    grammar::Grammar,
    name::{self, Names, same_name},
    passthrough::Ignored,
    slot::Slot,
    text::Plus,
    unread::Unread,
};
use crate::domain::ApiKey;

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
    /// Those of [`CREDENTIAL_HEADERS`](super::CREDENTIAL_HEADERS) that this profile does not read: removed from every allowed request, or an
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
    pub(super) const fn new(
        name: &'static str,
        dialect: Dialect,
        carriers: &'static [Carrier],
        grammar: Grammar,
    ) -> Self {
        let (unread, plus, names) = (Unread::beside(carriers), Plus::Space, Names::InAnyCase);
        Self { name, dialect, carriers, unread, ignored: &[], plus, names, grammar }
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

/// What a request has in each carrier.
pub(super) type Slots<'a> = [Slot<'a>; MAX_CARRIERS];

/// What one carrier holds.
pub(super) enum Reading {
    Absent,
    Key(ApiKey),
    Placeholder,
    Malformed,
    Repeated,
}

impl Profile {
    /// What the request has in each carrier, and whether it has an `Upgrade` header.
    pub(super) fn collect<'a>(&self, headers: impl Iterator<Item = Header<'a>>, path: &'a [u8]) -> (Slots<'a>, bool) {
        let mut slots = [Slot::Absent; MAX_CARRIERS];
        let mut upgrade = false;
        for header in headers {
            upgrade |= same_name(header.name, "upgrade");
            for (carrier, slot) in self.carriers.iter().zip(&mut slots) {
                carrier.take(&header, &self.grammar, slot);
            }
        }
        self.collect_parameters(path, &mut slots);
        (slots, upgrade)
    }

    /// Puts the query's parameters into the slots of their carriers. The query is split at `&` only.
    fn collect_parameters<'a>(&self, path: &'a [u8], slots: &mut Slots<'a>) {
        if !self.carriers.iter().any(|carrier| matches!(carrier.place, Place::Query(_))) {
            return;
        }
        let Some(start) = path.iter().position(|byte| *byte == b'?') else { return };
        for parameter in path[start + 1..].split(|byte| *byte == b'&') {
            let end = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
            let value = parameter.get(end + 1..).unwrap_or_default();
            for (carrier, slot) in self.carriers.iter().zip(slots.iter_mut()) {
                let Place::Query(name) = carrier.place else { continue };
                if let Some(written) = name::parameter(&parameter[..end], name, self.names) {
                    slot.put(value, written);
                }
                if self.names == Names::Unknown && name::is_behind_semicolon(parameter, name) {
                    slot.fill(Slot::Broken);
                }
            }
        }
    }

    pub(super) fn read(&self, carrier: &Carrier, slot: &Slot, opaque_jwt: bool) -> Reading {
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
