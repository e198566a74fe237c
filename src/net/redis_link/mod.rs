//! How Redis is reached: where it is, and one connection to it with a breaker before it.
//!
//! Nothing here may cost a request anything while Redis is slow or dead, and nothing depends on it being there.

mod link;

use std::{fmt, time::Duration};

use redis::{Client, TlsCertificates, aio::PubSub};
use rustls::pki_types::{CertificateDer, pem::PemObject};

pub use link::Link;

/// Where Redis is. Its `Debug` shows no password.
#[derive(Clone)]
pub struct Options {
    client: Client,
    prefix: String,
    patience: Duration,
    pause: Duration,
}

/// A URL or a CA file is of no use. The texts repeat nothing of either: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither of the two schemes.
    #[error("redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] is expected, or rediss:// for TLS")]
    Scheme,
    /// `#insecure` would switch the verification of certificates off; `?protocol=` has no use here.
    #[error("a redis URL ends with its database; neither ? nor # may follow (in a password they are %3F and %23)")]
    Extras,
    /// Not a URL, or one without a host.
    #[error("is not a URL with a host, and a number as database (in a password : / @ are %3A %2F %40)")]
    Url,
    /// Whoever names a CA expects TLS.
    #[error("is of no use without rediss://")]
    CaWithoutTls,
    /// No PEM.
    #[error("holds no certificate in PEM")]
    Ca,
}

impl Fault {
    /// Whether it is the CA file that is of no use.
    pub fn is_of_the_ca(self) -> bool {
        matches!(self, Self::CaWithoutTls | Self::Ca)
    }
}

/// How long a request waits for Redis alone, and how fast a probe must be answered. A Redis in the same zone answers in
/// a tenth of it; one that is farther away than the store is of no use.
const PATIENCE: Duration = Duration::from_millis(5);

/// How long the breaker stays open at least, and how often Redis is probed then.
const PAUSE: Duration = Duration::from_secs(1);

impl Options {
    /// Of `redis.url`, and the certificates of `redis.ca_file` in PEM; without them the system's roots count.
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

    /// Other times to wait for an answer, and before the next probe. For tests, whose machine may be busier than any
    /// server, and which have Redis away more often.
    pub fn with_times(self, patience: Duration, pause: Duration) -> Self {
        Self { patience, pause, ..self }
    }

    /// What keys and channels begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A connection of its own for a subscriber.
    pub(crate) async fn subscribe(&self, channel: &str) -> redis::RedisResult<PubSub> {
        let mut connection = self.client.get_async_pubsub().await?;
        connection.subscribe(channel).await?;
        Ok(connection)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({}, {:?})", self.client.get_connection_info().addr(), self.prefix)
    }
}

/// What may be logged of an error. Redis quotes the commands that it does not take, and one of them is the password's, so
/// nothing is repeated from the first quotation mark on.
pub(crate) fn told(cause: &redis::RedisError) -> String {
    if cause.is_io_error() {
        return cause.to_string();
    }
    let kind = cause.code().unwrap_or_else(|| cause.category());
    let said = cause.detail().and_then(|said| said.split(['\'', '"', '`']).next()).unwrap_or_default().trim_end();
    if said.is_empty() { kind.to_owned() } else { format!("{kind}: {said}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_or_refused_without_being_repeated() {
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
    fn what_redis_said_is_told_up_to_what_it_quotes() {
        let error = |detail: &str| {
            let kind = redis::ErrorKind::Server(redis::ServerErrorKind::ResponseError);
            redis::RedisError::from((kind, "refused", detail.to_owned()))
        };
        assert_eq!(told(&error("DB index is out of range")), "ERR: DB index is out of range");
        for mark in ['\'', '"', '`'] {
            let quoted = format!("unknown command {mark}AUTH{mark}, with args beginning with: {mark}s3cret{mark}");
            assert_eq!(told(&error(&quoted)), "ERR: unknown command");
        }
        assert_eq!(told(&error("'s3cret'")), "ERR");
    }

    #[test]
    fn a_ca_is_a_certificate_and_needs_tls() {
        assert_eq!(Options::new("redis://h", Some(b"x"), "sentinel").unwrap_err(), Fault::CaWithoutTls);
        for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"] {
            assert_eq!(Options::new("rediss://h", Some(pem.as_bytes()), "sentinel").unwrap_err(), Fault::Ca, "{pem}");
        }
    }
}
