//! The hash of a digest.

use std::hash::Hasher;

/// A digest is an HMAC: its first eight bytes are as good a hash as any, and no attacker can choose them.
#[derive(Default)]
pub(super) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    /// The length prefix of a hashed slice says nothing about it.
    fn write_usize(&mut self, _length: usize) {}
}
