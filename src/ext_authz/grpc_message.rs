//! Puts the one message of a call together from the DATA frames that it comes in.

use bytes::Bytes;

/// The longest Check message that is read, in bytes. Envoy limits request headers to 60 KiB by default and 8 MiB at
/// most (`max_request_headers_kb`); a longer message contains a request body, which this service does not read.
const MAX_MESSAGE: usize = 8 << 20;

/// One byte that says whether the message is compressed, and four of its length.
const PREFIX: usize = 5;

/// What has arrived of a message.
#[derive(Debug, Default)]
pub(super) enum GrpcMessage {
    #[default]
    Nothing,
    /// One DATA frame, as nearly always.
    One(Bytes),
    Several(Vec<u8>),
    /// Compressed, too long, or followed by something.
    Invalid,
}

impl GrpcMessage {
    /// Adds the payload of a DATA frame.
    pub(super) fn push(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(data),
            Self::One(first) => Self::Several([first, data].concat()),
            Self::Several(mut all) => {
                all.extend_from_slice(&data);
                Self::Several(all)
            }
            Self::Invalid => Self::Invalid,
        };
        if let [flag, a, b, c, d, rest @ ..] = self.bytes() {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            if *flag != 0 || length > MAX_MESSAGE || rest.len() > length {
                *self = Self::Invalid;
            }
        }
    }

    pub(super) fn is_invalid(&self) -> bool {
        matches!(self, Self::Invalid)
    }

    /// The message, if it is complete.
    pub(super) fn complete(&self) -> Option<&[u8]> {
        let (prefix, message) = self.bytes().split_first_chunk::<PREFIX>()?;
        let [_, a, b, c, d] = *prefix;
        (message.len() == u32::from_be_bytes([a, b, c, d]) as usize).then_some(message)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Nothing | Self::Invalid => &[],
            Self::One(bytes) => bytes,
            Self::Several(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&[u8]]) -> Option<Vec<u8>> {
        let mut message = GrpcMessage::default();
        for part in parts {
            message.push(Bytes::copy_from_slice(part));
        }
        message.complete().map(<[u8]>::to_vec)
    }

    #[test]
    fn a_message_is_one_however_it_is_cut() {
        let whole = b"\0\0\0\0\x03abc";
        assert_eq!(of(&[whole]).as_deref(), Some(&b"abc"[..]));
        for at in 0..whole.len() {
            assert_eq!(of(&[&whole[..at], b"", &whole[at..]]).as_deref(), Some(&b"abc"[..]), "{at}");
            assert_eq!(of(&[&whole[..at]]), None, "{at}");
        }
        assert_eq!(of(&whole.chunks(1).collect::<Vec<_>>()).as_deref(), Some(&b"abc"[..]));
        assert_eq!(of(&[b"\0\0\0\0\0"]).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn what_is_not_exactly_one_plain_message_is_none() {
        let longest = u32::try_from(MAX_MESSAGE).unwrap();
        let too_long = [&[0][..], &(longest + 1).to_be_bytes(), b"a"].concat();
        for parts in [
            &[&b""[..]][..],
            &[b"\x01\0\0\0\x03abc"],
            &[b"\0\0\0\0\x03abcd"],
            &[b"\0\0\0\0\x03abc", b"\0\0\0\0\x03abc"],
            &[b"\0\0\0\0\x03abcd", b"e"],
            &[&too_long],
        ] {
            assert_eq!(of(parts), None, "{parts:?}");
        }
    }
}
