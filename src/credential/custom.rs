//! Custom profiles: `[credentials.custom.NAME]`.

use super::{
    Alphabet, BasicPart, Canonicalisation, Carrier, Dialect, Form, Format, Grammar, MAX_CARRIERS, Place, Plus, Profile,
    grammar::starts_ignoring_case,
    name::{Names, reduces_to, same_name},
    table::{PROFILES, PROTOCOL},
};

/// A custom profile as configured. Each setting is valid by itself, but the combination may not be.
#[derive(Clone, Debug)]
pub struct Custom {
    /// `NAME`.
    pub name: String,
    /// `carriers`.
    pub carriers: Vec<Carrier>,
    /// `strip_through`.
    pub strip_through: Option<char>,
    /// `strip`.
    pub strip: String,
    /// `fold_case`.
    pub fold: bool,
    /// `prefixes`.
    pub prefixes: Vec<String>,
    /// `alphabet`.
    pub alphabet: Alphabet,
    /// `min_length` and `max_length`.
    pub length: (usize, usize),
    /// `query_plus`.
    pub plus: Plus,
    /// `dialect`.
    pub dialect: Dialect,
}

const SOURCE: &str = "the configuration";

/// The fault of a profile without carriers.
pub const NO_CARRIER: &str = "needs at least one carrier, such as \"header x-api-key bare\"";

/// Headers that cannot carry a key, because Envoy, HTTP or this crate gives them another meaning.
const NO_CARRIERS: [&str; 14] = [
    "host",
    "cookie",
    "sec-websocket-protocol",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "transfer-encoding",
    "content-length",
    "content-type",
    "x-forwarded-for",
    "x-request-id",
    "x-original-url",
    "x-rewrite-url",
];

impl Carrier {
    /// Parses `header NAME FORM`, `query NAME` or `cookie NAME`; the form is `bare`, `bearer`, `bearer-or-bare`,
    /// `scheme:NAME`, `scheme:Basic user` or `scheme:Basic password`.
    ///
    /// Leaks the name: profiles are `&'static`, so that a request does not clone one, and a process reads few
    /// configurations.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let (place, form) = match words[..] {
            ["header", name, form] => (Place::Header(header_name(name)?), form_named(form)?),
            ["header", name, scheme, part] => (Place::Header(header_name(name)?), basic(scheme, part)?),
            ["query", name] => (Place::Query(plain_name(name)?.to_owned().leak()), Form::Bare),
            ["cookie", name] => (Place::Cookie(plain_name(name)?.to_owned().leak()), Form::Bare),
            _ => {
                return Err(format!(
                    "{text:?} is not \"header NAME bare\", \"header NAME bearer\", \"header NAME bearer-or-bare\", \
                     \"header NAME scheme:SCHEME\", \"query NAME\" or \"cookie NAME\""
                ));
            }
        };
        Ok(Self { place, form, placeholders: &[], source: SOURCE })
    }

    /// Whether some upstream may take the two carriers for the same place.
    fn overlaps(&self, other: &Self) -> bool {
        match (self.place, other.place) {
            (Place::Header(a), Place::Header(b)) => same_name(a, b),
            (Place::Query(a), Place::Query(b)) | (Place::Cookie(a), Place::Cookie(b)) => reduces_to(a.as_bytes(), b),
            (a, b) => a == b,
        }
    }
}

fn form_named(word: &str) -> Result<Form, String> {
    match word {
        "bare" => Ok(Form::Bare),
        "bearer" => Ok(Form::Bearer),
        "bearer-or-bare" => Ok(Form::BearerOrBare),
        _ => match word.strip_prefix("scheme:") {
            Some(names) => schemes(names),
            None => Err(format!("{word:?} is not one of: bare, bearer, bearer-or-bare, scheme:SCHEME")),
        },
    }
}

/// Schemes whose credentials are not one key: proofs, signatures and lists of parameters. From the IANA registry of
/// HTTP authentication schemes, and AWS's and Hawk's.
const NO_KEYS: [&str; 13] = [
    "AWS4-HMAC-SHA256",
    "AWS4-ECDSA-P256-SHA256",
    "Concealed",
    "Digest",
    "GNAP",
    "Hawk",
    "HOBA",
    "Mutual",
    "Negotiate",
    "NTLM",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "vapid",
];

/// `Token`, or `Token|ApiKey` for an upstream that reads both.
fn schemes(text: &str) -> Result<Form, String> {
    let names: Vec<&str> = text.split('|').collect();
    for (nth, name) in names.iter().enumerate() {
        let is = |other: &&str| name.eq_ignore_ascii_case(other);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if !(2..=32).contains(&name.len()) || !begins || !name.bytes().all(is_plain) {
            return Err(format!(
                "{name:?} is not a scheme: 2 to 32 letters, digits and - _ . that begin with a letter, such as \
                 scheme:Token; several schemes are scheme:Token|ApiKey"
            ));
        }
        if is(&"Basic") {
            return Err("scheme:Basic needs the part that is the key, and stands alone: \"header NAME scheme:Basic \
                        user\" or \"header NAME scheme:Basic password\""
                .to_owned());
        }
        if NO_KEYS.iter().any(is) {
            return Err(format!("the credentials of the scheme {name:?} are not one key"));
        }
        if names[..nth].iter().any(is) {
            return Err(format!("the scheme {name:?} appears twice; case does not matter"));
        }
    }
    if let [only] = names[..]
        && only.eq_ignore_ascii_case("Bearer")
    {
        return Ok(Form::Bearer);
    }
    let names: Vec<&'static str> = names.into_iter().map(|name| &*name.to_owned().leak()).collect();
    Ok(Form::Scheme(names.leak()))
}

fn basic(scheme: &str, part: &str) -> Result<Form, String> {
    if !scheme.eq_ignore_ascii_case("scheme:basic") {
        return Err(format!("{part:?} follows a form; only scheme:Basic has a second word, user or password"));
    }
    match part {
        "user" => Ok(Form::Basic(BasicPart::User)),
        "password" => Ok(Form::Basic(BasicPart::Password)),
        _ => Err(format!("{part:?} is not one of: user, password")),
    }
}

fn header_name(name: &str) -> Result<&'static str, String> {
    let lower = plain_name(name)?.to_ascii_lowercase();
    let begins = |start: &&str| lower.get(..start.len()).is_some_and(|head| same_name(head, start));
    if NO_CARRIERS.iter().any(|name| same_name(&lower, name)) || ["x-envoy-", "x-sentinel-"].iter().any(begins) {
        return Err(format!("the header {name:?} cannot carry a key"));
    }
    if lower.contains('$') {
        return Err(format!("{name:?} is not a header name"));
    }
    Ok(lower.leak())
}

fn plain_name(name: &str) -> Result<&str, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.$".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(name);
    }
    Err(format!("{name:?} is not a name of 1 to 64 letters, digits and - _ . $"))
}

/// The schemes of all carriers.
fn scheme_names(carriers: &[Carrier]) -> Vec<&'static str> {
    let names = carriers.iter().map(|carrier| match carrier.form {
        Form::Scheme(names) => names,
        Form::Basic(_) => &["Basic"],
        Form::Bare | Form::Bearer | Form::BearerOrBare | Form::LiteLlm | Form::Never => &[],
    });
    names.flatten().copied().collect()
}

impl Custom {
    /// The profile, or all its faults.
    pub fn build(self) -> Result<Profile, Vec<String>> {
        let faults = self.faults();
        if !faults.is_empty() {
            return Err(faults);
        }
        let Self { name, mut carriers, strip_through, strip, fold, prefixes, alphabet, length, plus, dialect } = self;
        // With `prefixes`, the format says how keys begin, and a key may begin like a scheme: `Key key_…`.
        let schemes: &[&str] = if prefixes.is_empty() { scheme_names(&carriers).leak() } else { &[] };
        let prefixes = if prefixes.is_empty() { vec![String::new()] } else { prefixes };
        let format = |prefix: String| Format { prefix: prefix.leak(), alphabet, length };
        let formats: Vec<Format> = prefixes.into_iter().map(format).collect();
        carriers.push(PROTOCOL);
        let grammar = Grammar {
            canonical: Canonicalisation { strip_through, strip: strip.leak(), channel: false, fold },
            formats: formats.leak(),
            may_be_jwt: true,
            schemes,
            source: SOURCE,
        };
        let profile = Profile::new(name.leak(), dialect, carriers.leak(), grammar);
        Ok(Profile { plus, names: Names::Unknown, ..profile })
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let is_named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if !(1..=32).contains(&self.name.len()) || !self.name.bytes().all(is_named) {
            faults.push("the name of a profile must be 1 to 32 characters of a-z 0-9 - _".to_owned());
        }
        if PROFILES.iter().any(|profile| profile.name == self.name) {
            faults.push("a built-in profile has this name; choose another".to_owned());
        }
        if self.carriers.is_empty() {
            faults.push(format!("carriers: {NO_CARRIER}"));
        }
        // `build` adds the list of WebSocket protocols, which every profile reads.
        if self.carriers.len() >= MAX_CARRIERS {
            faults.push(format!("carriers: has {}; at most {} are allowed", self.carriers.len(), MAX_CARRIERS - 1));
        }
        for (nth, carrier) in self.carriers.iter().enumerate() {
            if self.carriers[..nth].iter().any(|earlier| earlier.overlaps(carrier)) {
                faults.push(format!("carriers: {} appears twice, possibly in another spelling", carrier.label()));
            }
        }
        let (min, max) = self.length;
        if min > max {
            faults.push(format!("min_length {min} is greater than max_length {max}"));
        }
        for text in self.prefixes.iter().chain(Some(&self.strip)) {
            if !self.alphabet.holds(text) {
                faults.push(format!("{text:?} contains characters that are not in alphabet"));
            }
        }
        if let Some(end) = self.strip_through
            && (self.strip.contains(end) || self.prefixes.iter().any(|prefix| prefix.contains(end)))
        {
            faults.push(format!("strip and prefixes must not contain the strip_through character {end:?}"));
        }
        self.prefixes.iter().for_each(|prefix| self.check_prefix(prefix, &mut faults));
        faults
    }

    fn check_prefix(&self, prefix: &str, faults: &mut Vec<String>) {
        if prefix.is_empty() {
            faults.push("prefixes: must not contain an empty text; remove the setting to accept any prefix".to_owned());
        }
        if prefix.len() >= self.length.0 {
            faults.push(format!("prefixes: {prefix:?} alone would be a key; increase min_length"));
        }
        if prefix.contains('=') {
            faults.push(format!("prefixes: {prefix:?} contains \"=\", which is allowed only at the end of a key"));
        }
        if !self.strip.is_empty() && starts_ignoring_case(prefix, &self.strip) {
            faults.push(format!("prefixes: {prefix:?} begins with strip, which is removed first; remove it here"));
        }
    }
}
