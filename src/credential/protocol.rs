//! Keys in `Sec-WebSocket-Protocol`, which browsers use because they cannot set other headers on a WebSocket: a list of
//! tokens (RFC 6455 §11.3.4), one of which is `openai-insecure-api-key.KEY`.

use super::{
    grammar::Grammar,
    name::Spelling,
    slot::{Slot, trim},
};

pub(super) const HEADER: &str = "sec-websocket-protocol";
const MARK: &[u8] = b"openai-insecure-api-key";

/// How the upstream reads a list without a marked entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmarked {
    /// It ignores the list.
    Ignored,
    /// It takes the whole list for the key.
    IsKey,
}

/// Reads one line of the list. Some upstreams join several lines to one list, others read only the first line.
pub(super) fn take<'a>(line: &'a [u8], unmarked: Unmarked, grammar: &Grammar, slot: &mut Slot<'a>) {
    let mut entries = line.split(|byte| *byte == b',').map(trim);
    if unmarked == Unmarked::IsKey && !entries.clone().any(|entry| marked(entry).is_some()) {
        return match entries.next() {
            Some(only) if entries.next().is_none() => slot.put(only, Spelling::Exact),
            _ => slot.fill(Slot::Malformed),
        };
    }
    for entry in entries {
        match marked(entry) {
            Some(key) => slot.put(key, Spelling::Exact),
            None if !is_protocol(entry) => slot.fill(Slot::Malformed),
            // Some upstream may accept a key without the mark.
            None if grammar.may_be_in(entry) => slot.put(entry, Spelling::Exact),
            None => {}
        }
    }
}

fn marked(entry: &[u8]) -> Option<&[u8]> {
    entry.strip_prefix(MARK)?.strip_prefix(b".")
}

/// Whether the entry can only be the name of a protocol. An entry that contains the mark anywhere may be a key to an
/// upstream that trims more than this crate (Go: U+00A0, Python: 0x85).
fn is_protocol(entry: &[u8]) -> bool {
    entry.iter().all(u8::is_ascii_graphic) && !entry.windows(MARK.len()).any(|part| part.eq_ignore_ascii_case(MARK))
}
