//! Compares [`CheckMessage::read`] with envoy-types.

use std::{collections::HashMap, fs, path::PathBuf};

use envoy_types::pb::envoy::{
    config::core::v3::{
        Address, HeaderMap, HeaderValue, Pipe, SocketAddress, address::Address as Kind, socket_address::PortSpecifier,
    },
    service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{HttpRequest, Peer, Request},
    },
};
use prost::Message;
use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

use super::*;

/// What is read of a message, with nothing borrowed. Envoy's map has no order.
#[derive(Debug, PartialEq)]
struct Read {
    peer: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    path: Vec<u8>,
    extensions: Vec<(String, String)>,
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

fn ours(message: &[u8], filter: &HeaderFilter) -> Option<Read> {
    let CheckMessage { peer, headers, path, extensions } = CheckMessage::read(message, filter)?;
    let is_joined = CheckRequest::decode(message).unwrap().attributes.unwrap().request.unwrap().http.unwrap();
    let headers = headers.iter().map(|Header { name, value }| ((*name).to_owned(), value.to_vec())).collect();
    let extensions = extensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Some(Read {
        peer: peer.map(str::to_owned),
        headers: if is_joined.headers.is_empty() { headers } else { sorted(headers) },
        path: path.to_vec(),
        extensions: sorted(extensions),
    })
}

/// The same by envoy-types; `None` if it rejects the message, or the message has two encodings of its headers.
fn theirs(message: &[u8]) -> Option<Read> {
    let attributes = CheckRequest::decode(message).ok()?.attributes?;
    let http = attributes.request?.http?;
    let lines = http.header_map.unwrap_or_default().headers;
    if !lines.is_empty() && !http.headers.is_empty() {
        return None;
    }
    if lines.iter().any(|line| !line.value.is_empty() && !line.raw_value.is_empty()) {
        return None;
    }
    let lines: Vec<_> =
        lines.into_iter().map(|line| (line.key, [line.value.into_bytes(), line.raw_value].concat())).collect();
    let path = lines.iter().find(|(name, _)| name == ":path").map(|(_, value)| value.clone());
    let joined = http.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
    let address = attributes.source.and_then(|source| source.address).and_then(|address| address.address);
    let peer = match address {
        Some(Kind::SocketAddress(SocketAddress { port_specifier: Some(PortSpecifier::NamedPort(_)), .. })) => None,
        Some(Kind::SocketAddress(socket)) => Some(socket.address),
        _ => None,
    };
    Some(Read {
        peer,
        headers: if lines.is_empty() { sorted(joined) } else { lines },
        path: path.unwrap_or(http.path.into_bytes()),
        extensions: sorted(attributes.context_extensions.into_iter().collect()),
    })
}

/// The messages that Envoy was recorded to send.
fn recorded() -> Vec<Vec<u8>> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fuzz", "corpus"].iter().collect();
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 50);
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn what_envoy_sends_is_read_as_envoy_types_reads_it() {
    for message in recorded() {
        assert_eq!(ours(&message, &HeaderFilter::of_all()), theirs(&message));
        assert!(theirs(&message).is_some());
    }
}

/// How many messages were read alike, of those that envoy-types reads.
#[derive(Debug, Default)]
struct Tally {
    alike: usize,
    denied: usize,
}

impl Tally {
    fn compare(&mut self, message: &[u8]) {
        let (ours, theirs) = (ours_or_none(message), theirs(message));
        match (ours, theirs) {
            (None, None) => {}
            (None, Some(_)) => self.denied += 1,
            (ours, theirs) => {
                assert_eq!(ours, theirs, "{message:02x?}");
                self.alike += 1;
            }
        }
    }
}

/// A message that is read here, and that envoy-types rejects, is a failure too.
fn ours_or_none(message: &[u8]) -> Option<Read> {
    CheckMessage::read(message, &HeaderFilter::of_all())?;
    assert!(CheckRequest::decode(message).is_ok(), "envoy-types rejects {message:02x?}");
    ours(message, &HeaderFilter::of_all())
}

fn mutated(random: &mut SmallRng, message: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..3) {
        if message.is_empty() {
            return;
        }
        let at = random.random_range(0..message.len());
        let end = (at + random.random_range(1..20)).min(message.len());
        match random.random_range(0..6) {
            0 => message[at] ^= 1 << random.random_range(0..8),
            1 => message[at] = random.random(),
            2 => message.insert(at, random.random()),
            3 => drop(message.drain(at..end)),
            4 => message.truncate(at.max(1)),
            _ => {
                let part = message[at..end].to_vec();
                message.splice(at..at, part);
            }
        }
    }
}

#[test]
fn a_mutated_message_is_read_as_envoy_types_reads_it_or_denied() {
    let (messages, mut random, mut tally) = (recorded(), SmallRng::seed_from_u64(1), Tally::default());
    for _ in 0..50_000 {
        let mut message = messages.choose(&mut random).unwrap().clone();
        mutated(&mut random, &mut message);
        tally.compare(&message);
    }
    assert!(tally.alike > 4_000, "{tally:?}");
    // Fields that are there twice.
    assert!(tally.denied < tally.alike / 10, "{tally:?}");
}

fn text(random: &mut SmallRng) -> String {
    const TEXTS: [&str; 9] =
        ["", "a", "authorization", ":path", "Bearer sk-0123456789", "x-api-key", "é", "sentinel.mode", "10.0.0.1"];
    let text = TEXTS.choose(random).unwrap();
    match random.random_range(0..8) {
        0 => text.repeat(random.random_range(1..2_000)),
        1 => text.to_uppercase(),
        _ => (*text).to_owned(),
    }
}

fn made(random: &mut SmallRng) -> CheckRequest {
    let peer = |random: &mut SmallRng| {
        let port = match random.random_range(0..3) {
            0 => None,
            1 => Some(PortSpecifier::PortValue(random.random())),
            _ => Some(PortSpecifier::NamedPort(text(random))),
        };
        let kind = match random.random_range(0..4) {
            0 => None,
            1 => Some(Kind::Pipe(Pipe { path: text(random), mode: random.random() })),
            _ => Some(Kind::SocketAddress(SocketAddress {
                address: text(random),
                protocol: random.random_range(0..3),
                port_specifier: port,
                ipv4_compat: random.random(),
                ..SocketAddress::default()
            })),
        };
        let address = Some(Address { address: kind }).filter(|_| random.random());
        let labels = (0..random.random_range(0..3)).map(|_| (text(random), text(random))).collect();
        Peer { address, service: text(random), labels, principal: text(random), certificate: text(random) }
    };
    let line = |random: &mut SmallRng| {
        let is_raw = random.random();
        let value = text(random);
        HeaderValue {
            key: text(random),
            value: if is_raw { String::new() } else { value.clone() },
            raw_value: if is_raw { [value.as_bytes(), &[0xff, 0]].concat() } else { Vec::new() },
        }
    };
    let (encoding, count) = (random.random_range(0..3), random.random_range(0..30));
    let map = HeaderMap { headers: (0..count).map(|_| line(random)).collect() };
    let http = HttpRequest {
        id: text(random),
        method: text(random),
        headers: if encoding == 1 {
            HashMap::new()
        } else {
            (0..count).map(|_| (text(random), text(random))).collect()
        },
        header_map: Some(map).filter(|_| encoding != 0),
        path: text(random),
        size: random.random(),
        raw_body: (0..random.random_range(0..9)).map(|_| random.random()).collect(),
        ..HttpRequest::default()
    };
    let time = Some(Timestamp { seconds: random.random(), nanos: random.random() }).filter(|_| random.random());
    let request = Request { time, http: Some(http).filter(|_| random.random_range(0..20) > 0) };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(peer(random)).filter(|_| random.random()),
            destination: Some(peer(random)).filter(|_| random.random()),
            request: Some(request).filter(|_| random.random_range(0..20) > 0),
            context_extensions: (0..random.random_range(0..4)).map(|_| (text(random), text(random))).collect(),
            metadata_context: Some(Metadata::default()).filter(|_| random.random()),
            tls_session: Some(TlsSession { sni: text(random) }).filter(|_| random.random()),
            ..AttributeContext::default()
        }),
    }
}

#[test]
fn a_random_message_is_read_as_envoy_types_reads_it() {
    let mut random = SmallRng::seed_from_u64(2);
    let mut tally = Tally::default();
    for _ in 0..3_000 {
        let message = made(&mut random).encode_to_vec();
        tally.compare(&message);
        let denied = tally.denied;
        // Two lines `:path` have two readings.
        let paths =
            CheckRequest::decode(&message[..]).ok().and_then(|check| check.attributes?.request?.http?.header_map);
        let paths = paths.map_or(0, |map| map.headers.iter().filter(|line| line.key == ":path").count());
        assert!(denied == 0 || paths > 1, "{message:02x?}");
        tally.denied = 0;
    }
    assert!(tally.alike > 1_000, "{tally:?}");
}

#[test]
fn random_bytes_are_no_message() {
    let (mut random, mut tally) = (SmallRng::seed_from_u64(3), Tally::default());
    for _ in 0..50_000 {
        let message: Vec<u8> = (0..random.random_range(0..40)).map(|_| random.random()).collect();
        tally.compare(&message);
    }
}

#[test]
fn a_field_that_is_there_twice_has_two_readings() {
    let message = recorded().swap_remove(0);
    for number in [1u8, 2, 4] {
        let attributes = CheckRequest::decode(&message[..]).unwrap().attributes.unwrap().encode_to_vec();
        let again = [&attributes[..], &[number << 3 | 2, 0]].concat();
        let mut twice = vec![0x0a];
        prost::encode_length_delimiter(again.len(), &mut twice).unwrap();
        twice.extend(again);
        assert!(CheckRequest::decode(&twice[..]).is_ok());
        assert!(CheckMessage::read(&twice, &HeaderFilter::of_all()).is_none(), "{number}");
    }
}
