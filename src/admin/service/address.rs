//! The client's address of an explained request, described for people.

use crate::{
    client_ip::{Found, Origin, Source, Unknown},
    domain::ClientIp,
};

/// The client's address, and how it was found.
pub(crate) struct Address {
    /// `client_ip.source`.
    pub(crate) source: &'static str,
    /// The client's address; `None` if it is unknown.
    pub(crate) client: Option<ClientIp>,
    /// The address as written in the request.
    pub(crate) written: String,
    /// Where it was found, or why it is unknown.
    pub(crate) how: String,
}

impl Address {
    pub(super) fn new(source: &Source, found: Result<Found<'_>, Unknown>) -> Self {
        let (client, written, how) = match found {
            Ok(Found { client, written, origin }) => {
                let written = String::from_utf8_lossy(written.trim_ascii()).into_owned();
                (Some(client), written, place(source, origin))
            }
            Err(unknown) => (None, String::new(), unknown.to_string()),
        };
        Self { source: source.as_str(), client, written, how }
    }
}

fn place(source: &Source, origin: Origin) -> String {
    match (origin, source) {
        (Origin::Peer, Source::Xff { .. }) => {
            "the connection's peer; it is not a trusted proxy, so x-forwarded-for is not read".to_owned()
        }
        (Origin::Peer, _) => "the connection's peer".to_owned(),
        (Origin::Metadata, _) => "the metadata x-client-ip".to_owned(),
        (Origin::Hop(hop), _) => format!("entry {hop} of x-forwarded-for, counted from the right"),
        (Origin::Header, Source::Header(name)) => format!("the header {name}"),
        (Origin::Header, _) => "a header".to_owned(),
    }
}
