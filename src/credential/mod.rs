//! From a request's headers to its one canonical key.
//!
//! A *profile* is a closed grammar per carrier: what does not match exactly is [`Fault::Malformed`], never passed
//! through as text, because a text that the upstream reads differently from us would be a second name for the same
//! key, and its first use would be a thief's. Pure: no I/O, no clock.

mod generic;
mod jwt;

use crate::domain::ApiKey;

/// What an operator may allow beside the profile's grammar.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `credentials.jwt = "opaque"`: accept a JSON Web Token as if it were an opaque key.
    pub opaque_jwt: bool,
}

/// One request header as Envoy hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The name; Envoy sends lower case.
    pub name: &'a str,
    /// The value's bytes. In Envoy's joined encoding (`headers`) each byte that is not UTF-8 is already a `!`.
    pub value: &'a [u8],
}

/// Why a request has no single key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// More than one key, or one carrier more than once. An attack: a thief shows us his own key and the upstream the
    /// stolen one.
    Conflicting,
    /// A carrier is present, but its text is no key.
    Malformed,
}

/// What one carrier holds.
enum Carrier<'a> {
    Absent,
    Key(&'a str),
    Malformed,
    Repeated,
}

/// A closed grammar: the carriers it reads and how each reduces to the canonical key.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name in `credentials.profile`.
    pub name: &'static str,
    carriers: &'static [CarrierRule],
    /// Header carriers that exist only to carry credentials and that this profile does not read: removed from every
    /// allowed request, or an upstream that reads them would see a key that nobody judged.
    pub unread: &'static [&'static str],
    accepts: fn(&str, Options) -> bool,
}

/// One header carrier of a profile.
#[derive(Clone, Copy, Debug)]
struct CarrierRule {
    header: &'static str,
    /// From the value without outer white space to the key's text; `None` is malformed.
    form: fn(&str) -> Option<&str>,
}

/// Every profile of this version.
pub const PROFILES: [Profile; 1] = [generic::PROFILE];

impl Profile {
    /// The profile with this name, if there is one.
    pub fn by_name(name: &str) -> Option<Self> {
        PROFILES.into_iter().find(|profile| profile.name == name)
    }
}

/// How requests show their keys: `credentials.profile` and its options.
#[derive(Clone, Copy, Debug)]
pub struct Credentials {
    /// The grammar.
    pub profile: Profile,
    /// What the operator allows beside it.
    pub options: Options,
}

impl Credentials {
    /// The request's one canonical key; `Ok(None)` if every carrier is absent.
    ///
    /// All carriers are read on every request. `Conflicting` is reported before `Malformed`.
    pub fn key<'a>(&self, headers: impl Iterator<Item = Header<'a>> + Clone) -> Result<Option<ApiKey>, Fault> {
        let mut found: Option<&str> = None;
        let mut fault: Option<Fault> = None;
        for rule in self.profile.carriers {
            match rule.read(headers.clone(), |key| self.accepts(key)) {
                Carrier::Absent => {}
                Carrier::Malformed => fault = fault.or(Some(Fault::Malformed)),
                Carrier::Repeated => fault = Some(Fault::Conflicting),
                Carrier::Key(key) if found.is_some_and(|first| first != key) => fault = Some(Fault::Conflicting),
                Carrier::Key(key) => found = Some(key),
            }
        }
        match fault {
            Some(fault) => Err(fault),
            None => Ok(found.map(|key| ApiKey::new(key.to_owned()))),
        }
    }

    /// The key that an operator hands over by file: the text of a bare carrier.
    pub fn bare_key(&self, text: &str) -> Option<ApiKey> {
        self.accepts(text).then(|| ApiKey::new(text.to_owned()))
    }

    fn accepts(&self, key: &str) -> bool {
        (self.profile.accepts)(key, self.options)
    }
}

impl CarrierRule {
    fn read<'a>(&self, headers: impl Iterator<Item = Header<'a>>, accepts: impl Fn(&str) -> bool) -> Carrier<'a> {
        let mut values = headers.filter(|header| same_name(header.name, self.header)).map(|header| header.value);
        let Some(value) = values.next() else { return Carrier::Absent };
        // Envoy joins repeated headers with a comma, so one line with a comma and two lines look the same.
        if value.contains(&b',') || values.next().is_some() {
            return Carrier::Repeated;
        }
        let text = std::str::from_utf8(value).ok().map(|text| text.trim_matches([' ', '\t']));
        match text.and_then(self.form).filter(|key| accepts(key)) {
            Some(key) => Carrier::Key(key),
            None => Carrier::Malformed,
        }
    }
}

/// Whether `name` may reach an upstream as `carrier`: CGI and WSGI upstreams read `x_api_key` as `x-api-key`.
pub fn same_name(name: &str, carrier: &str) -> bool {
    name.len() == carrier.len()
        && name.bytes().zip(carrier.bytes()).all(|(a, b)| a.to_ascii_lowercase() == b || (a == b'_' && b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &[u8])]) -> Result<Option<ApiKey>, Fault> {
        let headers = headers.iter().map(|(name, value)| Header { name, value });
        Credentials { profile: generic::PROFILE, options: Options::default() }.key(headers)
    }

    fn key(text: &str) -> Result<Option<ApiKey>, Fault> {
        Ok(Some(ApiKey::new(text.to_owned())))
    }

    const K: &str = "sk-0123456789";

    #[test]
    fn accepted_forms_reduce_to_one_key() {
        for (name, value) in [
            ("authorization", "Bearer sk-0123456789"),
            ("authorization", "bearer sk-0123456789"),
            ("authorization", "BEARER sk-0123456789"),
            ("authorization", "  Bearer sk-0123456789\t "),
            ("authorization", "sk-0123456789"),
            ("x-api-key", "sk-0123456789"),
            ("x-api-key", " sk-0123456789 "),
            ("X-Api-Key", "sk-0123456789"),
            ("x_api_key", "sk-0123456789"),
            ("api-key", "sk-0123456789"),
        ] {
            assert_eq!(read(&[(name, value.as_bytes())]), key(K), "{name}: {value:?}");
        }
    }

    #[test]
    fn everything_else_is_malformed() {
        for value in [
            "",
            " ",
            "Bearer",
            "Bearer ",
            "Bearer  sk-0123456789",
            "Bearer\tsk-0123456789",
            "Bearer sk-0123 456789",
            "BearerBearersk-0123456789",
            "Bearersk-0123456789",
            "Bearer Bearer sk-0123456789",
            "Basic dXNlcjpwYXNz",
            "Bearer=sk-0123456789",
            "Token sk-0123456789",
            "Bearer short",
            "Bearer sk-0123456789!",
            "Bearer \"sk-0123456789\"",
            "Bearer sk-0123456789;x",
            "Bearer sk-ключ-0123456789",
        ] {
            assert_eq!(read(&[("authorization", value.as_bytes())]), Err(Fault::Malformed), "{value:?}");
        }
        assert_eq!(read(&[("x-api-key", b"Bearer sk-0123456789")]), Err(Fault::Malformed));
        assert_eq!(read(&[("authorization", b"Bearer sk-\xff0123456789")]), Err(Fault::Malformed));
        let long = "a".repeat(4097);
        assert_eq!(read(&[("x-api-key", long.as_bytes())]), Err(Fault::Malformed));
    }

    #[test]
    fn two_keys_or_one_shown_twice_conflict() {
        let cases: [&[(&str, &[u8])]; 8] = [
            &[("authorization", b"Bearer sk-0123456789,Bearer sk-0123456789")],
            &[("authorization", b"Bearer sk-0123456789,")],
            &[("authorization", b",")],
            &[("authorization", b"Bearer sk-0123456789"), ("authorization", b"Bearer sk-0123456789")],
            &[("x-api-key", b"sk-0123456789"), ("x_api_key", b"sk-0123456789")],
            &[("authorization", b"Bearer sk-0123456789"), ("x-api-key", b"sk-9876543210")],
            &[("x-api-key", b"sk-0123456789"), ("api-key", b"sk-9876543210")],
            &[("authorization", b"Basic x"), ("x-api-key", b"sk-0123456789,x")],
        ];
        for headers in cases {
            assert_eq!(read(headers), Err(Fault::Conflicting), "{headers:?}");
        }
        assert_eq!(read(&[("authorization", b"Bearer sk-0123456789"), ("x-api-key", b"sk-0123456789")]), key(K));
        assert_eq!(
            read(&[("authorization", b"Basic dXNlcg=="), ("x-api-key", b"sk-0123456789")]),
            Err(Fault::Malformed),
            "a carrier that is no key is not overlooked because another one is"
        );
    }

    #[test]
    fn no_carrier_is_no_key() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("cookie", b"session=1"), ("authorisation", b"Bearer sk-0123456789")]), Ok(None));
    }

    #[test]
    fn a_profile_does_not_both_read_and_remove_a_carrier() {
        for profile in PROFILES {
            for rule in profile.carriers {
                assert!(!profile.unread.contains(&rule.header), "{}: {}", profile.name, rule.header);
            }
        }
    }
}
