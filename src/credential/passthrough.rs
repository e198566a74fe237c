//! `credentials.passthrough`: carriers whose text an upstream provably ignores because another carrier is present.
//!
//! Clients do send two credentials that differ: a gateway's key in its own header, and a provider's in
//! `Authorization`. Only what is listed here can be exempted, since an exempted carrier reaches the upstream unjudged.

/// A carrier that an upstream ignores.
#[derive(Clone, Copy, Debug)]
pub struct Ignored {
    /// The carrier's label.
    pub carrier: &'static str,
    /// It is ignored where one of these has a key. None of them may be ignored beside it in turn.
    pub beside: &'static [&'static str],
    /// It is ignored on these paths only, compared byte by byte: a gateway's routes authenticate in several functions.
    pub paths: &'static [&'static str],
    /// Where that is written.
    pub source: &'static str,
}

impl Ignored {
    /// Whether a request for `path`, `Upgrade` or not, is one for which the source holds. No WebSocket is: gateways
    /// authenticate those in another function.
    pub(super) fn holds_for(&self, path: &[u8], upgrade: bool) -> bool {
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        !upgrade && self.paths.iter().any(|listed| listed.as_bytes() == path)
    }
}
