//! Keys in `Authorization: Basic` (RFC 7617): the Base64 of `USER:PASSWORD`, one part of which is the key.

use zeroize::Zeroizing;

/// The part of the credentials that is the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasicPart {
    /// The user name, as Stripe's clients send it, with an empty password.
    User,
    /// The password, as Mailgun's clients send it, with any user name.
    Password,
}

/// The key in `credentials`, the text after `Basic `.
///
/// `None` for a second colon, because RFC 7617 splits at the first one and some upstreams at the last; and if the other
/// part may contain a key too, as `may_hold_a_key` has it, because some upstreams accept the key in either part (GitHub:
/// `KEY:x-oauth-basic` and `x-access-token:KEY`).
pub(super) fn read(
    credentials: &str,
    part: BasicPart,
    may_hold_a_key: impl Fn(&str) -> bool,
) -> Option<Zeroizing<String>> {
    let decoded = decode(credentials.as_bytes())?;
    let text = std::str::from_utf8(&decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    if password.contains(':') || text.chars().any(char::is_control) {
        return None;
    }
    let (key, other) = match part {
        BasicPart::User => (user, password),
        BasicPart::Password => (password, user),
    };
    (!may_hold_a_key(other)).then(|| Zeroizing::new(key.to_owned()))
}

/// Decodes the one canonical spelling (RFC 4648 §4): the standard alphabet, with padding, unused bits zero. Lenient
/// decoders accept others, each of which would look the same to them.
fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if text.is_empty() || !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = text.get(..text.len() - padding)?;
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3));
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        bits = (bits << 6 | sextet(*digit)?) & 0xfff;
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count & 0xff) as u8);
        }
    }
    // With more padding than digits ask for, whole digits are left over.
    (count < 6 && padding == usize::from(count > 0) + usize::from(count == 4) && bits & ((1 << count) - 1) == 0)
        .then_some(decoded)
}

fn sextet(digit: u8) -> Option<u32> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    DIGITS.iter().position(|it| *it == digit).map(|value| value as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_base64_is_decoded() {
        let text = |text: &str| decode(text.as_bytes()).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        for (encoded, plain) in [("Og==", ":"), ("YTo=", "a:"), ("YTpi", "a:b"), ("YTpiYw==", "a:bc")] {
            assert_eq!(text(encoded).as_deref(), Some(plain));
        }
        for other in
            ["", "Og", "Og=", "Og===", "Oh==", "YTo", "YTp=", "YTpi====", "YTp i", "YT_i", "YTpi=", "=YTp", "O==="]
        {
            assert_eq!(text(other), None, "{other:?}");
        }
    }
}
