//! `credentials.passthrough`: carriers that an upstream provably ignores because another carrier is present.
//!
//! Some clients send two different credentials: the gateway's key in its own header, and the provider's in
//! `Authorization`. An exempt carrier reaches the upstream unchecked, so only the carriers listed here can be exempt.

/// When an upstream ignores a carrier.
#[derive(Clone, Copy, Debug)]
pub struct Ignored {
    /// The carrier's label.
    pub carrier: &'static str,
    /// The labels of the carriers that take precedence over it. They must not be ignored in favour of it in turn.
    pub overridden_by: &'static [&'static str],
    /// The paths on which it is ignored, compared byte by byte: a gateway's routes authenticate in several functions.
    pub paths: &'static [&'static str],
    /// The source of this behaviour.
    pub source: &'static str,
}

impl Ignored {
    /// Whether the entry applies to `path`. It never applies to a request with an `Upgrade` header: gateways
    /// authenticate WebSockets in another function.
    pub(super) fn holds_for(&self, path: &[u8], upgrade: bool) -> bool {
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        !upgrade && self.paths.iter().any(|listed| listed.as_bytes() == path)
    }
}
