//! Floods of connections and frames: what a caller without the token can use up is bounded, and Envoy is still served.

use bytes::BytesMut;
use futures_util::future::join_all;
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::common::{
    CALLER_TOKEN, Sentinel, eventually,
    grpc::{Target, frame},
    http2, sentinel, within,
};

const KEY: &str = "sk-0123456789";
const TOKEN: &str = "x-sentinel-token";

/// The limit of open files, of which `listen.grpc` gets 128 connections and each of the others 16.
const FEW_FILES: &[&str] = &["prlimit", "--nofile=256:256"];

async fn connect(sentinel: &Sentinel) -> TcpStream {
    let Target::Tcp(address) = sentinel.grpc() else { panic!("not on TCP") };
    TcpStream::connect(address).await.unwrap()
}

async fn assert_envoy_is_served(sentinel: &Sentinel, key: &str) {
    let check = sentinel.check().key(key).metadata(TOKEN, CALLER_TOKEN);
    assert_eq!(check.over(&sentinel.connect().await).send().await.reason(), "first_use");
}

/// Returns what was still received.
async fn is_closed(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = within("the server closes the connection", stream.read_to_end(&mut rest)).await;
    rest
}

/// A connection that does not answer PING is closed for that alone.
async fn is_closed_before_ping(stream: &mut (impl AsyncRead + Unpin)) {
    let (received, ping) = (is_closed(stream).await, [0, 0, 8, http2::PING, 0, 0, 0, 0, 0]);
    assert!(!received.windows(ping.len()).any(|head| head == ping), "the connection is closed only as a silent one");
}

/// Resident memory, in MiB.
fn memory(sentinel: &Sentinel) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sentinel.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

/// 1,000,000 such calls took 1 GiB.
#[tokio::test]
async fn a_rapid_reset_without_the_token_ends_the_connection() {
    const CALLS: u32 = 200_000;
    let sentinel = sentinel().with_caller_token().start().await;
    let before = memory(&sentinel);
    for _ in 0..4 {
        let (mut stream, mut sent) = (connect(&sentinel).await, 0);
        let mut batch = http2::preface();
        while sent < CALLS {
            for number in sent..sent + 100 {
                http2::put_call(&mut batch, 2 * number + 1);
                http2::put(&mut batch, http2::RESET, 0, 2 * number + 1, &8_u32.to_be_bytes());
            }
            sent += 100;
            if stream.write_all(&std::mem::take(&mut batch)).await.is_err() {
                break;
            }
        }
        assert!(sent < CALLS, "the server takes every reset");
    }
    let after = memory(&sentinel);
    assert!(after < before + 100, "{before} MiB before, {after} MiB after");
    assert_envoy_is_served(&sentinel, KEY).await;
    sentinel.assert_no_panic();
}

#[tokio::test]
async fn callers_without_the_token_cannot_keep_envoy_out() {
    let sentinel = sentinel().with_caller_token().under(FEW_FILES).start().await;
    let known = sentinel.connect().await;
    let check = sentinel.check().key(KEY).metadata(TOKEN, CALLER_TOKEN);
    assert_eq!(check.over(&known).send().await.reason(), "first_use");
    let mut strangers = join_all((0..300).map(async |_| {
        let mut stream = connect(&sentinel).await;
        let _ = stream.write_all(&http2::preface()).await;
        stream
    }))
    .await;
    assert_envoy_is_served(&sentinel, "sk-another-0123456789").await;
    is_closed(&mut strangers[0]).await;
    let check = sentinel.check().key(KEY).metadata(TOKEN, CALLER_TOKEN);
    assert_eq!(check.over(&known).send().await.reason(), "bound", "a connection that showed the token is kept");
}

/// 100 calls of two frames each, with windows that let no answer through.
fn calls_without_a_window(metadata: &[(&str, &str)]) -> BytesMut {
    const INITIAL_WINDOW_SIZE: [u8; 6] = [0, 4, 0, 0, 0, 0];
    let mut out = http2::preface();
    http2::put(&mut out, http2::SETTINGS, 0, 0, &INITIAL_WINDOW_SIZE);
    for number in 0..200 {
        http2::put_call_with(&mut out, 2 * number + 1, metadata);
        http2::put(&mut out, http2::DATA, http2::END_STREAM, 2 * number + 1, b"");
    }
    out
}

/// 20 connections with 1,900 such calls each took 95 MiB, and more each second.
#[tokio::test]
async fn answers_that_are_not_read_end_the_connection_of_a_caller_without_the_token() {
    let sentinel = sentinel().with_caller_token().start().await;
    let mut stranger = connect(&sentinel).await;
    stranger.write_all(&calls_without_a_window(&[])).await.unwrap();
    is_closed_before_ping(&mut stranger).await;
    assert_envoy_is_served(&sentinel, KEY).await;
    sentinel.assert_no_panic();
}

/// Also the first calls of a connection, which arrive together.
#[tokio::test]
async fn envoy_may_have_any_number_of_open_calls() {
    let (by_token, by_place) = (sentinel().with_caller_token().start().await, sentinel().start().await);
    for (sentinel, metadata) in [(&by_token, &[(TOKEN, CALLER_TOKEN)][..]), (&by_place, &[])] {
        let mut envoy = connect(sentinel).await;
        let mut sent = calls_without_a_window(metadata);
        http2::put(&mut sent, http2::PING, 0, 0, &[7; 8]);
        envoy.write_all(&sent).await.unwrap();
        let mut answered = 0;
        let ponged = within("the server answers", async {
            let mut ponged = false;
            while !ponged || answered < 200 {
                let frame = http2::next(&mut envoy).await;
                assert_ne!(frame.kind, http2::GOAWAY);
                answered += usize::from(frame.kind == http2::HEADERS);
                ponged |= frame.kind == http2::PING && frame.payload == [7; 8];
            }
            ponged
        });
        assert!(ponged.await);
    }
}

/// As long as they answer PING, such connections stay: one that showed the token needs their slot.
#[tokio::test]
async fn a_stranger_makes_room_for_envoy_and_full_slots_are_logged_once() {
    const SLOTS: usize = 128;
    let sentinel = sentinel().with_caller_token().under(FEW_FILES).start().await;
    assert_envoy_is_served(&sentinel, KEY).await;
    let new_envoy = async || {
        let connection = within("envoy is let in", sentinel.connect()).await;
        let check = sentinel.check().key(KEY).metadata(TOKEN, CALLER_TOKEN);
        assert_eq!(within("envoy is served", check.over(&connection).send()).await.reason(), "bound");
        connection
    };
    let mut known = Vec::new();
    for _ in 0..SLOTS / 2 {
        known.push(new_envoy().await);
    }
    let mut strangers = Vec::new();
    for _ in 0..SLOTS / 2 {
        let mut stranger = connect(&sentinel).await;
        stranger.write_all(&http2::preface()).await.unwrap();
        assert_eq!(http2::next(&mut stranger).await.kind, http2::SETTINGS);
        strangers.push(stranger);
    }
    for _ in 0..SLOTS / 2 {
        known.push(new_envoy().await);
    }
    for stranger in &mut strangers[..4] {
        is_closed_before_ping(stranger).await;
    }
    let full = || sentinel.log().matches("as many connections as it may have").count();
    assert_eq!(full(), 0);
    let _waiting = connect(&sentinel).await;
    eventually("it is logged", async || (full() == 1).then_some(())).await;
    for _ in 0..2 {
        known.pop();
        known.push(new_envoy().await);
    }
    assert_eq!(full(), 1, "{}", sentinel.log());
}

/// hyper has no timer for a client that does not read.
#[tokio::test]
async fn answers_of_listen_http_that_are_not_read_do_not_keep_probes_out() {
    let sentinel = sentinel().under(FEW_FILES).start().await;
    let http = sentinel.http();
    let pipelined = "GET /metrics HTTP/1.1\r\nhost: sentinel\r\n\r\n".repeat(2_000);
    let _unread = join_all((0..40).map(async |_| {
        let mut stream = TcpStream::connect(http).await.unwrap();
        // The server stops reading when its answers are not read.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), stream.write_all(pipelined.as_bytes())).await;
        stream
    }))
    .await;
    for page in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(within(page, sentinel.get(page)).await.0, 200, "{page}");
    }
}

#[tokio::test]
async fn silent_connections_end_and_no_listener_starves_another() {
    let sentinel = sentinel().under(FEW_FILES).start().await;
    let http = sentinel.http();
    let mut silent = join_all((0..300).map(async |_| TcpStream::connect(http).await.unwrap())).await;
    let _admin = join_all((0..100).map(async |_| UnixStream::connect(sentinel.home().admin_socket()).await)).await;
    within("a ban is made", async { sentinel.admin().await.ban("sk-leaked-0123456789").await.unwrap() }).await;
    assert_eq!(sentinel.check().key(KEY).send().await.reason(), "first_use");
    let mut silent_grpc = join_all((0..100).map(async |_| connect(&sentinel).await)).await;
    assert_eq!(sentinel.check().key(KEY).over(&sentinel.connect().await).send().await.reason(), "bound");
    is_closed(&mut silent[0]).await;
    is_closed(&mut silent_grpc[0]).await;
    assert_eq!(within("/readyz answers", sentinel.get("/readyz")).await.0, 200);
    assert!(!sentinel.log().contains("cannot accept"), "{}", sentinel.log());
}

/// Envoy resets a call whose client hung up.
#[tokio::test]
async fn a_call_that_is_reset_before_its_message_is_cancelled_not_malformed() {
    let sentinel = sentinel().start().await;
    let mut stream = connect(&sentinel).await;
    let mut sent: BytesMut = http2::preface();
    http2::put_call(&mut sent, 1);
    http2::put_call(&mut sent, 3);
    let check = frame(&sentinel.check().key(KEY).message().encode_to_vec());
    http2::put(&mut sent, http2::DATA, http2::END_STREAM, 3, &check);
    stream.write_all(&sent).await.unwrap();
    // Before the reset, the server must have begun the call: it answers the one after it.
    within("the second call is answered", async { while http2::next(&mut stream).await.stream != 3 {} }).await;
    let mut sent = BytesMut::new();
    http2::put(&mut sent, http2::RESET, 0, 1, &8_u32.to_be_bytes());
    stream.write_all(&sent).await.unwrap();
    eventually("the call is counted", async || {
        let metrics = sentinel.get("/metrics").await.1;
        metrics.contains("sentinel_checks_cancelled_total 1").then_some(())
    })
    .await;
    let metrics = sentinel.get("/metrics").await.1;
    let malformed: Vec<_> =
        metrics.lines().filter(|line| line.contains("malformed_request") && !line.ends_with(" 0")).collect();
    assert!(malformed.is_empty(), "{malformed:?}");
}
