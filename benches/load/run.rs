//! One round of load, and what was seen of it.

use std::time::{Duration, Instant};

use crate::{
    busy::{self, MOST_OTHERS, Mark},
    frames::Frames,
    http2::{Connection, Pace, Seen},
    server::{Server, TOKEN},
};

pub(crate) const SERVER_CORE: &str = "0";
pub(crate) const GENERATOR_CORE: usize = 1;

/// As many as an Envoy with four workers has.
const CONNECTIONS: usize = 4;

/// The closed loop of the rounds: open checks of a connection.
pub(crate) const STREAMS: usize = 32;

/// How often a round is repeated because others were busy.
const REPEATS: usize = 3;

/// Keeps this process on a core.
pub(crate) fn pin(core: usize) {
    let mut cpus = nix::sched::CpuSet::new();
    cpus.set(core).expect("a second core");
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cpus).expect("a second core");
}

/// What a round showed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Checks a second.
    pub(crate) rate: f64,
    /// The server's user and system time a check, in microseconds.
    pub(crate) cpu: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// MiB.
    pub(crate) rss: f64,
    /// The generator's share of its core.
    pub(crate) generator: f64,
    /// Cores that other programs used.
    pub(crate) others: f64,
}

impl Figures {
    pub(crate) fn is_clear(&self) -> bool {
        self.others <= MOST_OTHERS
    }

    /// Of each figure the median.
    pub(crate) fn median(all: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(all.iter().map(figure).collect());
        Self {
            rate: of(|it| it.rate),
            cpu: of(|it| it.cpu),
            p50: of(|it| it.p50),
            p99: of(|it| it.p99),
            p999: of(|it| it.p999),
            rss: of(|it| it.rss),
            generator: of(|it| it.generator),
            others: of(|it| it.others),
        }
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Sends `frames` to `server` until `time` is over or `most` were sent.
pub(crate) async fn drive(server: &Server, frames: &Frames, pace: Pace, time: Duration, most: u64) -> Seen {
    let end = Instant::now() + time;
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|part| {
            let (mut frames, target) = (frames.part(part, CONNECTIONS), server.target.clone());
            let pace = match pace {
                Pace::Open(rate) => Pace::Open(rate / CONNECTIONS as f64),
                closed => closed,
            };
            tokio::spawn(async move {
                let mut connection = Connection::new(&target, TOKEN).await;
                connection.run(&mut frames, pace, end, most / CONNECTIONS as u64).await
            })
        })
        .collect();
    let mut seen = Seen::default();
    for task in tasks {
        seen.add(&task.await.expect("a connection"));
    }
    seen
}

/// One round in a closed loop; repeated while other programs are busy.
pub(crate) async fn round(server: &Server, frames: &Frames, time: Duration, expect: fn(&Seen) -> bool) -> Figures {
    let mut figures = Figures::default();
    for _ in 0..=REPEATS {
        let (seen, read) = measured(server, drive(server, frames, Pace::Closed(STREAMS), time, u64::MAX)).await;
        assert!(expect(&seen), "{} allowed, {} denied, {} failed", seen.allowed, seen.denied, seen.failed);
        figures = read;
        if figures.is_clear() {
            break;
        }
    }
    figures
}

/// Waits for `load`, and reads the processes meanwhile.
pub(crate) async fn measured(server: &Server, load: impl Future<Output = Seen>) -> (Seen, Figures) {
    measured_with(&[server.pid()], server, load).await
}

/// The same, where all of `pids` belong to the measurement.
pub(crate) async fn measured_with(pids: &[u32], server: &Server, load: impl Future<Output = Seen>) -> (Seen, Figures) {
    let (mark, cpu, own) = (Mark::now(pids), server.cpu(), busy::ticks(std::process::id()));
    let began = Instant::now();
    let seen = load.await;
    let elapsed = began.elapsed().as_secs_f64();
    let checks = seen.checks() as f64;
    let quantile = |at| seen.latency.value_at_quantile(at) as f64 / 1e6;
    let figures = Figures {
        rate: checks / elapsed,
        cpu: (server.cpu() - cpu).as_secs_f64() * 1e6 / checks,
        p50: quantile(0.5),
        p99: quantile(0.99),
        p999: quantile(0.999),
        rss: server.rss() as f64 / f64::from(1 << 20),
        generator: (busy::ticks(std::process::id()) - own) as f64 / 100.0 / elapsed,
        others: mark.others(),
    };
    (seen, figures)
}

pub(crate) fn all_allowed(seen: &Seen) -> bool {
    seen.allowed > 0 && seen.denied + seen.failed == 0
}

pub(crate) fn all_denied(seen: &Seen) -> bool {
    seen.denied > 0 && seen.allowed + seen.failed == 0
}
