//! The bytes of a batch. A reader distinguishes what was written from what a crash or a bad disk has damaged.
//!
//! `KSA1`, then little-endian: the length of the payload (4 bytes), the spool (16), the number (8), the first 16 bytes
//! of the SHA-256 over these three and the payload; then the payload, one JSON line for each record. The field names
//! are a file format: every later version must read what an earlier one wrote.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::{
    domain::event::Record,
    store::{BatchId, SpoolId},
};

const MAGIC: &[u8; 4] = b"KSA1";
const CHECKED: Range<usize> = 4..32;
const HEADER: usize = 48;

/// A batch in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) batch: BatchId,
    pub(super) records: Vec<Record>,
}

/// The next item in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A whole batch, and where the next frame begins.
    Frame(Frame, usize),
    /// The end of the data, or the beginning of a frame that a crash cut short.
    End,
    /// Damaged bytes, and where the next frame may begin.
    Damage(usize),
}

/// Only records of requests are spilled, which have no actor and no delta.
pub(super) fn encode(batch: BatchId, records: &[Record]) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = vec![0; HEADER];
    for record in records {
        serde_json::to_writer(&mut bytes, record)?;
        bytes.push(b'\n');
    }
    let length = u32::try_from(bytes.len() - HEADER).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(MAGIC);
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[8..24].copy_from_slice(&batch.spool.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&batch.number.to_le_bytes());
    let check = check(&bytes);
    bytes[32..HEADER].copy_from_slice(&check);
    Ok(bytes)
}

/// Reads the frame at `at`.
pub(super) fn next(segment: &[u8], at: usize) -> Next {
    let rest = segment.get(at..).unwrap_or_default();
    let whole = rest.first_chunk::<HEADER>().map(|header| HEADER + number::<4>(header, 4) as usize);
    match whole.and_then(|whole| rest.get(..whole)) {
        Some(frame) if frame.starts_with(MAGIC) && frame[32..HEADER] == check(frame) => match decode(frame) {
            Some(read) => Next::Frame(read, at + frame.len()),
            None => damage(rest, at),
        },
        _ => damage(rest, at),
    }
}

/// A crash leaves the beginning of a frame, or space that was allocated but never written.
fn damage(rest: &[u8], at: usize) -> Next {
    let again = rest.windows(MAGIC.len()).skip(1).position(|window| window == MAGIC);
    match again {
        Some(skipped) => Next::Damage(at + 1 + skipped),
        None if is_torn(rest) => Next::End,
        None => Next::Damage(at + rest.len()),
    }
}

fn is_torn(rest: &[u8]) -> bool {
    let begun = MAGIC.starts_with(&rest[..rest.len().min(MAGIC.len())]);
    let longer =
        rest.first_chunk::<HEADER>().is_none_or(|header| number::<4>(header, 4) as usize + HEADER > rest.len());
    (begun && longer) || rest.iter().all(|byte| *byte == 0)
}

fn decode(frame: &[u8]) -> Option<Frame> {
    let batch = BatchId { spool: SpoolId(number::<16>(frame, 8)), number: u64::try_from(number::<8>(frame, 24)).ok()? };
    let lines = frame[HEADER..].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Some(Frame { batch, records: lines.map(serde_json::from_slice).collect::<Result<_, _>>().ok()? })
}

fn check(frame: &[u8]) -> [u8; 16] {
    let digest = Sha256::new().chain_update(&frame[CHECKED]).chain_update(&frame[HEADER..]).finalize();
    std::array::from_fn(|at| digest[at])
}

/// The `N` bytes at `at`, little-endian.
fn number<const N: usize>(bytes: &[u8], at: usize) -> u128 {
    bytes.iter().skip(at).take(N).rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Reason, Timestamp, event::EventKind};

    const SPOOL: SpoolId = SpoolId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

    fn denied(count: u64) -> Record {
        Record {
            kind: EventKind::Denied,
            reason: Some(Reason::IpMismatch),
            key_id: "k_0123456789abcdef0123456789abcdef".parse().ok(),
            network: "2001:db8::/64".parse().ok(),
            count,
            first_at: Timestamp::from_millis(1),
            last_at: Timestamp::from_millis(2),
            actor: None,
            decision_id: Some("d".into()),
            detail: None,
            delta: None,
        }
    }

    fn frame(number: u64) -> Frame {
        let gap = Record { kind: EventKind::Gap, reason: None, key_id: None, network: None, ..denied(1) };
        Frame { batch: BatchId { spool: SPOOL, number }, records: vec![denied(number), gap] }
    }

    fn bytes(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
        numbers.into_iter().flat_map(|number| encode(frame(number).batch, &frame(number).records).unwrap()).collect()
    }

    /// The numbers of the batches that are read, and the count of damaged places.
    fn read(segment: &[u8]) -> (Vec<u64>, usize) {
        let (mut at, mut numbers, mut damages) = (0, Vec::new(), 0);
        loop {
            match next(segment, at) {
                Next::Frame(found, end) => {
                    assert_eq!(found, frame(found.batch.number));
                    (at, _) = (end, numbers.push(found.batch.number));
                }
                Next::Damage(end) => (at, damages) = (end, damages + 1),
                Next::End => return (numbers, damages),
            }
        }
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&bytes(1..=3)), (vec![1, 2, 3], 0));
        assert_eq!(read(b""), (vec![], 0));
    }

    #[test]
    fn a_tail_torn_at_any_byte_costs_that_batch_only() {
        let (whole, two) = (bytes(1..=3), bytes(1..=2).len());
        for cut in two..whole.len() {
            assert_eq!(read(&whole[..cut]), (vec![1, 2], 0), "{cut}");
        }
        assert_eq!(read(&[bytes(1..=2), vec![0; 4096]].concat()), (vec![1, 2], 0), "room that was never written to");
    }

    #[test]
    fn a_bit_flipped_anywhere_costs_one_batch_and_is_damage() {
        let (whole, one) = (bytes(1..=3), bytes([1]).len());
        for bit in 8 * one..8 * bytes(1..=2).len() {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bad), (vec![1, 3], 1), "{bit}");
        }
    }

    /// Written by the version before the format was derived from [`Record`].
    const SPILLED: &[u8] = include_bytes!("../../../tests/fixtures/format/audit.spill");

    #[test]
    fn what_an_earlier_version_spilled_is_read_and_written_again() {
        let sparse = Record { decision_id: None, ..frame(1).records.remove(1) };
        let full = Record { kind: EventKind::WouldDeny, detail: Some("a \"text\"\n".to_owned()), ..denied(u64::MAX) };
        let frames = [frame(7), Frame { batch: frame(8).batch, records: vec![full, sparse] }];
        let written = frames.iter().flat_map(|frame| encode(frame.batch, &frame.records).unwrap()).collect::<Vec<_>>();
        assert_eq!(written, SPILLED);
        let mut at = 0;
        for expected in frames {
            let Next::Frame(found, end) = next(SPILLED, at) else { panic!("no frame at {at}") };
            assert_eq!(found, expected);
            at = end;
        }
        assert_eq!(next(SPILLED, at), Next::End);
    }
}
