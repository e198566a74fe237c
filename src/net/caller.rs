//! Authenticates callers: any host that reaches the ext_authz port can claim any client address, so it must be Envoy.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
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
pub struct Trust(Option<Arc<AtomicBool>>);

impl Trust {
    /// The trust in a new connection.
    pub fn of(callers: &Callers) -> Self {
        match callers {
            Callers::ByToken(_) => Self(Some(Arc::default())),
            Callers::Local | Callers::Unauthenticated => Self(None),
        }
    }

    /// Records that a call was authenticated.
    pub fn earn(&self) {
        if let Some(trust) = &self.0 {
            trust.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the connection is trusted.
    pub(super) fn is_given(&self) -> bool {
        self.0.as_ref().is_none_or(|trust| trust.load(Ordering::Relaxed))
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
