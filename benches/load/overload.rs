//! Twice as many checks as the server can answer.

use std::time::{Duration, Instant};

use crate::{
    Plan,
    frames::{Client, Draw, Frames, From},
    http2::{PATIENCE, Pace},
    path::KEYS,
    report::{Table, cells},
    run::{SERVER_CORE, all_allowed, drive, measured, round},
    server::{Server, Socket},
};

/// An answer as quick as this is one of a server with nothing to do.
const NORMAL: Duration = Duration::from_millis(5);

pub(crate) async fn measure(plan: &Plan) -> Table {
    let time = Duration::from_secs(if plan.is_whole() { 60 } else { 10 });
    let mut table = Table::new(
        format!("Overload: an open loop at twice the peak for {} s", time.as_secs()),
        &[
            "",
            "offered/s",
            "allowed/s",
            "of the peak",
            "not sent within 250 ms",
            "answered after 250 ms",
            "denied",
            "failed",
            "RSS before, MiB",
            "RSS after, MiB",
            "normal again after",
        ],
    );
    for socket in [Socket::Tcp, Socket::Unix] {
        let server = Server::sentinel(&plan.binary, SERVER_CORE, socket, "").bound(KEYS).await;
        let warm = Frames::new(Client::OpenAi, &Draw::Zipf(KEYS), From::Owner);
        let peak = round(&server, &warm, plan.round, all_allowed).await;
        let began = Instant::now();
        let (seen, figures) =
            measured(&server, drive(&server, &warm, Pace::Open(peak.rate * 2.0), time, u64::MAX)).await;
        let elapsed = began.elapsed().as_secs_f64().min(time.as_secs_f64() + 0.25);
        let normal = normal_again(&server, &warm).await;
        let late = 1.0 - seen.latency.quantile_below(u64::try_from(PATIENCE.as_nanos()).expect("short"));
        table.row(
            socket.name(),
            &figures,
            cells![
                "{:.0}", (seen.checks() + seen.unsent) as f64 / elapsed; "{:.0}", seen.allowed as f64 / elapsed;
                "{:.0} %", seen.allowed as f64 / elapsed / peak.rate * 100.0; "{}", seen.unsent;
                "{:.1} %", late * 100.0; "{}", seen.denied; "{}", seen.failed; "{:.0}", peak.rss; "{:.0}", figures.rss;
                "{:.0} ms", normal.as_secs_f64() * 1e3
            ],
        );
    }
    table.note("What the server cannot take waits in Envoy, because HTTP/2's flow control bounds what is on the way; Envoy answers a request that has waited for 250 ms itself, with the status of `status_on_error`.".to_owned());
    table
}

/// How long it takes until a check is answered as quickly as ever.
async fn normal_again(server: &Server, warm: &Frames) -> Duration {
    let began = Instant::now();
    loop {
        let seen = drive(server, warm, Pace::Closed(1), Duration::from_secs(5), 4).await;
        if Duration::from_nanos(seen.latency.max()) < NORMAL || began.elapsed() > Duration::from_secs(20) {
            return began.elapsed();
        }
    }
}
