//! A profile: the carriers that its upstream reads, and the texts that are keys there.

use super::{
    carrier::{Carrier, Form, Header, Place},
    grammar::{Grammar, starts_ignoring_case},
    login::LoginRoutes,
    name::{self, Names, same_name},
    passthrough::{self, Ignored},
    placeholder::Placeholder,
    protocol,
    slot::Slot,
    text::Plus,
    unread::Unread,
};
use crate::domain::ApiKey;

/// The format of denials, so that the client's SDK raises its own typed error.
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

/// The carriers of an upstream, and how the text in each is reduced to the canonical key.
///
/// `Copy` with borrowed contents, because every request selects one.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The name in `credentials.profile`.
    pub name: &'static str,
    /// The format of denials.
    pub dialect: Dialect,
    /// All places where the upstream reads a key.
    pub carriers: &'static [Carrier],
    /// The [`CREDENTIAL_HEADERS`](super::CREDENTIAL_HEADERS) that this profile does not read. They are removed from
    /// every allowed request, because an upstream that reads them would see an unchecked key.
    pub unread: Unread,
    /// How the names of other headers begin that are removed too, because the upstream reads such a header like the one
    /// with this name, and the source that says so.
    pub removed_starts: &'static [(&'static str, &'static str)],
    /// The carriers that `credentials.passthrough` may name.
    pub ignored: &'static [Ignored],
    /// The routes on which the upstream accepts a credential that this profile does not read. Envoy must not forward them.
    pub login_routes: LoginRoutes,
    /// How the upstream reads `+` in a query.
    pub plus: Plus,
    /// How the upstream reads the names of parameters.
    pub names: Names,
    /// Which texts are keys.
    pub grammar: Grammar,
}

/// The most carriers of one profile.
pub const MAX_CARRIERS: usize = 12;

impl Profile {
    /// A profile with the usual values: `+` is a space, the names of parameters are read as written; the upstream
    /// never ignores a carrier and has no login routes.
    pub(super) const fn new(
        name: &'static str,
        dialect: Dialect,
        carriers: &'static [Carrier],
        grammar: Grammar,
    ) -> Self {
        let (unread, plus, names) = (Unread::without(carriers), Plus::Space, Names::InAnyCase);
        let login_routes = LoginRoutes::NONE;
        Self { name, dialect, carriers, unread, removed_starts: &[], ignored: &[], login_routes, plus, names, grammar }
    }

    /// The names in `headers` that an upstream may read as one of [`Profile::unread`], such as `x_api_key` and
    /// `x.api.key`, or `litellm-user-api-key` for the name that has underscores itself; and those of
    /// [`Profile::removed_starts`].
    ///
    /// An allow always removes the names of [`Profile::unread`]; it removes lookalikes only if they are present,
    /// because there are dozens of possible ones.
    pub fn lookalikes<'a>(&self, headers: impl Iterator<Item = Header<'a>>) -> Vec<String> {
        let lookalikes = headers.map(|header| header.name).filter(|name| !self.unread.contains(name)).filter(|name| {
            self.unread.iter().any(|unread| same_name(name, unread)) || self.begins_like_a_removed(name)
        });
        lookalikes.map(str::to_owned).collect()
    }

    fn begins_like_a_removed(&self, name: &str) -> bool {
        self.removed_starts.iter().any(|(start, _)| name.len() > start.len() && starts_ignoring_case(name, start))
    }
}

impl Profile {
    /// The scheme of the challenge in a 401: `Bearer`, or the scheme of a profile that reads others only.
    pub fn challenge(&self) -> &'static str {
        const BEARER: &str = "Bearer";
        let scheme = |carrier: &Carrier| match carrier.form {
            Form::Bearer | Form::BearerOrBare | Form::LiteLlm => Some(BEARER),
            Form::Scheme(names) => names.first().copied(),
            Form::Basic(_) => Some("Basic"),
            Form::Bare | Form::Never => None,
        };
        let mut schemes = self.carriers.iter().filter_map(scheme);
        let first = schemes.clone().next().unwrap_or(BEARER);
        if schemes.any(|scheme| scheme == BEARER) { BEARER } else { first }
    }
}

impl Profile {
    /// The names of all headers that reading or allowing a request depends on. A header whose name no upstream takes for
    /// one of these, and does not begin like one of [`Profile::removed_starts`], does not matter.
    pub fn header_names(&self) -> impl Iterator<Item = &'static str> {
        let carriers = self.carriers.iter().filter_map(|carrier| match carrier.place {
            Place::Header(name) => Some(name),
            Place::Cookie(_) => Some("cookie"),
            Place::Protocol(_) => Some(protocol::HEADER),
            Place::Query(_) => None,
        });
        carriers.chain(self.unread.iter().copied()).chain(passthrough::PREVENTING)
    }
}

/// What a request has in each carrier of a profile.
pub(super) type Slots<'a> = [Slot<'a>; MAX_CARRIERS];

/// The content of one carrier.
pub(super) enum Reading {
    Absent,
    Key(ApiKey),
    /// A placeholder, beside which another carrier's key counts.
    Placeholder,
    /// A placeholder that may contain a key.
    Template,
    Malformed,
    Repeated,
}

impl Profile {
    /// What the request has in each carrier, and whether a header prevents every exemption.
    pub(super) fn collect<'a>(&self, headers: impl Iterator<Item = Header<'a>>, path: &'a [u8]) -> (Slots<'a>, bool) {
        let mut slots = [Slot::Absent; MAX_CARRIERS];
        let mut prevented = false;
        for header in headers {
            prevented |= passthrough::prevents(header.name);
            for (carrier, slot) in self.carriers.iter().zip(&mut slots) {
                carrier.take(&header, &self.grammar, slot);
            }
        }
        self.collect_parameters(path, &mut slots);
        (slots, prevented)
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
                if let Some(spelling) = name::parameter(&parameter[..end], name, self.names) {
                    slot.put(value, spelling);
                }
                if self.names == Names::Unknown && name::is_behind_semicolon(parameter, name) {
                    slot.fill(Slot::Malformed);
                }
            }
        }
    }

    pub(super) fn read(&self, carrier: &Carrier, slot: &Slot, opaque_jwt: bool) -> Reading {
        let value = match slot {
            Slot::Absent => return Reading::Absent,
            Slot::Repeated => return Reading::Repeated,
            Slot::One(value) => value,
            // Clients of CGI upstreams send such names, so a lookalike header is read like the header.
            Slot::Lookalike(value) if matches!(carrier.place, Place::Header(_)) => value,
            Slot::Lookalike(_) | Slot::Malformed => return Reading::Malformed,
        };
        let (key, placeholder) = match carrier.text(value, self.plus, &self.grammar, opaque_jwt) {
            Some(text) if carrier.placeholders.contains(&text.as_str()) => return Reading::Placeholder,
            Some(text) => match self.grammar.key(text.as_str(), opaque_jwt) {
                None => (None, self.grammar.placeholder(text.as_str()).or_else(|| Carrier::stray_placeholder(value))),
                key => (key, None),
            },
            None if carrier.form == Form::Never => (None, None),
            None => (None, Carrier::stray_placeholder(value)),
        };
        match (key, placeholder) {
            (Some(key), _) => Reading::Key(key),
            (None, Some(Placeholder::Words)) => Reading::Placeholder,
            (None, Some(Placeholder::Template)) => Reading::Template,
            (None, None) => Reading::Malformed,
        }
    }
}
