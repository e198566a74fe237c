//! Warm checks while something else goes on in the same server.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Plan,
    frames::{Client, Draw, Frames, From},
    http2::{Pace, Seen},
    path::KEYS,
    report::{Table, cells},
    run::{SERVER_CORE, all_allowed, drive, measured, round},
    server::{Server, Socket},
};

/// The processor time of the threads that check, in microseconds.
fn check_threads(server: &Server) -> f64 {
    let time = |stat: String| {
        let fields: Vec<u64> =
            stat.rsplit(')').next()?.split_whitespace().skip(11).take(2).filter_map(|it| it.parse().ok()).collect();
        Some(fields.iter().sum::<u64>() as f64 * 1e4)
    };
    let threads = server.threads("checks-").into_iter();
    threads.filter_map(|thread| time(fs::read_to_string(thread.join("stat")).ok()?)).sum()
}

/// A program that is repeated until it is dropped.
struct Repeated(Child);

impl Drop for Repeated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn measure(plan: &Plan) -> Table {
    let server = Server::sentinel(&plan.binary, SERVER_CORE, Socket::Unix, "").bound(KEYS).await;
    let frames = |draw, from| Frames::new(Client::OpenAi, &draw, from);
    let warm = frames(Draw::Zipf(KEYS), From::Owner);
    let peak = round(&server, &warm, plan.round, all_allowed).await.rate;
    let mut table = Table::new(
        "Warm checks at 30 % of their peak, while something else goes on in the server".to_owned(),
        &["", "CPU µs a warm check, check threads", "p50 ms", "p99 ms", "p99.9 ms"],
    );
    for name in [
        "nothing else",
        "1,000 claims/s",
        "audit flood: 3,000 denials/s of 100,000 keys",
        "listing 100,000 bindings",
        "a reload each 100 ms",
    ] {
        let time = plan.round * 2;
        let _program = match name {
            "listing 100,000 bindings" => Some(listing(&server, plan)),
            _ => None,
        };
        let other = async {
            match name {
                "1,000 claims/s" => {
                    drive(&server, &frames(Draw::Each(90_000_000), From::Owner), Pace::Open(1_000.0), time, u64::MAX)
                        .await
                }
                "audit flood: 3,000 denials/s of 100,000 keys" => {
                    drive(&server, &frames(Draw::Zipf(KEYS), From::Stranger), Pace::Open(3_000.0), time, u64::MAX).await
                }
                "a reload each 100 ms" => reload(&server, time).await,
                _ => Seen::default(),
            }
        };
        let before = check_threads(&server);
        let load = drive(&server, &warm, Pace::Open(peak * 0.3), time, u64::MAX);
        let ((seen, figures), other) = tokio::join!(measured(&server, load), other);
        let cpu = (check_threads(&server) - before) / (seen.checks() + other.checks()) as f64;
        table.row(
            name,
            &figures,
            cells!["{:.1}", cpu; "{:.2}", figures.p50; "{:.1}", figures.p99; "{:.1}", figures.p999],
        );
    }
    table.note(io_of_check_threads(&server));
    table
}

/// What the threads that check have read from and written to disks since they began.
fn io_of_check_threads(server: &Server) -> String {
    let of = |field: &str| -> u64 {
        let threads = server.threads("checks-").into_iter();
        let texts = threads.filter_map(|thread| fs::read_to_string(thread.join("io")).ok());
        texts
            .filter_map(|text| text.lines().find_map(|line| line.strip_prefix(field)?.trim().parse::<u64>().ok()))
            .sum()
    };
    format!(
        "In all of these rounds the check threads have read {} and written {} bytes on disks: the store, the audit and the log \
         have threads of their own.",
        of("read_bytes:"),
        of("write_bytes:")
    )
}

fn listing(server: &Server, plan: &Plan) -> Repeated {
    let list = server.command(&plan.binary, &["list", "--limit", "100000"]);
    let words: Vec<String> = std::iter::once(list.get_program())
        .chain(list.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "sh", "-c", &format!("while :; do {} || exit 1; done", words.join(" "))]);
    Repeated(command.stdout(Stdio::null()).spawn().expect("sh"))
}

async fn reload(server: &Server, time: Duration) -> Seen {
    let end = std::time::Instant::now() + time;
    while std::time::Instant::now() < end {
        kill(Pid::from_raw(server.pid().cast_signed()), Signal::SIGHUP).expect("a process");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Seen::default()
}
