//! Recognises JSON Web Tokens, which are not API keys: one token has several spellings (padding, signature encodings),
//! and every refreshed token would be a first use.

/// Whether `key` has the shape of a JWS or JWE in compact serialization (RFC 7515 §7.1, RFC 7516 §7.1): three or five
/// segments, the first of which is the Base64 of a JSON object.
///
/// Accepts both Base64 alphabets, and JSON white space before the brace, because lenient decoders do.
pub(super) fn looks_like_jwt(key: &str) -> bool {
    let mut segments = key.split('.');
    let Some(header) = segments.next() else { return false };
    let others = segments.count();
    (others == 2 || others == 4) && first_json_byte(header) == Some(b'{')
}

/// The first byte of the decoded text that is not JSON white space.
fn first_json_byte(base64: &str) -> Option<u8> {
    let mut bits: u32 = 0;
    let mut count = 0;
    for byte in base64.bytes() {
        bits = (bits << 6 | u32::from(sextet(byte)?)) & 0xfff;
        count += 6;
        if count >= 8 {
            count -= 8;
            let decoded = (bits >> count & 0xff) as u8;
            if !matches!(decoded, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(decoded);
            }
        }
    }
    None
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::looks_like_jwt;

    #[test]
    fn tokens_are_recognised_and_dotted_keys_are_not() {
        for token in [
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
            "eyJhbGciOiJSU0EifQ.a2V5.aXY.Y2lwaGVy.dGFn",
            "eyAiYWxnIjoibm9uZSJ9.e30.",
            "ewogImFsZyI6Im5vbmUifQ.e30.",
            "CQl7ImFsZyI6Im5vbmUifQ.e30.",
        ] {
            assert!(looks_like_jwt(token), "{token}");
        }
        for key in ["sk-0123456789", "a.b.c", "v1.public.0123456789", "eyJhbGciOiJIUzI1NiJ9.e30", "", ".."] {
            assert!(!looks_like_jwt(key), "{key}");
        }
    }
}
