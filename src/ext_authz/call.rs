//! The metadata of the gRPC call. Envoy's configuration sets it; Envoy's clients cannot.
//!
//! Envoy's router also adds `x-forwarded-for`. That entry names Envoy, so it is never read.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::{client_ip::exactly_one, net::caller::Callers};

const TOKEN: HeaderName = HeaderName::from_static("x-sentinel-token");
const CLIENT_IP: HeaderName = HeaderName::from_static("x-client-ip");
const PEER_IP: HeaderName = HeaderName::from_static("x-peer-ip");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The metadata of a Check call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a>(pub(super) &'a HeaderMap);

impl<'a> Call<'a> {
    /// Whether the caller is accepted. A call with two tokens is not, even if one of them is right.
    pub(super) fn is_from(self, callers: &Callers) -> bool {
        match callers {
            Callers::Local | Callers::Unauthenticated => true,
            Callers::ByToken(token) => self.entry(&TOKEN).is_some_and(|sent| token.is(sent.as_bytes())),
        }
    }

    /// The client's address as Envoy resolved it.
    pub(super) fn client_ip(self) -> Option<&'a str> {
        self.entry(&CLIENT_IP)
    }

    /// Envoy's peer, before the PROXY protocol.
    pub(super) fn peer_ip(self) -> Option<&'a str> {
        self.entry(&PEER_IP)
    }

    /// The value of this entry, if the entry appears exactly once.
    fn entry(self, name: &HeaderName) -> Option<&'a str> {
        exactly_one(self.0.get_all(name).iter())?.to_str().ok()
    }

    /// The caller's `grpc-timeout` (gRPC over HTTP/2: at most 8 digits and a unit).
    pub(super) fn timeout(self) -> Option<Duration> {
        let text = self.0.get(&TIMEOUT)?.to_str().ok()?;
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let amount: u64 = digits.parse().ok()?;
        match unit {
            "H" => Some(Duration::from_secs(amount * 3600)),
            "M" => Some(Duration::from_secs(amount * 60)),
            "S" => Some(Duration::from_secs(amount)),
            "m" => Some(Duration::from_millis(amount)),
            "u" => Some(Duration::from_micros(amount)),
            "n" => Some(Duration::from_nanos(amount)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::caller::CallerToken;

    fn metadata(entries: &[(&'static str, &str)]) -> HeaderMap {
        let mut metadata = HeaderMap::new();
        for (name, value) in entries {
            metadata.append(*name, value.parse().unwrap());
        }
        metadata
    }

    #[test]
    fn grpc_timeouts() {
        let parse = |text: &str| Call(&metadata(&[("grpc-timeout", text)])).timeout();
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse("1S"), Some(Duration::from_secs(1)));
        for bad in ["", "m", "1", "1x", "-1m", "999999999m", "1.5S"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(Call(&HeaderMap::new()).timeout(), None);
    }

    #[test]
    fn an_entry_must_appear_exactly_once() {
        let entry = |entries: &[(&'static str, &str)]| Call(&metadata(entries)).client_ip().map(str::to_owned);
        assert_eq!(entry(&[("x-client-ip", "192.0.2.1")]).as_deref(), Some("192.0.2.1"));
        assert_eq!(entry(&[("x-client-ip", "a"), ("x-client-ip", "a")]), None);
        assert_eq!(entry(&[("x-client-ip", "caf\u{e9}")]), None);
        assert_eq!(entry(&[]), None);
    }

    #[test]
    fn the_token_must_appear_exactly_once() {
        const TOKEN: &str = "0123456789abcdef0123456789abcdef";
        let callers = Callers::ByToken(CallerToken::new(TOKEN.as_bytes()).unwrap());
        let name = "x-sentinel-token";
        assert!(Call(&metadata(&[(name, TOKEN)])).is_from(&callers));
        for entries in
            [&[][..], &[(name, "")], &[(name, "wrong")], &[(name, TOKEN), (name, TOKEN)], &[("x-token", TOKEN)]]
        {
            assert!(!Call(&metadata(entries)).is_from(&callers), "{entries:?}");
        }
        let nothing = HeaderMap::new();
        assert!(Call(&nothing).is_from(&Callers::Local) && Call(&nothing).is_from(&Callers::Unauthenticated));
    }
}
