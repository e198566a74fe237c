//! Requests through a real Envoy with one worker, which answers them itself where an upstream would.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    Plan, busy,
    common::envoy::{EnvoyConfig, binary},
    frames::zipf,
    http1,
    report::{Table, cells},
    run::{Figures, all_allowed, median},
    server::{Server, Socket, on_cores},
};

const KEYS: u32 = 20_000;
const CONNECTIONS: usize = 32;

const ANSWER: &str = "direct_response: { status: 200 }";

/// What a first configuration of ext_authz has.
fn stock(filter: bool) -> String {
    let filter = if filter {
        "- { name: envoy.filters.http.ext_authz, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz, transport_api_version: V3, grpc_service: { envoy_grpc: { cluster_name: sentinel }, timeout: 0.25s } } }"
    } else {
        ""
    };
    format!(
        r#"
admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 9901 }} }} }}
static_resources:
  listeners:
  - name: edge
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: 10000 }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          route_config: {{ virtual_hosts: [ {{ name: all, domains: ["*"], routes: [ {{ match: {{ prefix: / }}, {ANSWER} }} ] }} ] }}
          http_filters:
          {filter}
          - {{ name: envoy.filters.http.router, typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}
  clusters:
  - name: sentinel
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
    load_assignment: {{ cluster_name: sentinel, endpoints: [ {{ lb_endpoints: [ {{ endpoint: {{ address: {{ pipe: {{ path: /run/sentinel/ext_authz.sock }} }} }} }} ] }} ] }}
"#
    )
}

/// The shipped file, whose last route answers.
fn shipped() -> String {
    let code = EnvoyConfig::shipped().code().join("\n");
    let (before, route) = code.split_once("              - match: { prefix: / }\n").expect("the last route");
    let rest: Vec<&str> = route.lines().skip_while(|line| line.starts_with("                ")).collect();
    format!("{before}              - match: {{ prefix: / }}\n                {ANSWER}\n{}\n", rest.join("\n"))
}

struct Envoy {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Envoy {
    async fn start(text: &str, checks: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let port = crate::server::free_port();
        let text = text
            .replace("/run/sentinel/ext_authz.sock", &checks.display().to_string())
            .replace("port_value: 10000", &format!("port_value: {port}"))
            .replace("port_value: 9901", "port_value: 0");
        let file = dir.path().join("envoy.yaml");
        fs::write(&file, text).expect("a file");
        let mut command: Command = on_cores("0", &binary());
        command.arg("-c").arg(&file).args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
        // Access logs are written, to nowhere.
        let child = command.stdout(Stdio::null()).spawn().expect("Envoy");
        let end = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "Envoy does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { child, port, _dir: dir }
    }
}

pub(crate) async fn measure(plan: &Plan) -> Table {
    let settings: String = EnvoyConfig::shipped()
        .settings()
        .into_iter()
        .filter(|(key, _)| key != "listen.grpc")
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let noop = Server::noop("1", Socket::Unix);
    let sentinel = Server::sentinel_for_envoy(&plan.binary, "1", &settings);
    let rows = [
        ("Envoy alone", stock(false), &noop),
        ("stock file, no-op", stock(true), &noop),
        ("shipped file, no-op", shipped(), &noop),
        ("shipped file, Sentinel", shipped(), &sentinel),
    ];
    let keys = zipf(KEYS);
    let mut envoys = Vec::new();
    for (_, text, server) in &rows {
        let socket = server.target.strip_prefix("unix:").expect("a unix socket");
        envoys.push(Envoy::start(text, Path::new(socket)).await);
    }
    // Every key has an owner before it is measured.
    let each: Vec<u32> = (0..KEYS).collect();
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = http1::drive(envoys[3].port, &each, CONNECTIONS, Duration::from_secs(5)).await;
        if all_allowed(&seen) && seen.checks() > u64::from(KEYS) || Instant::now() > end {
            break;
        }
    }
    let mut rounds: Vec<Vec<(Figures, f64)>> = vec![Vec::new(); rows.len()];
    for _ in 0..plan.rounds {
        for ((figures, envoy), (_, _, server)) in rounds.iter_mut().zip(&envoys).zip(&rows) {
            figures.push(through(envoy, server, &keys, plan.round).await);
        }
    }
    let mut table = Table::new(
        "Through Envoy: one worker on one core; the server and 32 clients on the other".to_owned(),
        &["", "requests/s", "× stock + no-op", "Envoy's CPU µs a request", "server's CPU µs", "p50 ms", "p99 ms"],
    );
    for (figures, (name, ..)) in rounds.iter().zip(&rows) {
        let ratio = figures.iter().zip(&rounds[1]).map(|((it, _), (stock, _))| it.rate / stock.rate).collect();
        let middle = Figures::median(&figures.iter().map(|(figures, _)| *figures).collect::<Vec<_>>());
        let envoy = median(figures.iter().map(|(_, envoy)| *envoy).collect());
        table.row(
            name,
            &middle,
            cells![
                "{:.0}", middle.rate; "{:.2}", median(ratio); "{:.1}", envoy; "{:.1}", middle.cpu; "{:.2}", middle.p50;
                "{:.1}", middle.p99
            ],
        );
    }
    table
}

/// One round; with Envoy's own processor time a request, in microseconds.
async fn through(envoy: &Envoy, server: &Server, keys: &[u32], time: Duration) -> (Figures, f64) {
    let pid = envoy.child.id();
    let before = busy::ticks(pid);
    let load = http1::drive(envoy.port, keys, CONNECTIONS, time);
    let (seen, figures) = crate::run::measured_with(&[server.pid(), pid], server, load).await;
    assert!(seen.failed + seen.denied <= seen.checks() / 1000, "{} denied, {} failed", seen.denied, seen.failed);
    (figures, (busy::ticks(pid) - before) as f64 * 1e4 / seen.checks() as f64)
}
