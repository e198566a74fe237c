//! Which messages have one reading. protobuf lets a field that appears once appear again, and a receiver takes the last or
//! merges them; Sentinel denies such a message, and one with groups. The tables are those of Envoy's proto files.

use crate::oracle::{Field, fields};

/// The fields of a message that Sentinel reads or checks; others may be anything.
struct Shape(&'static [(u64, Kind)]);

enum Kind {
    /// At most once. Of several with one number here, at most one: protobuf's `oneof`.
    Once(u64),
    Message(u64, &'static Shape),
    Repeated(&'static Shape),
}

use Kind::{Message, Once, Repeated};

/// `envoy.service.auth.v3.CheckRequest`.
const CHECK_REQUEST: Shape = Shape(&[(1, Message(1, &ATTRIBUTE_CONTEXT))]);
const ATTRIBUTE_CONTEXT: Shape = Shape(&[
    (1, Message(1, &PEER)),
    (2, Message(2, &PEER)),
    (4, Message(4, &REQUEST)),
    (10, Repeated(&ENTRY)),
    (11, Once(11)),
    (12, Once(12)),
    (13, Once(13)),
]);
const PEER: Shape =
    Shape(&[(1, Message(1, &ADDRESS)), (2, Once(2)), (3, Repeated(&ENTRY)), (4, Once(4)), (5, Once(5))]);
const ADDRESS: Shape = Shape(&[(1, Message(1, &SOCKET_ADDRESS)), (2, Once(1)), (3, Once(1))]);
const SOCKET_ADDRESS: Shape =
    Shape(&[(1, Once(1)), (2, Once(2)), (3, Once(3)), (4, Once(3)), (5, Once(5)), (6, Once(6)), (7, Once(7))]);
const REQUEST: Shape = Shape(&[(1, Once(1)), (2, Message(2, &HTTP_REQUEST))]);
const HTTP_REQUEST: Shape = Shape(&[
    (1, Once(1)),
    (2, Once(2)),
    (3, Repeated(&ENTRY)),
    (4, Once(4)),
    (5, Once(5)),
    (6, Once(6)),
    (7, Once(7)),
    (8, Once(8)),
    (9, Once(9)),
    (10, Once(10)),
    (11, Once(11)),
    (12, Once(12)),
    (13, Message(13, &HEADER_MAP)),
]);
const HEADER_MAP: Shape = Shape(&[(1, Repeated(&HEADER_VALUE))]);
const HEADER_VALUE: Shape = Shape(&[(1, Once(1)), (2, Once(2)), (3, Once(3))]);
const ENTRY: Shape = Shape(&[(1, Once(1)), (2, Once(2))]);

/// Whether the `CheckRequest` has one reading.
pub(crate) fn has_one_reading(frame: &[u8]) -> bool {
    is_strict(frame, &CHECK_REQUEST)
}

/// Whether two entries of `attributes.request.http.headers` have one name. Sentinel denies the message if it reads that
/// header, and ignores both entries if it does not.
pub(crate) fn repeats_a_name(frame: &[u8]) -> bool {
    let inside = |messages: Vec<&[u8]>, number| -> Vec<Vec<u8>> {
        let all = messages.iter().flat_map(|message| fields(message).unwrap_or_default());
        all.filter(|(found, ..)| *found == number).map(|(.., bytes)| bytes.to_vec()).collect()
    };
    let mut messages = vec![frame.to_vec()];
    for number in [1, 4, 2, 3] {
        messages = inside(messages.iter().map(Vec::as_slice).collect(), number);
    }
    let mut names: Vec<Vec<u8>> =
        messages.iter().map(|entry| inside(vec![entry], 1).pop().unwrap_or_default()).collect();
    names.sort();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

fn is_strict(message: &[u8], Shape(known): &Shape) -> bool {
    let Some(fields) = fields(message) else { return false };
    let mut seen = Vec::new();
    fields.iter().all(|(number, wire, bytes): &Field<'_>| {
        let is_group = matches!(wire, 3 | 4);
        let Some((_, kind)) = known.iter().find(|(it, _)| it == number) else { return !is_group };
        let (once, shape) = match kind {
            Once(once) => (Some(*once), None),
            Message(once, shape) => (Some(*once), Some(shape)),
            Repeated(shape) => (None, Some(shape)),
        };
        let is_first = once.is_none_or(|once| !seen.contains(&once));
        seen.extend(once);
        is_first && !is_group && shape.is_none_or(|shape| is_strict(bytes, shape))
    })
}
