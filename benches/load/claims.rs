//! Checks that need the store.

use std::time::Duration;

use crate::{
    Plan,
    common::{postgres::Postgres, redis::Redis},
    disk::fdatasync,
    frames::{Client, Draw, Frames, From},
    http2::{Pace, Seen},
    report::{Table, cells},
    run::{SERVER_CORE, STREAMS, all_allowed, drive, measured, round},
    server::{Server, Socket},
};

/// Claims a second.
const CLAIMS: f64 = 200.0;

/// Bound keys of the warm checks.
const WARM: u32 = 20_000;

/// Keys that no other row uses.
const NEW: u32 = 50_000_000;

fn frames(draw: Draw) -> Frames {
    Frames::new(Client::OpenAi, &draw, From::Owner)
}

fn millis(seen: &Seen, quantile: f64) -> f64 {
    seen.latency.value_at_quantile(quantile) as f64 / 1e6
}

/// First uses beside warm checks at 30 % of their peak.
pub(crate) async fn first_use(plan: &Plan) -> Table {
    let mut table = Table::new(
        format!("First use: {CLAIMS} claims a second, beside warm checks at 30 % of their peak"),
        &["", "p50 ms", "p99 ms", "fdatasync p50 ms", "fdatasync p99 ms", "limit of p99 ms", "late or failed"],
    );
    let postgres = Postgres::start().await;
    let url = format!("store.url = \"{}\"", postgres.database().await);
    for (name, more, allowance) in [("SQLite", "", 3.0), ("PostgreSQL", url.as_str(), 5.0)] {
        let server = Server::sentinel(&plan.binary, "0,1", Socket::Unix, more).bound(WARM).await;
        let warm = frames(Draw::Zipf(WARM));
        let peak = round(&server, &warm, plan.round, all_allowed).await.rate;
        let time = plan.round * 5;
        let new = frames(Draw::Each(NEW));
        let before = fdatasync(server.folder(), plan.round, [0.5, 0.99]);
        let (claims, _) = tokio::join!(
            drive(&server, &new, Pace::Open(CLAIMS), time, u64::MAX),
            drive(&server, &warm, Pace::Open(peak * 0.3), time, u64::MAX)
        );
        let after = fdatasync(server.folder(), plan.round, [0.5, 0.99]);
        let [p50, p99] = [0, 1].map(|at| f64::midpoint(before[at], after[at]));
        let late = claims.denied + claims.failed;
        table.plain(
            name,
            cells![
                "{:.1}", millis(&claims, 0.5); "{:.1}", millis(&claims, 0.99); "{:.2}", p50; "{:.2}", p99;
                "{:.1}", 2.5 * p99 + allowance; "{}", late
            ],
        );
    }
    table.note("The limit is 2.5 × the fdatasync p99 of the same disk, measured before and after, + 3 ms (SQLite) or + 5 ms (PostgreSQL).".to_owned());
    table
}

/// Keys that another replica has bound, at their first check here.
pub(crate) async fn cold(plan: &Plan) -> Table {
    const COLD: u32 = 20_000;
    let mut table = Table::new(
        "Cold keys: bound by another replica".to_owned(),
        &["", "CPU µs a check", "checks/s", "p50 ms", "p99 ms", "denied or failed"],
    );
    let (postgres, redis) = (Postgres::start().await, Redis::start().await);
    let store = format!("store.url = \"{}\"", postgres.database().await);
    let both = format!("{store}\nredis.url = \"{}\"", redis.url());
    let _first = Server::sentinel(&plan.binary, SERVER_CORE, Socket::Unix, &both).bound(COLD).await;
    for (name, more) in [("from Redis", &both), ("from PostgreSQL", &store)] {
        let server = Server::sentinel(&plan.binary, SERVER_CORE, Socket::Unix, more);
        let each = frames(Draw::Each(0));
        let load = drive(&server, &each, Pace::Closed(8), Duration::from_secs(60), COLD.into());
        let (seen, figures) = measured(&server, load).await;
        table.row(
            name,
            &figures,
            cells![
                "{:.0}", figures.cpu; "{:.0}", figures.rate; "{:.2}", figures.p50; "{:.1}", figures.p99;
                "{}", seen.denied + seen.failed
            ],
        );
    }
    table
}

/// Keys that nobody has bound, from many addresses, with the default limits of claims.
pub(crate) async fn flood(plan: &Plan) -> Table {
    let mut table = Table::new(
        "A flood of unknown keys".to_owned(),
        &["", "CPU µs a check", "checks/s", "p50 ms", "p99 ms", "allowed", "denied", "failed", "RSS MiB"],
    );
    let server = Server::sentinel(&plan.binary, SERVER_CORE, Socket::Unix, "claims.per_network = \"30/min\"");
    let each = frames(Draw::Each(NEW));
    let load = drive(&server, &each, Pace::Closed(STREAMS), plan.round * 3, u64::MAX);
    let (seen, figures) = measured(&server, load).await;
    table.row(
        "each key once",
        &figures,
        cells![
            "{:.0}", figures.cpu; "{:.0}", figures.rate; "{:.2}", figures.p50; "{:.1}", figures.p99; "{}", seen.allowed;
            "{}", seen.denied; "{}", seen.failed; "{:.0}", figures.rss
        ],
    );
    table
}
