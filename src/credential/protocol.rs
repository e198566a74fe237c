//! Keys in `Sec-WebSocket-Protocol`, for browsers, which cannot set other headers on a WebSocket: a list of tokens
//! (RFC 6455 §11.3.4), one of which is `openai-insecure-api-key.KEY`.

use super::{
    grammar::Grammar,
    name::Written,
    slot::{Slot, trim},
};

pub(super) const HEADER: &str = "sec-websocket-protocol";
const MARK: &[u8] = b"openai-insecure-api-key";

/// What the upstream makes of a list without a marked entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmarked {
    /// Nothing.
    Ignored,
    /// The key: the whole of it, whatever it is.
    IsKey,
}

/// One line of the list. Several lines are one list to some upstreams, and to others only the first of them counts.
pub(super) fn take<'a>(line: &'a [u8], unmarked: Unmarked, grammar: &Grammar, slot: &mut Slot<'a>) {
    let mut entries = line.split(|byte| *byte == b',').map(trim);
    if unmarked == Unmarked::IsKey && !entries.clone().any(|entry| marked(entry).is_some()) {
        return match entries.next() {
            Some(only) if entries.next().is_none() => slot.put(only, Written::Exactly),
            _ => slot.fill(Slot::Broken),
        };
    }
    for entry in entries {
        match marked(entry) {
            Some(key) => slot.put(key, Written::Exactly),
            None if is_none(entry) => slot.fill(Slot::Broken),
            // Some upstream may read it without the mark.
            None if grammar.may_be_in(entry) => slot.put(entry, Written::Exactly),
            None => {}
        }
    }
}

fn marked(entry: &[u8]) -> Option<&[u8]> {
    entry.strip_prefix(MARK)?.strip_prefix(b".")
}

/// Whether it is no protocol's name. Upstreams trim more than we do (Go: U+00A0, Python: 0x85), so an entry that only
/// contains the mark may be a key to them.
fn is_none(entry: &[u8]) -> bool {
    !entry.iter().all(u8::is_ascii_graphic) || entry.windows(MARK.len()).any(|part| part.eq_ignore_ascii_case(MARK))
}
