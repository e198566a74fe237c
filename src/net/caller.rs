//! Authenticates callers: any host that reaches the ext_authz port can claim any client address, so it must be Envoy.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How a caller is authenticated as Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Only a local process can connect: over loopback, or over the unix socket if its file mode permits it.
    Local,
    /// By the token that it sends with every call, wherever it is.
    ByToken(CallerToken),
    /// Not at all: `listen.allow_unauthenticated_callers`.
    Unauthenticated,
}

impl Callers {
    /// Its name in the admin API: `place`, `token` or `anyone`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Local => "place",
            Self::ByToken(_) => "token",
            Self::Unauthenticated => "anyone",
        }
    }
}

/// Whether a call of a connection was authenticated; `None` if no token is required.
#[derive(Clone, Debug)]
pub struct Trust(Option<Arc<Unknown>>);

/// A connection that may not have shown the token.
#[derive(Debug, Default)]
struct Unknown {
    is_granted: AtomicBool,
    open_calls: AtomicU32,
}

/// Calls at a time of a connection that has not shown the token. Health checks need one or two.
const OPEN_CALLS: u32 = 100;

impl Trust {
    /// The trust in a new connection.
    pub fn of(callers: &Callers) -> Self {
        match callers {
            Callers::ByToken(_) => Self::unknown(),
            Callers::Local | Callers::Unauthenticated => Self(None),
        }
    }

    /// The trust in a connection that has shown nothing.
    pub fn unknown() -> Self {
        Self(Some(Arc::default()))
    }

    /// Records that a call was authenticated.
    pub fn grant(&self) {
        if let Some(unknown) = &self.0 {
            unknown.is_granted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the connection is trusted.
    pub fn is_granted(&self) -> bool {
        self.0.as_ref().is_none_or(|unknown| unknown.is_granted.load(Ordering::Relaxed))
    }

    /// Counts a call until the result is dropped. The calls of a trusted connection are not counted.
    pub(super) fn open_call(&self) -> Option<OpenCall> {
        let unknown = self.0.as_ref().filter(|_| !self.is_granted())?;
        unknown.open_calls.fetch_add(1, Ordering::Relaxed);
        Some(OpenCall(Arc::clone(unknown)))
    }

    /// Whether the connection has more open calls than it may have.
    pub(super) fn is_overdrawn(&self) -> bool {
        !self.is_granted()
            && self.0.as_ref().is_some_and(|unknown| unknown.open_calls.load(Ordering::Relaxed) > OPEN_CALLS)
    }
}

/// A call whose answer may not be sent yet.
#[derive(Debug)]
pub(super) struct OpenCall(Arc<Unknown>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.open_calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `listen.caller_token_file`: the secret that Envoy sends as `x-sentinel-token`.
///
/// Only the SHA-256 of the token is kept, so that nothing can print the token. Digests have one length, so a comparison
/// in constant time does not reveal the length of the token.
#[derive(Clone)]
pub struct CallerToken([u8; 32]);

/// Why a text is not a valid token. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerTokenError {
    /// Too short to resist guessing.
    #[error("a caller token needs at least 32 bytes, this one has {0}; create one with `sentinel pepper new`")]
    Short(usize),
    /// Envoy cannot send it unchanged.
    #[error("a caller token must be visible ASCII without spaces, in one line")]
    NotVisible,
}

impl CallerToken {
    /// Makes a token of the secret.
    pub fn new(secret: &[u8]) -> Result<Self, CallerTokenError> {
        if !secret.iter().all(u8::is_ascii_graphic) {
            return Err(CallerTokenError::NotVisible);
        }
        if secret.len() < 32 {
            return Err(CallerTokenError::Short(secret.len()));
        }
        Ok(Self(Sha256::digest(secret).into()))
    }

    /// Whether `shown` is the secret.
    pub fn is(&self, shown: &[u8]) -> bool {
        <[u8; 32]>::from(Sha256::digest(shown)).ct_eq(&self.0).into()
    }
}

impl PartialEq for CallerToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for CallerToken {}

impl fmt::Debug for CallerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    #[test]
    fn only_the_exact_secret_matches() {
        let token = CallerToken::new(SECRET).unwrap();
        assert!(token.is(SECRET));
        for other in [&b""[..], &SECRET[..31], b"0123456789abcdef0123456789abcdeF", &[SECRET, b","].concat()] {
            assert!(!token.is(other), "{}", other.escape_ascii());
        }
        assert_eq!(format!("{token:?}"), "CallerToken(…)");
    }

    #[test]
    fn invalid_tokens_are_rejected() {
        assert_eq!(CallerToken::new(&SECRET[..31]).unwrap_err(), CallerTokenError::Short(31));
        for text in ["0123456789abcdef 0123456789abcdef", "0123456789abcdef0123456789abcde\u{e9}", "a\nb", " "] {
            assert_eq!(CallerToken::new(text.as_bytes()).unwrap_err(), CallerTokenError::NotVisible, "{text:?}");
        }
    }
}
