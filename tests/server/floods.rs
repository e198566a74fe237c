//! Floods of connections and frames: what a caller without the token can use up is bounded, and Envoy is still served.

use bytes::BytesMut;
use futures_util::future::join_all;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::common::{CALLER_TOKEN, Sentinel, check::CHECK, eventually, grpc::Target, http2, sentinel, within};

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

async fn is_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    let _ = within("the server closes the connection", stream.read_to_end(&mut rest)).await;
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

#[tokio::test]
async fn silent_connections_end_and_no_listener_starves_another() {
    let sentinel = sentinel().under(FEW_FILES).start().await;
    let http = sentinel.http();
    let mut silent = join_all((0..300).map(async |_| TcpStream::connect(http).await.unwrap())).await;
    let mut admin = join_all((0..100).map(async |_| UnixStream::connect(sentinel.home().admin_socket()).await)).await;
    assert_eq!(sentinel.check().key(KEY).send().await.reason(), "first_use");
    let mut silent_grpc = join_all((0..100).map(async |_| connect(&sentinel).await)).await;
    assert_eq!(sentinel.check().key(KEY).over(&sentinel.connect().await).send().await.reason(), "bound");
    is_closed(&mut silent[0]).await;
    is_closed(&mut silent_grpc[0]).await;
    drop(silent.split_off(1));
    eventually("/readyz answers", async || (sentinel.get("/readyz").await.0 == 200).then_some(())).await;
    admin.clear();
    sentinel.admin().await.keys().await.unwrap();
    assert!(!sentinel.log().contains("cannot accept"), "{}", sentinel.log());
}

/// Envoy resets a call whose client hung up.
#[tokio::test]
async fn a_call_that_is_reset_before_its_message_is_cancelled_not_malformed() {
    let sentinel = sentinel().start().await;
    let mut stream = connect(&sentinel).await;
    let mut sent: BytesMut = http2::preface();
    http2::put_call(&mut sent, 1);
    stream.write_all(&sent).await.unwrap();
    // Before the reset, the server must have begun the call: it answers the next one.
    assert_eq!(sentinel.check().key(KEY).send().await.reason(), "first_use");
    let mut sent = BytesMut::new();
    http2::put(&mut sent, http2::RESET, 0, 1, &8_u32.to_be_bytes());
    stream.write_all(&sent).await.unwrap();
    eventually("the call is counted", async || {
        let metrics = sentinel.get("/metrics").await.1;
        metrics.contains("sentinel_checks_cancelled_total 1").then_some(())
    })
    .await;
    let metrics = sentinel.get("/metrics").await.1;
    let malformed = metrics.lines().filter(|line| line.contains("malformed_request") && !line.ends_with(" 0"));
    assert_eq!(malformed.count(), 0, "{CHECK}");
}
