//! The decision path: a check that the cache decides, beside the no-op.

use crate::{
    Plan,
    frames::{Client, Draw, Frames, From},
    report::{Bar, Table, cells},
    run::{Figures, SERVER_CORE, all_allowed, all_denied, median, round},
    server::{Server, Socket},
};

/// The keys that are drawn by Zipf's law.
pub(crate) const KEYS: u32 = 100_000;

/// Keys that leaked: denials of few keys are coalesced in the audit.
const LEAKED: u32 = 1_000;

pub(crate) async fn measure(plan: &Plan) -> Vec<Table> {
    let mut tables = Vec::new();
    for socket in [Socket::Tcp, Socket::Unix] {
        let noop = Server::noop(SERVER_CORE, socket);
        let sentinel = Server::sentinel(&plan.binary, SERVER_CORE, socket, "").bound(KEYS).await;
        for client in Client::ALL {
            tables.push(beside_noop(plan, &noop, &sentinel, client, socket).await);
        }
    }
    tables
}

async fn beside_noop(plan: &Plan, noop: &Server, sentinel: &Server, client: Client, socket: Socket) -> Table {
    let frames = |draw, from| Frames::new(client, &draw, from);
    let rows = [
        ("stock no-op, one thread", noop, frames(Draw::Zipf(KEYS), From::Owner), all_allowed as fn(&_) -> bool),
        ("Sentinel, warm hit", sentinel, frames(Draw::Zipf(KEYS), From::Owner), all_allowed),
        ("Sentinel, mismatch, 1,000 leaked keys", sentinel, frames(Draw::Zipf(LEAKED), From::Stranger), all_denied),
        ("Sentinel, mismatch, 100,000 keys", sentinel, frames(Draw::Zipf(KEYS), From::Stranger), all_denied),
    ];
    let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); rows.len()];
    for _ in 0..plan.rounds {
        for (figures, (_, server, frames, expect)) in rounds.iter_mut().zip(&rows) {
            figures.push(round(server, frames, plan.round, *expect).await);
        }
    }
    let mut table = Table::new(
        format!("{}, {}", client.name(), socket.name()),
        &[
            "",
            "CPU µs a check",
            "× no-op",
            "checks/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "RSS MiB",
            "generator",
            "others",
        ],
    );
    for (figures, (name, ..)) in rounds.iter().zip(&rows) {
        let ratio = median(figures.iter().zip(&rounds[0]).map(|(it, noop)| it.cpu / noop.cpu).collect());
        let middle = Figures::median(figures);
        table.bars.push(Bar { name: (*name).to_owned(), value: middle.cpu, ratio });
        table.row(
            name,
            &middle,
            cells![
                "{:.1}", middle.cpu; "{:.2}", ratio; "{:.0}", middle.rate; "{:.2}", middle.p50; "{:.1}", middle.p99;
                "{:.1}", middle.p999; "{:.0}", middle.rss; "{:.0} %", middle.generator * 100.0; "{:.2}", middle.others
            ],
        );
    }
    table
}

/// One core and both. The generator needs one of the two, so capacity is reckoned by processor time: what the cores could
/// do if the generator took none.
pub(crate) async fn cores(plan: &Plan) -> Table {
    let one = Server::sentinel(&plan.binary, SERVER_CORE, Socket::Unix, "").bound(KEYS).await;
    let both = Server::sentinel(&plan.binary, "0,1", Socket::Unix, "").bound(KEYS).await;
    let frames = Frames::new(Client::OpenAi, &Draw::Zipf(KEYS), From::Owner);
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..plan.rounds {
        for (figures, server) in rounds.iter_mut().zip([&one, &both]) {
            figures.push(round(server, &frames, plan.round, all_allowed).await);
        }
    }
    let mut table = Table::new(
        "One core and two".to_owned(),
        &["", "CPU µs a check", "capacity, checks/s", "checks/s seen", "generator"],
    );
    let capacity = |cores: f64, figures: &Figures| cores * 1e6 / figures.cpu;
    for (cores, figures) in [1.0, 2.0].into_iter().zip(&rounds) {
        let middle = Figures::median(figures);
        table.row(if cores > 1.0 { "two cores" } else { "one core" }, &middle, cells![
            "{:.1}", middle.cpu; "{:.0}", capacity(cores, &middle); "{:.0}", middle.rate; "{:.0} %", middle.generator * 100.0
        ]);
    }
    let ratios = rounds[0].iter().zip(&rounds[1]).map(|(one, both)| capacity(2.0, both) / capacity(1.0, one)).collect();
    table.note(format!(
        "Two cores have {:.2} × the capacity of one, by processor time: the generator runs on the second core too, so that \
         the checks seen are not the limit.",
        median(ratios)
    ));
    table
}
