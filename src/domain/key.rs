//! From the key that a client sends to the digest and the id that may be stored and printed.

use std::{fmt, str::FromStr};

use hex::FromHex;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// The longest key, in bytes: as long as Envoy's default limit of all request headers (`max_request_headers_kb`). Keys
/// are hashed and never stored, so a smaller limit would gain nothing.
pub const MAX_KEY: usize = 60 * 1024;

/// A canonical API key: what remains after the profile removed what the upstream ignores.
///
/// Exists in memory for one request, is zeroed on drop, and prints as `ApiKey(…)`, so that a log, trace or panic cannot
/// show it.
#[derive(PartialEq)]
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// Wraps a key. Only `credential` calls this, after its grammar accepted `canonical`.
    pub fn new(canonical: String) -> Self {
        Self(Zeroizing::new(canonical))
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The look-up digest, `HMAC-SHA-256(pepper, realm ‖ 0x00 ‖ canonical key)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// From the 32 stored bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes to store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 lower-case hex digits")]
pub struct KeyDigestError;

impl FromStr for KeyDigest {
    type Err = KeyDigestError;

    fn from_str(text: &str) -> Result<Self, KeyDigestError> {
        let bytes = <[u8; 32]>::from_hex(text).ok().filter(|_| is_lower_hex(text));
        bytes.map(Self).ok_or(KeyDigestError)
    }
}

/// The digests of one key under every listed pepper, the active one's first. The key's row is under one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyDigests {
    first: KeyDigest,
    others: [Option<KeyDigest>; 2],
}

impl KeyDigests {
    /// Ignores `others` beyond the second: a process lists at most three peppers.
    pub fn new(first: KeyDigest, others: impl IntoIterator<Item = KeyDigest>) -> Self {
        let mut others = others.into_iter();
        Self { first, others: [others.next(), others.next()] }
    }

    /// The digest under the active pepper.
    pub fn first(&self) -> KeyDigest {
        self.first
    }

    /// All digests, the active pepper's first.
    pub fn iter(&self) -> impl Iterator<Item = KeyDigest> + use<> {
        std::iter::once(self.first).chain(self.others.into_iter().flatten())
    }
}

impl From<KeyDigest> for KeyDigests {
    fn from(only: KeyDigest) -> Self {
        Self { first: only, others: [None, None] }
    }
}

/// A key's printed name: `k_` and 32 hex digits. Fixed when the key's row is made; re-keying does not change it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// Its text, which is ASCII, on the stack: for the decision path, where formatting costs more than the rest of the
    /// answer.
    pub fn to_text(self) -> [u8; 34] {
        let mut text = *b"k_00000000000000000000000000000000";
        // The length is right, so it cannot fail.
        let _ = hex::encode_to_slice(self.0, &mut text[2..]);
        text
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k_{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a key id or a prefix of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id is k_ and 32 lower-case hex digits; at least the first 8 are needed, with or without k_")]
pub struct KeyIdError;

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let hex = text.strip_prefix("k_").filter(|hex| hex.len() == 32 && is_lower_hex(hex)).ok_or(KeyIdError)?;
        u128::from_str_radix(hex, 16).map(|bits| Self(bits.to_be_bytes())).map_err(|_| KeyIdError)
    }
}

/// How an operator names a key: by the first 8 to 32 hex digits of its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyIdPrefix(String);

impl KeyIdPrefix {
    /// The prefix with its `k_`, as ids are stored and printed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The whole id, which matches exactly one key.
impl From<KeyId> for KeyIdPrefix {
    fn from(id: KeyId) -> Self {
        Self(id.to_string())
    }
}

impl FromStr for KeyIdPrefix {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let hex = text.strip_prefix("k_").unwrap_or(text);
        if !(8..=32).contains(&hex.len()) || !is_lower_hex(hex) {
            return Err(KeyIdError);
        }
        Ok(Self(format!("k_{hex}")))
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The first and last four characters of a key of at least 20, so that an operator recognises the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint(String);

impl Hint {
    const MIN_KEY: usize = 20;

    fn of(key: &ApiKey) -> Option<Self> {
        let text = key.as_str();
        if text.len() < Self::MIN_KEY || !text.is_ascii() {
            return None;
        }
        Some(Self(format!("{}…{}", &text[..4], &text[text.len() - 4..])))
    }

    /// From a stored text.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// `abcd…wxyz`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A pepper's printed name, which does not reveal the pepper: the first 8 hex digits of its check value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PepperId(String);

impl PepperId {
    /// From a stored text.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Eight lower-case hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not a pepper id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pepper's id is 8 lower-case hex digits")]
pub struct PepperIdError;

impl FromStr for PepperId {
    type Err = PepperIdError;

    fn from_str(text: &str) -> Result<Self, PepperIdError> {
        if text.len() == 8 && is_lower_hex(text) { Ok(Self(text.to_owned())) } else { Err(PepperIdError) }
    }
}

/// The secret that keys the digests. Without it, a stolen database reveals nothing about the keys.
#[derive(Clone)]
pub struct Pepper {
    mac: Hmac<Sha256>,
    check: [u8; 32],
}

/// Why a secret is not accepted as a pepper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PepperSecretError {
    /// Too short.
    #[error("a pepper has at least 32 bytes, this one has {0}; create one with `sentinel pepper new`")]
    Short(usize),
    /// One byte repeated, or only white space.
    #[error("a pepper must be random; this one repeats one byte, or is blank; create one with `sentinel pepper new`")]
    Uniform,
    /// The path of a secret where the secret itself is expected.
    #[error(
        "looks like a path, not a secret: set pepper.secrets_file to the path; a secret that begins like this must be \
         in a file"
    )]
    Path,
    /// More than one secret, or text around the secret.
    #[error("has {0} lines; put one secret in each file")]
    Lines(usize),
}

impl Pepper {
    /// The shortest pepper that is accepted, in bytes.
    pub const MIN_BYTES: usize = 32;

    /// Makes a pepper of `secret`, of which it checks only the length.
    pub fn new(secret: &[u8]) -> Result<Self, PepperSecretError> {
        let short = PepperSecretError::Short(secret.len());
        if secret.len() < Self::MIN_BYTES {
            return Err(short);
        }
        let mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| short)?;
        // The input for a key begins with its realm, which is not empty and contains no 0x00: no key has this input.
        let check = mac.clone().chain_update(b"\0key-ip-sentinel pepper check").finalize().into_bytes().into();
        Ok(Self { mac, check })
    }

    /// As [`Pepper::new`], but also rejects a secret that is obviously not random. For secrets that an operator wrote.
    pub fn checked(secret: &[u8]) -> Result<Self, PepperSecretError> {
        // Text only: any of 32 random raw bytes may be a line break.
        let lines = std::str::from_utf8(secret).map_or(1, |text| text.trim_end().lines().count());
        if lines > 1 {
            return Err(PepperSecretError::Lines(lines));
        }
        let pepper = Self::new(secret)?;
        if secret.iter().all(|byte| Some(byte) == secret.first()) || secret.trim_ascii().is_empty() {
            return Err(PepperSecretError::Uniform);
        }
        Ok(pepper)
    }

    /// As [`Pepper::checked`], but also rejects a path, for a secret in a setting: an operator may write the path of
    /// the secret instead, which is easy to guess.
    pub fn from_setting(secret: &str) -> Result<Self, PepperSecretError> {
        if ["/", "./", "file:"].iter().any(|beginning| secret.trim_start().starts_with(beginning)) {
            return Err(PepperSecretError::Path);
        }
        Self::checked(secret.as_bytes())
    }

    /// What a store records to recognise this pepper again.
    pub fn check_value(&self) -> &[u8; 32] {
        &self.check
    }

    /// Derives a key for another purpose. The derived key and the digests reveal nothing about each other.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        // No key has this input, for the same reason as in `new`.
        let mac = self.mac.clone().chain_update(b"\0key-ip-sentinel derived key\0").chain_update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    /// The pepper's printed name.
    pub fn id(&self) -> PepperId {
        PepperId(hex::encode(&self.check[..4]))
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper({}, …)", self.id())
    }
}

/// Turns keys of one realm into [`Fingerprint`]s. Hashes the pepper and the realm once, not for every request.
#[derive(Clone, Debug)]
pub struct KeyHasher {
    pepper: Pepper,
    realm: String,
    keyed: Hmac<Sha256>,
    hints: bool,
}

impl KeyHasher {
    /// `realm` must not contain 0x00 (the configuration rejects it). `hints` says whether fingerprints have a [`Hint`].
    pub fn new(pepper: Pepper, realm: &str, hints: bool) -> Self {
        let keyed = pepper.mac.clone().chain_update(realm.as_bytes()).chain_update([0]);
        Self { pepper, realm: realm.to_owned(), keyed, hints }
    }

    /// The pepper of this hasher.
    pub fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// The realm of the keys.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The digest by which the store and the caches find `key`.
    pub fn digest(&self, key: &ApiKey) -> KeyDigest {
        KeyDigest(self.keyed.clone().chain_update(key.as_str().as_bytes()).finalize().into_bytes().into())
    }

    /// Everything that a new row stores about `key`.
    pub fn fingerprint(&self, key: &ApiKey) -> Fingerprint {
        Fingerprint {
            digest: self.digest(key),
            pepper: self.pepper.id(),
            realm: self.realm.clone(),
            hint: if self.hints { Hint::of(key) } else { None },
            others: Vec::new(),
        }
    }
}

/// Everything about a key that outlives its request: enough to make the key's row, too little to recover the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The look-up digest.
    pub digest: KeyDigest,
    /// The digests under the other listed peppers, under which an older row may be. Not stored.
    #[serde(skip)]
    pub others: Vec<KeyDigest>,
    /// The pepper of `digest`.
    pub pepper: PepperId,
    /// `credentials.realm`: the upstream key store that the key belongs to.
    pub realm: String,
    /// Helps an operator to recognise the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
}

impl Fingerprint {
    /// Every digest under which the key's row may be.
    pub fn digests(&self) -> KeyDigests {
        KeyDigests::new(self.digest, self.others.iter().copied())
    }
}

impl KeyDigest {
    /// The id of a row that is made now. The id of an existing row is in the row: after re-keying it differs from this.
    pub fn new_id(&self) -> KeyId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        KeyId(id)
    }
}

/// Writes a random secret as `sentinel pepper new` prints it: 64 hex digits.
pub fn encode_pepper(mut entropy: [u8; 32]) -> Zeroizing<String> {
    let text = hex::encode(entropy);
    entropy.zeroize();
    Zeroizing::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(realm: &str) -> KeyHasher {
        KeyHasher::new(Pepper::new(&[7; 32]).unwrap(), realm, true)
    }

    /// Against Python: hmac.new(b"\x07"*32, b"default\0sk-test-key", "sha256").hexdigest()
    #[test]
    fn the_digest_is_the_documented_hmac() {
        let digest = hasher("default").digest(&ApiKey::new("sk-test-key".into()));
        let hex = digest.to_string();
        assert_eq!(hex.parse(), Ok(digest));
        assert_eq!(hex.to_uppercase().parse::<KeyDigest>(), Err(KeyDigestError));
        assert_eq!(hex, "72ef74817e57e0c6c4b6ab3ae8db23efdb6995a213cbcbb197cbf63e959a34b0");
        assert_eq!(digest.new_id().to_string(), format!("k_{}", &hex[..32]));
    }

    #[test]
    fn realms_do_not_share_keys() {
        let key = ApiKey::new("sk-test-key".into());
        assert_ne!(hasher("a").digest(&key), hasher("b").digest(&key));
    }

    #[test]
    fn hints_show_eight_characters_of_long_keys_only() {
        let of = |text: &str| hasher("r").fingerprint(&ApiKey::new(text.into())).hint.map(|hint| hint.0);
        assert_eq!(of("0123456789abcdefghi"), None);
        assert_eq!(of("0123456789abcdefghij").as_deref(), Some("0123…ghij"));
    }

    #[test]
    fn secrets_do_not_print() {
        let shown = format!("{:?} {:?}", ApiKey::new("sk-test-key".into()), Pepper::new(&[7; 32]).unwrap());
        assert!(!shown.contains("sk-") && !shown.contains("[7"), "{shown}");
        assert_eq!(Pepper::new(&[7; 31]).unwrap_err(), PepperSecretError::Short(31));
    }

    #[test]
    fn references_are_prefixes_of_8_to_32_hex_digits() {
        assert_eq!("0a1b2c3d".parse::<KeyIdPrefix>().unwrap().as_str(), "k_0a1b2c3d");
        assert_eq!("k_0a1b2c3d4".parse::<KeyIdPrefix>().unwrap().as_str(), "k_0a1b2c3d4");
        for text in
            ["", "k_", "0a1b2c3", "k_0a1b2c3", "0A1B2C3D", "0a1b2c3g", "sk-0a1b2c3d", "k_k_0a1b2c3d", "%%%%%%%%"]
        {
            assert!(text.parse::<KeyIdPrefix>().is_err(), "{text:?}");
        }
        let id = KeyDigest::from_bytes([0xab; 32]).new_id();
        assert_eq!(id.to_string().parse::<KeyId>().unwrap(), id);
    }
}
