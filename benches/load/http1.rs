//! The generator's HTTP/1.1 client, for requests through Envoy.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::http2::Seen;

/// Sends requests one after the other over each of `connections` connections for `time`. Status 200 counts as allowed, 403
/// as denied.
pub(crate) async fn drive(port: u16, keys: &[u32], connections: usize, time: Duration) -> Seen {
    let end = Instant::now() + time;
    let tasks: Vec<_> = (0..connections)
        .map(|part| {
            let keys: Vec<u32> = keys.iter().skip(part * 977).chain(keys).take(keys.len()).copied().collect();
            tokio::spawn(async move { connection(port, &keys, end).await })
        })
        .collect();
    let mut seen = Seen::default();
    for task in tasks {
        seen.add(&task.await.expect("a connection"));
    }
    seen
}

/// A request as openai-python sends it.
fn request(key: u32) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: api.example.com\r\naccept-encoding: gzip, deflate\r\naccept: \
         application/json\r\ncontent-type: application/json\r\nuser-agent: OpenAI/Python 2.8.1\r\nx-stainless-lang: \
         python\r\nx-stainless-package-version: 2.8.1\r\nx-stainless-os: Linux\r\nx-stainless-arch: \
         x64\r\nx-stainless-runtime: CPython\r\nx-stainless-runtime-version: 3.11.2\r\nauthorization: Bearer \
         sk-{key:010}abcdefghijABCDEFGHIJ0123456789abcdefgh\r\nx-stainless-async: false\r\nx-stainless-retry-count: \
         0\r\nx-stainless-read-timeout: 600\r\ncontent-length: 0\r\n\r\n"
    )
}

async fn connection(port: u16, keys: &[u32], end: Instant) -> Seen {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("Envoy listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let (mut seen, mut input) = (Seen::default(), Vec::with_capacity(1 << 14));
    for key in keys.iter().cycle() {
        let began = Instant::now();
        if began >= end {
            break;
        }
        stream.write_all(request(*key).as_bytes()).await.expect("Envoy reads");
        let length = loop {
            if let Some(length) = complete(&input) {
                break length;
            }
            assert!(stream.read_buf(&mut input).await.expect("Envoy answers") > 0, "Envoy closed a connection");
        };
        match input.get(9..12) {
            Some(b"200") => seen.allowed += 1,
            Some(b"403") => seen.denied += 1,
            _ => seen.failed += 1,
        }
        input.drain(..length);
        seen.latency.saturating_record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    seen
}

/// The length of the response at the start of `input`, if it is complete.
fn complete(input: &[u8]) -> Option<usize> {
    let head = input.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&input[..head]).expect("a response");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let whole = head + length.map_or(0, |length| length.parse::<usize>().expect("a length"));
    (input.len() >= whole).then_some(whole)
}
