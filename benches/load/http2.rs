//! The generator's HTTP/2 client: only what one unary gRPC call needs, so that a check costs the generator less than the
//! server. Responses are classified by their first bytes.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout_at,
};

use crate::frames::Frames;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// What a round of load saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    /// Resets, gRPC statuses other than 0, and answers without a message.
    pub(crate) failed: u64,
    /// Given up before they were sent.
    pub(crate) unsent: u64,
    /// Nanoseconds. In an open loop from the moment when the check was due, so that a slow server is not spared.
    pub(crate) latency: Histogram<u64>,
}

impl Default for Seen {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(100, 60_000_000_000, 3).expect("valid bounds");
        Self { allowed: 0, denied: 0, failed: 0, unsent: 0, latency }
    }
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.failed += other.failed;
        self.unsent += other.unsent;
        self.latency.add(&other.latency).expect("equal bounds");
    }

    pub(crate) fn checks(&self) -> u64 {
        self.allowed + self.denied + self.failed
    }
}

/// When the next check is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// This many checks of a connection are open at any time.
    Closed(usize),
    /// This many checks a second on a connection, whatever the server does.
    Open(f64),
}

/// Open calls of a connection; further ones wait.
const MOST_OPEN: usize = 20_000;

/// How long Envoy's filter waits for an answer by default. In an open loop, a check that could not be sent for as long is
/// given up.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

pub(crate) async fn connect(target: &str) -> Box<dyn StreamSend> {
    match target.strip_prefix("unix:") {
        Some(path) => Box::new(UnixStream::connect(path).await.expect("the server listens")),
        None => {
            let stream = TcpStream::connect(target).await.expect("the server listens");
            stream.set_nodelay(true).expect("a TCP socket");
            Box::new(stream)
        }
    }
}

pub(crate) trait StreamSend: Stream + Send {}
impl<S: Stream + Send> StreamSend for S {}

/// One connection, as an Envoy worker has one.
pub(crate) struct Connection {
    stream: Box<dyn StreamSend>,
    out: Vec<u8>,
    input: Vec<u8>,
    next_id: u32,
    /// The header block of the second and all later calls: references to the dynamic table.
    indexed: Vec<u8>,
    literal: Vec<u8>,
    is_first: bool,
    window: i64,
    /// Bytes received since the last WINDOW_UPDATE.
    unacknowledged: u32,
    /// When call `id / 2 % len` began; `None` after its end.
    open: Vec<Option<Instant>>,
    open_count: usize,
    /// What the answer's first DATA frame was: see [`Verdict`].
    answers: Vec<u8>,
}

/// Appended to all calls, as Envoy's filter sends them.
fn metadata(token: &str) -> Vec<(&'static str, String)> {
    vec![
        (":method", "POST".to_owned()),
        (":scheme", "http".to_owned()),
        (":path", "/envoy.service.auth.v3.Authorization/Check".to_owned()),
        (":authority", "sentinel".to_owned()),
        ("te", "trailers".to_owned()),
        ("grpc-timeout", "250m".to_owned()),
        ("content-type", "application/grpc".to_owned()),
        ("x-sentinel-token", token.to_owned()),
        ("x-envoy-internal", "true".to_owned()),
        ("x-forwarded-for", "10.0.0.7".to_owned()),
    ]
}

impl Connection {
    pub(crate) async fn new(target: &str, token: &str) -> Self {
        let fields = metadata(token);
        let mut literal = Vec::new();
        for (name, value) in &fields {
            literal.push(0x40);
            for text in [*name, value.as_str()] {
                literal.push(u8::try_from(text.len()).expect("a short text"));
                literal.extend_from_slice(text.as_bytes());
            }
        }
        // RFC 7541, section 2.3.3: the newest entry has index 62.
        let indexed = (0..fields.len()).map(|at| 0x80 | u8::try_from(61 + fields.len() - at).expect("few fields"));
        let mut connection = Self {
            stream: connect(target).await,
            out: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            input: Vec::with_capacity(1 << 20),
            next_id: 1,
            indexed: indexed.collect(),
            literal,
            is_first: true,
            window: 65_535,
            unacknowledged: 0,
            open: vec![None; 1 << 16],
            open_count: 0,
            answers: vec![0; 1 << 16],
        };
        // SETTINGS_INITIAL_WINDOW_SIZE: answers are never held back.
        connection.head(6, SETTINGS, 0, 0);
        connection.out.extend_from_slice(&[0, 4, 0x7f, 0xff, 0xff, 0xff]);
        connection.head(4, WINDOW_UPDATE, 0, 0);
        connection.out.extend_from_slice(&(0x7fff_ffffu32 - 65_535).to_be_bytes());
        connection
    }

    fn head(&mut self, length: usize, kind: u8, flags: u8, id: u32) {
        let [_, a, b, c] = u32::try_from(length).expect("a short frame").to_be_bytes();
        self.out.extend_from_slice(&[a, b, c, kind, flags]);
        self.out.extend_from_slice(&id.to_be_bytes());
    }

    fn slot(id: u32) -> usize {
        (id as usize / 2) % (1 << 16)
    }

    /// `false` if the server's window is full, or too many calls are open.
    fn send(&mut self, frames: &mut Frames, since: Instant) -> bool {
        let frame = frames.peek();
        if self.window < frame.len() as i64 || self.open_count >= MOST_OPEN {
            return false;
        }
        let id = self.next_id;
        self.next_id += 2;
        let block = if std::mem::take(&mut self.is_first) { self.literal.clone() } else { self.indexed.clone() };
        self.head(block.len(), HEADERS, END_HEADERS, id);
        self.out.extend_from_slice(&block);
        let frame = frames.next();
        let length = frame.len();
        let [_, a, b, c] = u32::try_from(length).expect("a short frame").to_be_bytes();
        self.out.extend_from_slice(&[a, b, c, DATA, END_STREAM]);
        self.out.extend_from_slice(&id.to_be_bytes());
        self.out.extend_from_slice(frame);
        self.window -= length as i64;
        self.open[Self::slot(id)] = Some(since);
        self.answers[Self::slot(id)] = 0;
        self.open_count += 1;
        true
    }

    /// Handles every complete frame of the input.
    fn receive(&mut self, seen: &mut Seen) {
        let mut input = std::mem::take(&mut self.input);
        let mut at = 0;
        let now = Instant::now();
        while let Some(&[a, b, c, kind, flags, i, j, k, l]) = input.get(at..at + 9).and_then(|head| head.first_chunk())
        {
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let Some(payload) = input.get(at + 9..at + 9 + length) else { break };
            let id = u32::from_be_bytes([i, j, k, l]);
            let slot = Self::slot(id);
            match kind {
                DATA => {
                    self.unacknowledged += u32::try_from(length).expect("a short frame");
                    // A gRPC prefix, then `CheckResponse.status` (field 1). Its `code` (field 1) is absent for OK.
                    if let [_, _, _, _, _, 0x0a, length, rest @ ..] = payload {
                        self.answers[slot] = if *length > 0 && rest.first() == Some(&0x08) { 2 } else { 1 };
                    }
                }
                RST_STREAM => self.end(slot, false, now, seen),
                SETTINGS if flags & ACK == 0 => self.head(0, SETTINGS, ACK, 0),
                PING if flags & ACK == 0 => {
                    self.head(8, PING, ACK, 0);
                    self.out.extend_from_slice(payload);
                }
                WINDOW_UPDATE if id == 0 => {
                    let more = u32::from_be_bytes(*payload.first_chunk().expect("four bytes"));
                    self.window += i64::from(more & 0x7fff_ffff);
                }
                GOAWAY => panic!("the server closes the connection: {payload:?}"),
                _ => {}
            }
            if flags & END_STREAM != 0 && matches!(kind, DATA | HEADERS) {
                self.end(slot, true, now, seen);
            }
            at += 9 + length;
        }
        input.drain(..at);
        self.input = input;
        if self.unacknowledged > 1 << 20 {
            let bytes = std::mem::take(&mut self.unacknowledged);
            self.head(4, WINDOW_UPDATE, 0, 0);
            self.out.extend_from_slice(&bytes.to_be_bytes());
        }
    }

    fn end(&mut self, slot: usize, is_complete: bool, now: Instant, seen: &mut Seen) {
        let Some(since) = self.open[slot].take() else { return };
        self.open_count -= 1;
        match self.answers[slot] {
            1 if is_complete => seen.allowed += 1,
            2 if is_complete => seen.denied += 1,
            _ => seen.failed += 1,
        }
        let nanos = u64::try_from((now.saturating_duration_since(since)).as_nanos()).unwrap_or(u64::MAX);
        seen.latency.saturating_record(nanos);
    }

    async fn flush(&mut self) {
        self.stream.write_all(&self.out).await.expect("the server reads");
        self.out.clear();
    }

    /// Sends checks until `end` or until `most` were sent, then waits for the answers, at most 10 s.
    pub(crate) async fn run(&mut self, frames: &mut Frames, pace: Pace, end: Instant, most: u64) -> Seen {
        let mut seen = Seen::default();
        let began = Instant::now();
        let mut sent = 0u64;
        let patience = end + Duration::from_secs(10);
        loop {
            let now = Instant::now();
            let is_over = now >= end || sent >= most;
            match pace {
                _ if is_over && self.open_count == 0 => break,
                _ if is_over => {}
                Pace::Closed(streams) => {
                    while self.open_count < streams && sent < most && self.send(frames, now) {
                        sent += 1;
                    }
                }
                Pace::Open(rate) => {
                    // The first is due at once.
                    let due = ((now - began).as_secs_f64() * rate) as u64 + 1;
                    while sent < due.min(most) {
                        let since = began + Duration::from_secs_f64(sent as f64 / rate);
                        if now.saturating_duration_since(since) > PATIENCE {
                            seen.unsent += 1;
                        } else if !self.send(frames, since) {
                            break;
                        }
                        sent += 1;
                    }
                }
            }
            if !self.out.is_empty() {
                self.flush().await;
            }
            let wake = match pace {
                Pace::Open(_) if !is_over => now + Duration::from_millis(1),
                _ => patience,
            };
            let read = self.stream.read_buf(&mut self.input);
            match timeout_at(wake.into(), read).await {
                Ok(Ok(1..)) => self.receive(&mut seen),
                Ok(read) => panic!("the server ended the connection: {read:?}"),
                Err(_) if Instant::now() >= patience => {
                    seen.failed += self.open_count as u64;
                    break;
                }
                Err(_) => {}
            }
        }
        seen
    }
}
