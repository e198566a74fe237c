//! Who may ask: whoever reaches the ext_authz port can claim any client address, so it has to be Envoy.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How a caller is known to be Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callers {
    /// By where it is: the socket's file mode, or this machine's loopback.
    ByPlace,
    /// By the token it shows with every call, wherever it is.
    ByToken(CallerToken),
    /// Not at all: `listen.allow_unauthenticated_callers`.
    Unauthenticated,
}

impl Callers {
    /// The word for it: `place`, `token`, `anyone`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::ByPlace => "place",
            Self::ByToken(_) => "token",
            Self::Unauthenticated => "anyone",
        }
    }
}

/// `listen.caller_token_file`: the secret that Envoy sends as `x-sentinel-token`.
///
/// Only its SHA-256 is kept, so nothing can print it; digests also have one length, so comparing them in constant time
/// tells nothing about the secret's.
#[derive(Clone)]
pub struct CallerToken([u8; 32]);

/// Why a text is no token. Never repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerTokenError {
    /// Guessable.
    #[error("a caller's token has at least 32 bytes, this one has {0}")]
    Short(usize),
    /// Envoy could not send it as it is.
    #[error("a caller's token is visible ASCII, without spaces, in one line")]
    NotVisible,
}

impl CallerToken {
    /// Takes the secret itself.
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
    fn only_the_secret_itself_is_the_secret() {
        let token = CallerToken::new(SECRET).unwrap();
        assert!(token.is(SECRET));
        for other in [&b""[..], &SECRET[..31], b"0123456789abcdef0123456789abcdeF", &[SECRET, b","].concat()] {
            assert!(!token.is(other), "{}", other.escape_ascii());
        }
        assert_eq!(format!("{token:?}"), "CallerToken(…)");
    }

    #[test]
    fn what_is_no_token() {
        assert_eq!(CallerToken::new(&SECRET[..31]).unwrap_err(), CallerTokenError::Short(31));
        for text in ["0123456789abcdef 0123456789abcdef", "0123456789abcdef0123456789abcde\u{e9}", "a\nb", " "] {
            assert_eq!(CallerToken::new(text.as_bytes()).unwrap_err(), CallerTokenError::NotVisible, "{text:?}");
        }
    }
}
