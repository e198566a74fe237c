//! `make bench`: Sentinel beside a stock no-op server, in one run.

mod frames;
mod http2;
mod noop;
mod server;

use std::{
    env,
    path::PathBuf,
    time::{Duration, Instant},
};

use frames::{Client, Draw, Frames, From};
use http2::{Connection, Pace, Seen};
use server::{Server, Socket, TOKEN};

const SERVER_CORE: &str = "0";
const GENERATOR_CORE: usize = 1;

fn main() {
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [mode, address] = &arguments[..]
        && mode == "noop"
    {
        return noop::serve(address);
    }
    let mut cpus = nix::sched::CpuSet::new();
    cpus.set(GENERATOR_CORE).expect("a second core");
    let own = nix::unistd::Pid::from_raw(0);
    nix::sched::sched_setaffinity(own, &cpus).expect("a second core");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(quick(&arguments));
}

/// Drives `server` on `connections` connections and returns what was seen.
async fn drive(server: &Server, frames: &Frames, connections: usize, pace: Pace, time: Duration, most: u64) -> Seen {
    let end = Instant::now() + time;
    let tasks: Vec<_> = (0..connections)
        .map(|part| {
            let mut frames = frames.part(part, connections);
            let target = server.target.clone();
            tokio::spawn(async move {
                let mut connection = Connection::new(&target, TOKEN).await;
                connection.run(&mut frames, pace, end, most / connections as u64).await
            })
        })
        .collect();
    let mut seen = Seen::default();
    for task in tasks {
        seen.add(&task.await.expect("a connection"));
    }
    seen
}

struct Row {
    name: String,
    cpu: f64,
    rate: f64,
    p50: f64,
    p99: f64,
}

async fn measure(name: &str, server: &Server, frames: &Frames, expect: fn(&Seen) -> bool) -> Row {
    let (cpu, began) = (server.cpu(), Instant::now());
    let seen = drive(server, frames, 4, Pace::Closed(32), Duration::from_secs(2), u64::MAX).await;
    let elapsed = began.elapsed().as_secs_f64();
    assert!(expect(&seen), "{name}: {} allowed, {} denied, {} failed", seen.allowed, seen.denied, seen.failed);
    let checks = seen.checks() as f64;
    Row {
        name: name.to_owned(),
        cpu: (server.cpu() - cpu).as_secs_f64() * 1e6 / checks,
        rate: checks / elapsed,
        p50: seen.latency.value_at_quantile(0.5) as f64 / 1e6,
        p99: seen.latency.value_at_quantile(0.99) as f64 / 1e6,
    }
}

async fn quick(arguments: &[String]) {
    let binaries: Vec<PathBuf> = match arguments {
        [] => vec![server::binary()],
        paths => paths.iter().map(PathBuf::from).collect(),
    };
    const KEYS: u32 = 100_000;
    let mut rows: Vec<Row> = Vec::new();
    for client in [Client::OpenAi] {
        for socket in [Socket::Tcp, Socket::Unix] {
            let noop = Server::noop(SERVER_CORE, socket);
            let servers: Vec<Server> =
                binaries.iter().map(|binary| Server::sentinel(binary, SERVER_CORE, socket, "")).collect();
            for server in &servers {
                // A claim that came too late is repeated.
                let mut allowed = 0;
                for _ in 0..5 {
                    let each = Frames::new(client, &Draw::Each(0), From::Owner);
                    let seen = drive(server, &each, 4, Pace::Closed(16), Duration::from_secs(300), KEYS.into()).await;
                    allowed = seen.allowed;
                    if allowed == u64::from(KEYS) {
                        break;
                    }
                }
                assert_eq!(allowed, u64::from(KEYS));
            }
            let owner = Frames::new(client, &Draw::Zipf(KEYS), From::Owner);
            let stranger = Frames::new(client, &Draw::Zipf(KEYS), From::Stranger);
            for _ in 0..5 {
                let name = format!("{client:?} {socket:?}");
                rows.push(measure(&format!("{name} noop"), &noop, &owner, |seen| seen.denied + seen.failed == 0).await);
                for (at, server) in servers.iter().enumerate() {
                    rows.push(
                        measure(&format!("{name} {at} warm"), server, &owner, |seen| seen.denied + seen.failed == 0)
                            .await,
                    );
                    rows.push(
                        measure(&format!("{name} {at} mismatch"), server, &stranger, |seen| {
                            seen.allowed + seen.failed == 0
                        })
                        .await,
                    );
                }
            }
        }
    }
    let mut names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let of: Vec<&Row> = rows.iter().filter(|row| row.name == name).collect();
        let median = |value: fn(&Row) -> f64| {
            let mut values: Vec<f64> = of.iter().map(|row| value(row)).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        eprintln!(
            "{name:28} cpu {:6.2} us  {:8.0}/s  p50 {:.2} p99 {:.2} ms",
            median(|row| row.cpu),
            median(|row| row.rate),
            median(|row| row.p50),
            median(|row| row.p99)
        );
    }
}
