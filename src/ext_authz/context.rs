//! Reads Envoy's `CheckRequest` into what the engine and the response need.

use super::{
    call::Call,
    headers::{HeaderFilter, REMOVED},
    message::CheckMessage,
    overrides::Overrides,
};
use crate::{
    client_ip::{AddressInputs, Resolver, Source},
    credential::{Credentials, Fault, Profile, same_name},
    domain::{ClientIp, Reason, event::DecisionId},
    engine::Request,
    settings::Settings,
};

/// A check: the engine's request, and what the response needs in addition.
#[derive(Debug)]
pub(super) struct CheckContext<'a> {
    pub(super) request: Request,
    /// The route's profile, or the configured one if the message could not be read.
    pub(super) profile: &'a Profile,
    /// The request's headers that an upstream may read as one that an allow removes. See [`Profile::lookalikes`].
    pub(super) lookalikes: Vec<String>,
    /// See [`Credentials::kept`].
    pub(super) kept: Vec<&'static str>,
    /// Whether the request's only credentials are placeholders, so that the message can say so.
    pub(super) placeholder: bool,
}

/// The configuration for reading requests.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) client_ip: &'a Resolver,
    pub(super) credentials: &'a Credentials,
    pub(super) filter: &'a HeaderFilter,
    pub(super) settings: &'a Settings,
}

impl<'a> Reader<'a> {
    /// A check that could not be read.
    pub(super) fn unread(&self, reason: Reason, decision_id: DecisionId) -> CheckContext<'a> {
        let request = Request::unread(reason, self.settings.mode, decision_id);
        CheckContext {
            request,
            profile: &self.credentials.profile,
            lookalikes: Vec::new(),
            kept: Vec::new(),
            placeholder: false,
        }
    }

    /// Reads `message`; `None` means that it did not arrive complete.
    pub(super) fn read(&self, message: Option<&[u8]>, call: Call<'_>, decision_id: DecisionId) -> CheckContext<'a> {
        let message = message.and_then(|message| CheckMessage::read(message, self.filter));
        let context = message.and_then(|message| self.context(&message, call, decision_id));
        context.unwrap_or_else(|| self.unread(Reason::MalformedRequest, decision_id))
    }

    /// `None` if an override is invalid.
    fn context(&self, message: &CheckMessage<'_>, call: Call<'_>, decision_id: DecisionId) -> Option<CheckContext<'a>> {
        let CheckMessage { headers, path, .. } = message;
        let headers = || headers.iter().copied();
        let Overrides { profile, missing, mode } = Overrides::read(&message.extensions, self.credentials)?;
        let ip = self.client(message, call);
        let key = match ip {
            Some(_) => self.credentials.key(profile, headers(), path),
            None => Ok(None),
        };
        let kept = match key {
            Ok(Some(_)) => self.credentials.kept(profile, headers(), path),
            _ => Vec::new(),
        };
        let placeholder = matches!(key, Err(Fault::Placeholder));
        let key = if ip.is_some() { key.map_err(Fault::reason) } else { Err(Reason::ClientIpUnknown) };
        let (missing, mode) = (missing.unwrap_or(self.settings.missing), mode.unwrap_or(self.settings.mode));
        let request = Request { ip, key, missing, mode, decision_id };
        let mut lookalikes = profile.lookalikes(headers());
        let resembles = |name: &&str| REMOVED.iter().any(|removed| same_name(name, removed) && name != removed);
        lookalikes.extend(headers().map(|header| header.name).filter(resembles).map(str::to_owned));
        Some(CheckContext { request, profile, lookalikes, kept, placeholder })
    }

    fn client(&self, message: &CheckMessage<'_>, call: Call<'_>) -> Option<ClientIp> {
        // Envoy sends names in lower case, so a name in another case is not from Envoy and is not read.
        let lines = |name| {
            message.headers.iter().filter(move |header| header.name == name).map(|header| header.value).collect()
        };
        let lines: Vec<&[u8]> = self.client_ip.header().map(lines).unwrap_or_default();
        let by_metadata = self.client_ip.source == Source::Metadata;
        self.client_ip.resolve(&AddressInputs {
            peer: message.peer,
            resolved: if by_metadata { call.client_ip() } else { None },
            direct_peer: if by_metadata { call.peer_ip() } else { None },
            lines: &lines,
        })
    }
}
