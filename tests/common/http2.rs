//! HTTP/2 at the level of its frames (RFC 9113), for what no client library sends or shows.

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::check::CHECK;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const SETTINGS: u8 = 4;

/// Flags: of PING and SETTINGS, of DATA, of HEADERS.
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// The beginning of a connection.
pub(crate) fn preface() -> BytesMut {
    let mut out = BytesMut::from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put(&mut out, SETTINGS, 0, 0, &[]);
    out
}

pub(crate) fn put(out: &mut BytesMut, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.put_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.put_slice(&[kind, flags]);
    out.put_u32(stream);
    out.put_slice(payload);
}

/// The headers of a Check.
pub(crate) fn put_call(out: &mut BytesMut, stream: u32) {
    put_call_with(out, stream, &[]);
}

/// The headers of a Check with metadata. HPACK (RFC 7541): POST, http, then :path, :authority and content-type as literals.
pub(crate) fn put_call_with(out: &mut BytesMut, stream: u32, metadata: &[(&str, &str)]) {
    let literal = |name: &[u8], value: &str| [name, &[value.len() as u8], value.as_bytes()].concat();
    let [path, authority] = [literal(&[0x04], CHECK), literal(&[0x01], "sentinel")];
    let content_type = literal(&[0x0f, 0x10], "application/grpc");
    let metadata = metadata
        .iter()
        .flat_map(|(name, value)| literal(&[&[0x00, name.len() as u8], name.as_bytes()].concat(), value));
    let headers = [vec![0x83, 0x86], path, authority, content_type].concat().into_iter().chain(metadata);
    put(out, HEADERS, END_HEADERS, stream, &headers.collect::<Vec<_>>());
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Frame {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    let [a, b, c, kind, flags, stream_id @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).await.unwrap();
    Frame { kind, flags, stream: u32::from_be_bytes(stream_id), payload }
}
