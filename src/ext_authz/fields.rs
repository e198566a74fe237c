//! Reads protobuf's wire format without copying (protobuf.dev/programming-guides/encoding).
//!
//! Stricter than prost, so that a message has one reading: a field that may appear once may not appear twice, of which
//! prost takes the last, and groups are rejected. `None` is a malformed message everywhere.

use prost::Message;

/// The fields of a message, in order.
pub(super) struct Fields<'a>(&'a [u8]);

/// The value of a field.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// A number, truth value or enumeration. None that is read here has one.
    Varint,
    /// A string, bytes or a message.
    Bytes(&'a [u8]),
    /// 4 or 8 bytes. No message that is read here has such a field.
    Fixed,
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The next field's number and value; `Some(None)` at the end.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Option<(u32, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let key = u32::try_from(self.varint()?).ok()?;
        let value = match key & 7 {
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            other => self.other(other)?,
        };
        match key >> 3 {
            0 => None,
            number => Some(Some((number, value))),
        }
    }

    /// A value of another wire type than that of strings, bytes and messages.
    fn other(&mut self, wire_type: u32) -> Option<Value<'a>> {
        match wire_type {
            0 => self.varint().map(|_| Value::Varint),
            1 => self.take(8).map(|_| Value::Fixed),
            5 => self.take(4).map(|_| Value::Fixed),
            _ => None,
        }
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline(always)]
    fn varint(&mut self) -> Option<u64> {
        // Nearly all keys and lengths have one byte or two.
        let (number, rest) = match self.0 {
            [byte @ ..0x80, rest @ ..] => (u64::from(*byte), rest),
            [low, high @ ..0x80, rest @ ..] => (u64::from(low & 0x7f) | u64::from(*high) << 7, rest),
            _ => return self.long_varint(),
        };
        self.0 = rest;
        Some(number)
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for (at, byte) in self.0.iter().take(10).enumerate() {
            // Bits beyond the 64th.
            if at == 9 && *byte > 1 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Some(number);
            }
        }
        None
    }
}

impl<'a> Value<'a> {
    #[inline]
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Varint | Self::Fixed => None,
        }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// Checks a text that is not read.
    #[inline]
    pub(super) fn valid_text(self) -> Option<&'a [u8]> {
        self.bytes().filter(|bytes| bytes.is_ascii() || std::str::from_utf8(bytes).is_ok())
    }

    /// Checks a number, truth value or enumeration.
    pub(super) fn number(self) -> Option<()> {
        matches!(self, Self::Varint).then_some(())
    }

    /// A message that is not read but must be valid. It is nearly always absent or empty.
    pub(super) fn valid<M: Message + Default>(self) -> Option<()> {
        let bytes = self.bytes()?;
        if bytes.is_empty() { Some(()) } else { M::decode(bytes).ok().map(drop) }
    }
}

/// The numbers of the fields that a message had.
#[derive(Default)]
pub(super) struct Seen(u32);

impl Seen {
    /// Records the field `number`, which is below 32; `None` if the message had it before.
    #[inline]
    pub(super) fn first(&mut self, number: u32) -> Option<()> {
        let bit = 1 << number;
        let is_first = self.0 & bit == 0;
        self.0 |= bit;
        is_first.then_some(())
    }
}
