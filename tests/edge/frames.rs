//! Bytes that are not a Check request: each is denied in a `CheckResponse`, because Envoy may allow after any other
//! answer.

use std::collections::HashSet;

use crate::common::{
    Answer, Check, Dice, Encoding, Sentinel,
    check::CHECK,
    grpc::{Channel, Target, frame},
    http2, sentinel,
};
use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::{
    config::core::v3::{HeaderMap, HeaderValue},
    service::auth::v3::{AttributeContext, CheckRequest, CheckResponse, attribute_context::HttpRequest},
};
use futures_util::{StreamExt, stream};
use prost::Message;
use tokio::{io::AsyncWriteExt, net::TcpStream};

const KEY: &str = "sk-frames-0123456789abcdef";
const OWNER: &str = "203.0.113.7";

fn http(message: &mut CheckRequest) -> &mut HttpRequest {
    message.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap()
}

fn check(sentinel: &Sentinel, encoding: Encoding) -> Check<'_> {
    sentinel.check().key(KEY).from(OWNER).encoding(encoding)
}

#[tokio::test]
async fn a_message_that_envoy_would_not_send_is_denied_as_malformed() {
    let sentinel = sentinel().start().await;
    let raw = check(&sentinel, Encoding::Raw).message();
    let joined = check(&sentinel, Encoding::Joined).message();
    let changed = |change: &dyn Fn(&mut CheckRequest)| {
        let mut message = raw.clone();
        change(&mut message);
        message
    };
    let cases = [
        ("no attributes", CheckRequest::default()),
        ("empty attributes", CheckRequest { attributes: Some(AttributeContext::default()) }),
        ("no request", changed(&|it| it.attributes.as_mut().unwrap().request = None)),
        ("no http", changed(&|it| it.attributes.as_mut().unwrap().request.as_mut().unwrap().http = None)),
        ("both header encodings", changed(&|it| http(it).headers = http(&mut joined.clone()).headers.clone())),
        (
            "both header encodings, the key in the second only",
            changed(&|it| {
                let http = http(it);
                http.header_map.as_mut().unwrap().headers.retain(|header| header.key != "authorization");
                http.headers.insert("authorization".to_owned(), format!("Bearer {KEY}"));
            }),
        ),
        (
            "a header with both a text and raw bytes",
            changed(&|it| {
                let value = "Bearer sk-frames-fedcba9876543210".to_owned();
                let headers = &mut http(it).header_map.as_mut().unwrap().headers;
                headers.iter_mut().for_each(|header| header.value.clone_from(&value));
            }),
        ),
    ];
    for (name, message) in cases {
        let answer = sentinel.check().send_message(&message).await;
        assert_eq!(answer.reason(), "malformed_request", "{name}");
    }
    for (name, value) in [("sentinel.x", "1"), ("sentinel.mode", "On"), ("sentinel.", ""), ("sentinel.profile", "x")] {
        let answer = check(&sentinel, Encoding::Raw).extension(name, value).send().await;
        assert_eq!(answer.reason(), "malformed_request", "{name}={value}");
    }
    let foreign = check(&sentinel, Encoding::Raw).extension("policy", "orders").send().await;
    assert_eq!(foreign.reason(), "first_use", "the extensions of other servers are ignored");
    let no_headers = changed(&|it| http(it).header_map = Some(HeaderMap::default()));
    assert_eq!(sentinel.check().send_message(&no_headers).await.reason(), "no_key");
}

#[tokio::test]
async fn header_values_count_as_text_or_as_raw_bytes() {
    let sentinel = sentinel().start().await;
    let mut message = check(&sentinel, Encoding::Raw).message();
    for header in &mut http(&mut message).header_map.as_mut().unwrap().headers {
        let value = String::from_utf8(std::mem::take(&mut header.raw_value)).unwrap();
        *header = HeaderValue { key: header.key.clone(), value, ..Default::default() };
    }
    assert_eq!(sentinel.check().send_message(&message).await.reason(), "first_use");
    assert_eq!(check(&sentinel, Encoding::Raw).send().await.reason(), "bound");
}

#[tokio::test]
async fn a_body_that_is_no_message_is_denied_in_protocol() {
    let sentinel = sentinel().start().await;
    let message = check(&sentinel, Encoding::Raw).message().encode_to_vec();
    let whole = frame(&message);
    let with_prefix = |flag: u8, length: u32, rest: &[u8]| {
        let mut body = BytesMut::new();
        body.put_u8(flag);
        body.put_u32(length);
        body.put_slice(rest);
        body.freeze()
    };
    let length = message.len() as u32;
    let cases: [(&str, Bytes); 14] = [
        ("no message at all", Bytes::new()),
        ("an empty message", frame(&[])),
        ("half a frame header", whole.slice(..3)),
        ("a frame header alone", whole.slice(..5)),
        ("a message cut short", whole.slice(..whole.len() - 1)),
        ("a length beyond the message", with_prefix(0, length + 1, &message)),
        ("a length short of the message", with_prefix(0, length - 1, &message)),
        ("the largest length", with_prefix(0, u32::MAX, &message)),
        ("two messages", [whole.clone(), whole.clone()].concat().into()),
        ("marked as compressed", with_prefix(1, length, &message)),
        ("an unknown frame flag", with_prefix(0xff, length, &message)),
        ("text", frame(b"GET / HTTP/1.1\r\n\r\n")),
        ("wire type 7", frame(&[0x0f; 64])),
        ("a field longer than the message", frame(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])),
    ];
    let mut wrong = Vec::new();
    for (name, body) in cases {
        let reply = sentinel.channel().await.post(CHECK, &[], body).await;
        if reply.grpc_status() != 0 {
            wrong.push(format!("{name}: gRPC status {} {}", reply.grpc_status(), reply.grpc_message()));
            continue;
        }
        let answer = Answer::from_reply(&reply);
        if answer.reason() != "malformed_request" {
            wrong.push(format!("{name}: {}", answer.reason()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    sentinel.assert_no_panic();
}

/// tonic would refuse the call with a gRPC status before any handler runs.
#[tokio::test]
async fn a_compressed_call_is_denied_in_protocol() {
    let sentinel = sentinel().start().await;
    let whole = frame(&sentinel.check().key(KEY).from(OWNER).message().encode_to_vec());
    for encoding in ["gzip", "identity", "unknown"] {
        for flag in [0, 1] {
            let mut body = BytesMut::from(&whole[..]);
            body[0] = flag;
            let reply = sentinel.channel().await.post(CHECK, &[("grpc-encoding", encoding)], body.freeze()).await;
            assert_eq!(reply.grpc_status(), 0, "{encoding} {flag}: {}", reply.grpc_message());
            let allowed = Answer::from_reply(&reply).allowed().is_some();
            assert_eq!(allowed, flag == 0, "{encoding}: only what says that it is not compressed can be read");
        }
    }
}

/// hyper closes a connection after 20 resets of calls that it had not begun; Envoy resets a call for every client that
/// hangs up, and the connection carries everyone's.
#[tokio::test]
async fn clients_that_hang_up_in_crowds_do_not_cost_envoy_its_connection() {
    let sentinel = sentinel().start().await;
    let Target::Tcp(address) = sentinel.grpc() else { panic!("on TCP by default") };
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut sent, calls) = (http2::preface(), 1_000);
    for number in 0..calls {
        http2::put_call(&mut sent, 2 * number + 1);
        http2::put(&mut sent, http2::RESET, 0, 2 * number + 1, &8_u32.to_be_bytes());
    }
    let last = 2 * calls + 1;
    http2::put_call(&mut sent, last);
    let check = frame(&sentinel.check().key(KEY).from(OWNER).message().encode_to_vec());
    http2::put(&mut sent, http2::DATA, http2::END_STREAM, last, &check);
    stream.write_all(&sent).await.unwrap();
    loop {
        let frame = http2::next(&mut stream).await;
        assert_ne!(frame.kind, http2::GOAWAY, "{}", String::from_utf8_lossy(&frame.payload));
        if (frame.kind, frame.stream) == (http2::DATA, last) {
            assert!(CheckResponse::decode(&frame.payload[5..]).unwrap().dynamic_metadata.is_some());
            break;
        }
    }
}

#[tokio::test]
async fn an_over_long_message_is_denied_and_the_connection_lives_on() {
    let sentinel = sentinel().start().await;
    for (encoding, size) in [(Encoding::Raw, 9 << 20), (Encoding::Joined, 9 << 20), (Encoding::Raw, 64 << 20)] {
        let long = check(&sentinel, encoding).header("x-long", "a".repeat(size)).send().await;
        assert_eq!(long.reason(), "malformed_request", "{encoding:?}, {size} bytes");
    }
    let large = check(&sentinel, Encoding::Raw).header("x-large", "a".repeat(60 << 10)).send().await;
    assert_eq!(large.reason(), "first_use", "Envoy's default limit is 60 KiB of headers");
}

#[tokio::test]
async fn another_method_of_the_service_is_unimplemented() {
    let sentinel = sentinel().start().await;
    let reply = sentinel.channel().await.post("/envoy.service.auth.v3.Authorization/Czech", &[], frame(&[])).await;
    assert_eq!(reply.grpc_status(), 12);
}

const FRAMES: usize = 24_000;
const AT_ONCE: usize = 128;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_and_mutated_frames_are_answered_and_none_is_allowed_without_a_permit() {
    let sentinel = sentinel().start().await;
    assert_eq!(check(&sentinel, Encoding::Raw).send().await.reason(), "first_use");
    let seeds = seeds(&sentinel);
    let mut dice = Dice::new(0x5e17_1e57);
    let bodies: Vec<Bytes> = (0..FRAMES).map(|_| frame(&mutated(&seeds, &mut dice))).collect();
    let channel = sentinel.connect().await;
    let answers: Vec<Answer> =
        stream::iter(bodies).map(|body| ask(&channel, body)).buffer_unordered(AT_ONCE).collect().await;
    sentinel.assert_no_panic();

    assert_eq!(answers.len(), FRAMES);
    let malformed = answers.iter().filter(|answer| answer.reason() == "malformed_request").count();
    assert!(malformed > FRAMES / 10, "the mutations reach the decoder: {malformed}");
    assert!(malformed < FRAMES * 9 / 10, "the mutations reach beyond the decoder: {malformed}");
    let reasons = |word: &str| answers.iter().filter(|answer| answer.reason() == word).count();
    assert!(reasons("ip_mismatch") > 0 && reasons("conflicting_keys") > 0 && reasons("malformed_key") > 0);
    // An allow is a permit that the store can show: one row for each first use, and `bound` only for a key with a row.
    let rows = ids(&sentinel).await;
    let mut first_uses = HashSet::from([key_id(&sentinel).await]);
    // A mutation may find `sentinel.mode`'s other words.
    for answer in answers.iter().filter(|answer| answer.is_allow() && answer.mode() == "enforce") {
        let id = answer.key_id().unwrap();
        assert!(rows.contains(id), "{} without a row: {answer:?}", answer.reason());
        match answer.reason() {
            "first_use" => assert!(first_uses.insert(id.to_owned()), "{id} was first used twice"),
            reason => assert_eq!(reason, "bound"),
        }
    }
    assert_eq!(first_uses, rows, "every row has its one first use");
    sentinel.stop().await;
}

async fn ask(channel: &Channel, body: Bytes) -> Answer {
    let reply = channel.post(CHECK, &[], body.clone()).await;
    assert_eq!(reply.grpc_status(), 0, "{}: {reply:?}", body.escape_ascii());
    Answer::from_reply(&reply)
}

async fn key_id(sentinel: &Sentinel) -> String {
    check(sentinel, Encoding::Raw).send().await.key_id().unwrap().to_owned()
}

async fn ids(sentinel: &Sentinel) -> HashSet<String> {
    sentinel.home().store().query("SELECT key_id FROM bindings").await.concat().into_iter().collect()
}

/// Messages that differ in all that the edge reads.
fn seeds(sentinel: &Sentinel) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for encoding in Encoding::BOTH {
        let fresh = || sentinel.check().encoding(encoding);
        seeds.extend([
            fresh().key(KEY).from(OWNER),
            fresh().key(KEY).from("198.51.100.9"),
            fresh().key("sk-seed-aaaaaaaaaaaa").from("2001:db8::1"),
            fresh().header("x-api-key", "sk-seed-bbbbbbbbbbbb").from("192.0.2.9"),
            fresh().key(KEY).header("x-api-key", KEY).header("api-key", "sk-seed-cccccccccccc").from(OWNER),
            fresh().header("authorization", b"Bearer sk-\xff\xfe0123456789").from(OWNER),
            fresh().header("x-filler", "f".repeat(4_000)).from(OWNER).path("/v1/chat?key=sk-query-0123456789"),
            fresh().key(KEY).on_pipe("/run/x.sock"),
            fresh().key(KEY).on_internal_listener(),
            fresh().key(KEY).from("169.254.1.1").extension("policy", "orders"),
            fresh().key(KEY).from(OWNER).extension("sentinel.mode", "none"),
        ]);
    }
    seeds.into_iter().map(|check| check.message().encode_to_vec()).collect()
}

fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    if dice.below(20) == 0 {
        let count = dice.below(400);
        return dice.bytes(count);
    }
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    // Half of the messages keep their length, so that most of their fields can still be read.
    let kinds = if dice.below(2) == 0 { 2 } else { 7 };
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        let to = (at + dice.below(40)).min(bytes.len());
        match dice.below(kinds) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
            1 if !bytes.is_empty() => bytes[at] = dice.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..to)),
            4 => {
                let piece = bytes[at..to].to_vec();
                let place = dice.below(bytes.len());
                bytes.splice(place..place, piece);
            }
            5 => {
                let other = &seeds[dice.below(seeds.len())];
                let from = dice.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            // A further message concatenated is a merge to protobuf.
            _ => bytes.extend_from_slice(&seeds[dice.below(seeds.len())]),
        }
    }
    bytes
}
