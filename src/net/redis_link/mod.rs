//! The connection to Redis: its options, and one connection with a circuit breaker.
//!
//! A slow or unreachable Redis must not delay a request, and nothing depends on Redis.

mod link;
mod needs;

use std::{fmt, time::Duration};

use redis::{Client, TlsCertificates, aio::PubSub};
use rustls::pki_types::{CertificateDer, pem::PemObject};

pub use link::Link;
pub(crate) use needs::Need;

/// How to reach Redis. `Debug` does not show the password.
#[derive(Clone)]
pub struct Options {
    client: Client,
    prefix: String,
    patience: Duration,
    pause: Duration,
}

/// Why a URL or a CA file cannot be used. The texts repeat nothing of either, because the URL may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It has neither of the two schemes.
    #[error("redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] is expected, or rediss:// for TLS")]
    Scheme,
    /// `#insecure` would disable the verification of certificates; `?protocol=` has no effect here.
    #[error("must end with the database; ? and # are not allowed (in a password write %3F and %23)")]
    Extras,
    /// It is not a URL, or has no host.
    #[error(
        "is not a URL with a host, a port up to 65535 and a numeric database (in a password write : / @ as %3A %2F %40; an \
         IPv6 address is in brackets)"
    )]
    Url,
    /// A CA file implies that TLS is expected.
    #[error("is used only with rediss://")]
    CaWithoutTls,
    /// The file is not PEM.
    #[error("contains no PEM certificate")]
    Ca,
}

impl Fault {
    /// Whether the fault is in the CA file.
    pub fn concerns_ca(self) -> bool {
        matches!(self, Self::CaWithoutTls | Self::Ca)
    }
}

/// How long a request waits for Redis alone, and how fast a probe must be answered. A Redis in the same zone answers in
/// a tenth of this; a Redis slower than the store is of no use.
const PATIENCE: Duration = Duration::from_millis(5);

/// How long the breaker stays open at least, which is also the interval of the probes.
const PAUSE: Duration = Duration::from_secs(1);

impl Options {
    /// Makes the options of `redis.url` and the PEM certificates of `redis.ca_file`; without them the system roots are
    /// used.
    pub fn new(url: &str, ca: Option<&[u8]>, prefix: &str) -> Result<Self, Fault> {
        let tls = url.starts_with("rediss://");
        if !tls && !url.starts_with("redis://") {
            return Err(Fault::Scheme);
        }
        if url.contains(['?', '#']) {
            return Err(Fault::Extras);
        }
        let client = match ca {
            Some(_) if !tls => return Err(Fault::CaWithoutTls),
            Some(pem) => {
                if !matches!(CertificateDer::pem_slice_iter(pem).next(), Some(Ok(_))) {
                    return Err(Fault::Ca);
                }
                let info = Client::open(url).map_err(|_| Fault::Url)?.get_connection_info().clone();
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) };
                Client::build_with_tls(info, certificates).map_err(|_| Fault::Ca)?
            }
            None => Client::open(url).map_err(|_| Fault::Url)?,
        };
        Ok(Self { client, prefix: prefix.to_owned(), patience: PATIENCE, pause: PAUSE })
    }

    /// Sets the timeout of a request and the pause between probes. For tests, which run on busy machines and take Redis
    /// away more often.
    pub fn with_times(self, patience: Duration, pause: Duration) -> Self {
        Self { patience, pause, ..self }
    }

    /// The prefix of keys and channels.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The server's address, without the user and the password.
    fn address(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// Opens a connection for a subscriber.
    pub(crate) async fn subscribe(&self, channel: &str) -> redis::RedisResult<PubSub> {
        let mut connection = self.client.get_async_pubsub().await?;
        connection.subscribe(channel).await?;
        Ok(connection)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({}, {:?})", self.address(), self.prefix)
    }
}

/// Returns what may be logged of an error. Redis quotes rejected commands, one of which holds the password, so the text
/// is cut at the first quotation mark.
pub(crate) fn loggable(cause: &redis::RedisError) -> String {
    if cause.is_io_error() {
        return cause.to_string();
    }
    let kind = cause.code().unwrap_or_else(|| cause.category());
    let detail = cause.detail().and_then(|detail| detail.split(['\'', '"', '`']).next()).unwrap_or_default().trim_end();
    if detail.is_empty() { kind.to_owned() } else { format!("{kind}: {detail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_accepted_or_rejected_without_being_repeated() {
        for url in ["redis://h", "redis://:p%40ss@h:1/3", "rediss://user:pass@[::1]:6380", "redis://10.0.0.1/"] {
            let options = Options::new(url, None, "sentinel").unwrap();
            assert!(!format!("{options:?}").contains("ss@"), "{options:?}");
            assert!(!format!("{options:?}").contains("pass"), "{options:?}");
        }
        for (url, fault) in [
            ("", Fault::Scheme),
            ("h:6379", Fault::Scheme),
            ("http://h", Fault::Scheme),
            ("unix:///run/redis.sock", Fault::Scheme),
            ("redis+unix:///run/redis.sock", Fault::Scheme),
            ("rediss://h#insecure", Fault::Extras),
            ("redis://h?protocol=resp3", Fault::Extras),
            ("redis://:pa#ss@h", Fault::Extras),
            ("redis://", Fault::Url),
            ("redis://h:port", Fault::Url),
            ("redis://h/sentinel", Fault::Url),
            ("redis://:pa/ss@h", Fault::Url),
        ] {
            assert_eq!(Options::new(url, None, "sentinel").unwrap_err(), fault, "{url}");
        }
    }

    #[test]
    fn an_error_of_redis_is_logged_up_to_its_first_quotation() {
        let error = |detail: &str| {
            let kind = redis::ErrorKind::Server(redis::ServerErrorKind::ResponseError);
            redis::RedisError::from((kind, "refused", detail.to_owned()))
        };
        assert_eq!(loggable(&error("DB index is out of range")), "ERR: DB index is out of range");
        for mark in ['\'', '"', '`'] {
            let quoted = format!("unknown command {mark}AUTH{mark}, with args beginning with: {mark}s3cret{mark}");
            assert_eq!(loggable(&error(&quoted)), "ERR: unknown command");
        }
        assert_eq!(loggable(&error("'s3cret'")), "ERR");
    }

    #[test]
    fn a_ca_is_a_certificate_and_needs_tls() {
        assert_eq!(Options::new("redis://h", Some(b"x"), "sentinel").unwrap_err(), Fault::CaWithoutTls);
        for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"] {
            assert_eq!(Options::new("rediss://h", Some(pem.as_bytes()), "sentinel").unwrap_err(), Fault::Ca, "{pem}");
        }
    }
}
