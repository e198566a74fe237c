//! The end of the process: first out of sight and still serving, then GOAWAY, and no call is lost before the deadline.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{
    Answer, Sentinel,
    check::CHECK,
    edge::Edge,
    envoy::EnvoyConfig,
    eventually,
    grpc::{Channel, Target, frame},
    http2, sentinel, within,
};
use bytes::{Bytes, BytesMut};
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use futures_util::future::join_all;
use key_ip_sentinel::{domain::Reason, ext_authz::SERVICE};
use nix::sys::signal::Signal::{SIGINT, SIGTERM};
use prost::Message;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

const KEY: &str = "sk-0123456789";
/// A call that no server ends by itself.
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The longest that can be configured: what ends earlier was not ended by it.
const LONG_DELAY: &str = "\"5m\"";
const LONG_DEADLINE: &str = "\"1h\"";

/// A Check of the owner's.
fn check(sentinel: &Sentinel) -> Bytes {
    frame(&sentinel.check().key(KEY).message().encode_to_vec())
}

fn health() -> Bytes {
    frame(&HealthCheckRequest::default().encode_to_vec())
}

/// Makes the address of [`check`] the owner, over `channel`: what was begun there before has reached the server.
async fn claim(sentinel: &Sentinel, channel: &Channel) {
    assert_eq!(sentinel.check().key(KEY).over(channel).send().await.reason(), "first_use");
}

async fn goes_away(sentinel: &Sentinel, channel: &Channel) {
    eventually("the server says GOAWAY", async || match channel.offer(CHECK, check(sentinel)).await {
        Some(answered) => {
            assert!(Answer::from_reply(&answered.unwrap()).is_allow());
            None
        }
        None => Some(()),
    })
    .await;
}

#[tokio::test]
async fn from_sigterm_on_no_health_check_succeeds_while_checks_are_still_answered() {
    let sentinel = sentinel().set("drain.delay", LONG_DELAY).start().await;
    let channel = sentinel.connect().await;
    claim(&sentinel, &channel).await;
    for service in ["", SERVICE] {
        assert_eq!(sentinel.health(service).await, ServingStatus::Serving);
    }
    sentinel.signal(SIGTERM);
    eventually("/readyz says no", async || (sentinel.get("/readyz").await.0 == 503).then_some(())).await;
    for service in ["", SERVICE] {
        eventually("gRPC health says no", async || {
            (sentinel.health(service).await == ServingStatus::NotServing).then_some(())
        })
        .await;
    }
    assert_eq!(sentinel.get("/livez").await.0, 200);
    for channel in [channel, sentinel.connect().await] {
        assert_eq!(sentinel.check().key(KEY).over(&channel).send().await.reason(), "bound");
        assert_eq!(sentinel.check().key(KEY).from("198.51.100.9").over(&channel).send().await.reason(), "ip_mismatch");
    }
    // Who asks twice does not want to wait.
    sentinel.signal(SIGTERM);
    assert!(sentinel.ended().await.0.success());
}

#[tokio::test]
async fn envoy_sees_a_draining_sentinel_as_unhealthy_and_is_still_answered() {
    let home = sentinel().set("drain.delay", LONG_DELAY);
    let edge = Edge::start(home, EnvoyConfig::shipped().patient()).await;
    let healthy = async || edge.envoy.counter("cluster.sentinel.membership_healthy").await;
    edge.claim(KEY).await;
    eventually("envoy finds Sentinel healthy", async || (healthy().await == 1).then_some(())).await;
    edge.sentinel.signal(SIGTERM);
    eventually("envoy finds Sentinel unhealthy", async || (healthy().await == 0).then_some(())).await;
    let owner = edge.envoy.get("/owner").key(KEY).from("127.0.0.1").send().await;
    edge.assert_allowed("/owner", &owner, Reason::Bound).await;
    let thief = edge.envoy.get("/thief").key(KEY).from("127.0.0.2").send().await;
    edge.assert_denied("/thief", &thief, Reason::IpMismatch).await;
}

/// The first GOAWAY refuses nothing, because calls may be on their way; what the caller sends before its answer to PING is
/// answered. A caller that is refused a call would have to send it again, which Envoy does not do for a Check.
#[tokio::test]
async fn a_call_that_was_sent_before_goaway_arrived_is_answered() {
    let sentinel = sentinel().set("drain.delay", "\"0s\"").set("drain.deadline", LONG_DEADLINE).start().await;
    claim(&sentinel, &sentinel.connect().await).await;
    let Target::Tcp(address) = sentinel.grpc() else { panic!("on TCP by default") };
    let mut stream = TcpStream::connect(address).await.unwrap();
    let call = |mut out: BytesMut, id: u32| {
        http2::put_call(&mut out, id);
        http2::put(&mut out, http2::DATA, http2::END_STREAM, id, &check(&sentinel));
        out
    };
    stream.write_all(&call(http2::preface(), 1)).await.unwrap();
    let answer = async |stream: &mut TcpStream, id: u32| {
        let data = frame_of(stream, |frame| (frame.kind, frame.stream) == (http2::DATA, id)).await;
        CheckResponse::decode(&data.payload[5..]).unwrap().status.unwrap().code
    };
    assert_eq!(answer(&mut stream, 1).await, 0);
    sentinel.signal(SIGTERM);
    let first = frame_of(&mut stream, |frame| frame.kind == http2::GOAWAY).await;
    assert_eq!(first.payload[..4], (u32::MAX >> 1).to_be_bytes(), "the first GOAWAY refuses calls");
    let ping = frame_of(&mut stream, |frame| frame.kind == http2::PING && frame.flags & http2::ACK == 0).await;
    let mut sent = call(BytesMut::new(), 3);
    http2::put(&mut sent, http2::PING, http2::ACK, 0, &ping.payload);
    stream.write_all(&sent).await.unwrap();
    assert_eq!(answer(&mut stream, 3).await, 0);
    assert!(sentinel.ended().await.0.success());
}

async fn frame_of(stream: &mut TcpStream, is_it: impl Fn(&http2::Frame) -> bool) -> http2::Frame {
    within("the server sends the frame", async {
        loop {
            let frame = http2::next(stream).await;
            if is_it(&frame) {
                return frame;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_call_that_runs_at_goaway_is_answered_and_nobody_new_is_let_in() {
    let sentinel = sentinel().on_unix_socket().set("drain.deadline", LONG_DEADLINE).start().await;
    let channel = sentinel.connect().await;
    let running = channel.begin(CHECK);
    claim(&sentinel, &channel).await;
    sentinel.signal(SIGTERM);
    goes_away(&sentinel, &channel).await;
    assert!(Channel::try_connect(sentinel.grpc()).await.is_err(), "somebody still listens");
    let answer =
        Answer::from_reply(&within("the server answers", running.send(check(&sentinel))).await.unwrap().unwrap());
    assert_eq!(answer.reason(), "bound");
    let (status, log, _) = sentinel.ended().await;
    assert!(status.success() && !log.contains("still open"), "{log}");
}

/// Clients as Envoy is one: several connections, several calls at a time on each, and GOAWAY is obeyed.
const CONNECTIONS: usize = 4;
const CALLS_AT_A_TIME: usize = 8;

/// Asks until nobody listens any more; why calls that were sent were not answered.
async fn ask_on(sentinel: &Sentinel, channel: Channel, answered: &AtomicU64) -> Vec<hyper::Error> {
    let (mut channel, mut lost) = (channel, Vec::new());
    loop {
        match channel.offer(CHECK, check(sentinel)).await {
            Some(Ok(reply)) => {
                assert!(Answer::from_reply(&reply).is_allow());
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Some(Err(cause)) => lost.push(cause),
            None => match Channel::try_connect(sentinel.grpc()).await {
                Ok(other) => channel = other,
                Err(_) => return lost,
            },
        }
    }
}

#[tokio::test]
async fn a_continuous_load_through_sigterm_loses_no_check() {
    let home = sentinel().on_unix_socket().set("drain.delay", "\"300ms\"").set("drain.deadline", LONG_DEADLINE);
    let sentinel = home.start().await;
    claim(&sentinel, sentinel.channel().await).await;
    let channels = join_all((0..CONNECTIONS).map(|_| sentinel.connect())).await;
    let answered = AtomicU64::new(0);
    let callers = (0..CONNECTIONS * CALLS_AT_A_TIME)
        .map(|caller| ask_on(&sentinel, channels[caller % CONNECTIONS].clone(), &answered));
    let (lost, before) = within("the load ends with the server", async {
        tokio::join!(join_all(callers), async {
            let warm = async || Some(answered.load(Ordering::Relaxed)).filter(|count| *count > 1_000);
            let before = eventually("the load is on", warm).await;
            sentinel.signal(SIGTERM);
            before
        })
    })
    .await;
    let answered = answered.load(Ordering::Relaxed);
    let lost: Vec<_> = lost.into_iter().flatten().collect();
    assert!(lost.is_empty(), "lost, of {answered}: {lost:?}");
    assert!(answered > before + CONNECTIONS as u64, "nothing was asked while it drained");
    let (status, log, _) = sentinel.ended().await;
    assert!(status.success() && !log.contains("still open"), "{log}");
}

/// The log writer used to end with the background tasks, before this line.
#[tokio::test]
async fn the_last_log_line_says_that_the_server_stopped() {
    let sentinel = sentinel().start().await;
    sentinel.signal(SIGTERM);
    let (status, log, _) = sentinel.ended().await;
    assert!(status.success() && log.lines().last().is_some_and(|line| line.contains("\"stopped\"")), "{log}");
}

#[tokio::test]
async fn what_never_ends_is_cut_at_the_deadline() {
    let sentinel = sentinel().set("drain.deadline", "\"50ms\"").start().await;
    let channel = sentinel.connect().await;
    let never_half_closed = channel.begin(CHECK);
    let watch = channel.begin(WATCH).send(health());
    claim(&sentinel, &channel).await;
    sentinel.signal(SIGTERM);
    let (status, log, _) = sentinel.ended().await;
    assert!(status.success() && log.contains("connections were still open at drain.deadline"), "{log}");
    assert!(never_half_closed.abandon().await.is_err());
    assert!(within("the call is cut", watch).await.unwrap().is_err());
}

#[tokio::test]
async fn a_second_signal_ends_at_once_after_goaway_too() {
    let sentinel = sentinel().on_unix_socket().set("drain.deadline", LONG_DEADLINE).start().await;
    let channel = sentinel.connect().await;
    let watch = channel.begin(WATCH).send(health());
    claim(&sentinel, &channel).await;
    sentinel.signal(SIGINT);
    goes_away(&sentinel, &channel).await;
    assert!(!watch.is_finished());
    sentinel.signal(SIGINT);
    let (status, log, _) = sentinel.ended().await;
    assert!(status.success() && !log.contains("still open"), "{log}");
    assert!(within("the call is cut", watch).await.unwrap().is_err());
}
