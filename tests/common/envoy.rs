//! The real Envoy on a shipped file below `envoy/`, with only its literals replaced; or on a variant of such a file.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    eventually,
    grpc::Target,
    http_client::{Call, Version},
    process::Process,
    sentinel::{CALLER_TOKEN, Sentinel},
    upstream::Upstream,
};

/// A config made from the shipped one. Every replacement must meet its text exactly once, so that a change of the
/// shipped file cannot turn a variant into something else unnoticed.
#[derive(Clone)]
pub(crate) struct EnvoyConfig(String);

impl EnvoyConfig {
    /// Envoy is the edge.
    pub(crate) fn shipped() -> Self {
        Self::file("envoy.yaml")
    }

    /// This file below `envoy/`.
    pub(crate) fn file(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy").join(name);
        Self(fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// The lines of `sentinel.toml` that the file asks for, as setting and TOML value.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let block = self.0.split("# --- sentinel.toml\n").nth(1).unwrap().split("# --- end").next().unwrap();
        let setting = |line: &str| {
            let (key, value) = line.trim_start_matches("# ").split_once(" = ").unwrap();
            (key.to_owned(), value.to_owned())
        };
        block.lines().map(setting).collect()
    }

    /// What is left without its comments.
    pub(crate) fn code(&self) -> Vec<&str> {
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        self.0.lines().filter(is_code).collect()
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    pub(crate) fn replace(self, from: &str, to: &str) -> Self {
        // What a comment says of a literal is not the literal.
        let text: String = self.code().into_iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(text.matches(from).count(), 1, "the shipped file must hold {from:?} exactly once");
        Self(text.replacen(from, to, 1))
    }

    fn replace_if_there(self, from: &str, to: &str) -> Self {
        if self.0.contains(&format!("{from} ")) { self.replace(from, to) } else { self }
    }

    /// Headers reach Sentinel joined, as on Istio.
    pub(crate) fn joined_headers(self) -> Self {
        self.replace("encode_raw_headers: true", "encode_raw_headers: false")
    }

    /// Clients come through a balancer that speaks the PROXY protocol.
    pub(crate) fn behind_proxy_protocol(self) -> Self {
        const FILTER: &str = "    listener_filters: [ { name: envoy.filters.listener.proxy_protocol, typed_config: \
            { \"@type\": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol } } ]";
        self.replace("    filter_chains:\n", &format!("{FILTER}\n    filter_chains:\n"))
    }

    /// Every call to Sentinel carries this metadata.
    pub(crate) fn with_metadata(self, entries: &[(&str, &str)]) -> Self {
        let entry = |(name, value): &(&str, &str)| format!(" {{ key: {name}, value: \"{value}\" }}");
        let entries = entries.iter().map(entry).collect::<Vec<_>>().join(",");
        let envoy_grpc = "                envoy_grpc: { cluster_name: sentinel }\n";
        self.replace(envoy_grpc, &format!("{envoy_grpc}                initial_metadata: [{entries} ]\n"))
    }

    /// Envoy waits as long for Sentinel as a busy machine may need. (The shipped 250 ms stay in the test of the pair.)
    pub(crate) fn patient(self) -> Self {
        let calls = self.replace("timeout: 0.25s", "timeout: 10s");
        calls.replace("connect_timeout: 0.1s", "connect_timeout: 10s").replace("{ timeout: 0.3s", "{ timeout: 10s")
    }

    /// Clients come over a unix socket, so that no client has an IP address.
    pub(crate) fn on_a_pipe(self, path: &Path) -> Self {
        let pipe = format!("address: {{ pipe: {{ path: {} }} }}", path.display());
        self.replace("address: { socket_address: { address: 127.0.0.1, port_value: 10000 } }", &pipe)
    }

    /// Below `/overridden` the route sends this context extension.
    pub(crate) fn with_route_extension(self, name: &str, value: &str) -> Self {
        let route = format!(
            "              - match: {{ prefix: /overridden }}\n                route: {{ cluster: upstream }}\n\
             \x20               typed_per_filter_config: {{ envoy.filters.http.ext_authz: {{ \"@type\": \
             type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, \
             check_settings: {{ context_extensions: {{ {name}: \"{value}\" }} }} }} }}\n"
        );
        self.with_route(&route)
    }

    /// This route comes before the last one.
    pub(crate) fn with_route(self, route: &str) -> Self {
        let last = "              - match: { prefix: / }\n";
        self.replace(last, &format!("{route}{last}"))
    }

    /// The public route that a comment of the shipped file recommends.
    pub(crate) fn with_public_route(self) -> Self {
        let is_comment = |line: &&str| line.trim_start().starts_with("#   ");
        let lines =
            self.0.lines().skip_while(|line| !line.contains("#   - match: { safe_regex")).take_while(is_comment);
        let route: String = lines.map(|line| format!("{}\n", line.replacen("#   ", "", 1))).collect();
        assert!(route.contains("/public/") && route.contains("disabled: true"), "{route}");
        self.with_route(&route)
    }

    /// Starts Envoy between its clients, `sentinel` and `upstream`.
    pub(crate) async fn start(self, sentinel: &Sentinel, upstream: &Upstream) -> Envoy {
        self.start_asking(sentinel.grpc(), upstream).await
    }

    /// Starts Envoy between its clients, `upstream` and whoever answers Checks at `checks`.
    pub(crate) async fn start_asking(self, checks: &Target, upstream: &Upstream) -> Envoy {
        let config = match checks {
            Target::Unix(socket) => self.replace("/run/sentinel/ext_authz.sock", &socket.display().to_string()),
            Target::Tcp(to) => self.replace(
                "pipe: { path: \"/run/sentinel/ext_authz.sock\" }",
                &format!("socket_address: {{ address: {}, port_value: {} }}", to.ip(), to.port()),
            ),
        };
        let text = config
            .replace_if_there("port_value: 10000", "port_value: 0")
            .replace("port_value: 8080", &format!("port_value: {}", upstream.address.port()))
            .replace("port_value: 9901", "port_value: 0")
            // How a test learns the port that the kernel chose.
            .replace("allow_paths: [", "allow_paths: [ { exact: /listeners },")
            .0;
        let dir = tempfile::Builder::new().prefix("kis").tempdir().unwrap();
        let (config, admin_file) = (dir.path().join("envoy.yaml"), dir.path().join("admin"));
        fs::write(&config, text).unwrap();
        let mut command = Command::new(binary());
        // For the configurations that name it.
        command.env_clear().env("CALLER_TOKEN", CALLER_TOKEN);
        command.arg("-c").arg(&config).arg("--admin-address-path").arg(&admin_file);
        command.args(["--concurrency", "2", "--disable-hot-restart", "--log-level", "warning"]);
        command.args(["--file-flush-interval-msec", "20"]);
        let mut process = Process::spawn("envoy", &mut command, dir.path());
        let what = "envoy writes its admin address";
        let admin: SocketAddr = eventually(what, async || {
            assert!(process.ended().is_none(), "envoy ended at its start:\n{}", process.stderr());
            fs::read_to_string(&admin_file).ok().and_then(|text| text.trim().parse().ok())
        })
        .await;
        eventually("envoy is ready", async || {
            let reply = Call::get(admin, "/ready").try_send().await.ok()?;
            (reply.status == 200).then_some(())
        })
        .await;
        let listener = listener(admin).await;
        Envoy { process, dir, admin, listener }
    }
}

async fn listener(admin: SocketAddr) -> Target {
    let text = Call::get(admin, "/listeners").send().await.text();
    let address = text.lines().find_map(|line| line.strip_prefix("edge::")).unwrap_or_else(|| panic!("{text}"));
    if address.starts_with('/') { Target::Unix(address.into()) } else { Target::parse(address) }
}

/// `SENTINEL_TEST_ENVOY` if it is set, else the one that `make setup` put below `.tools/`.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SENTINEL_TEST_ENVOY") {
        return path.into();
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools");
    find(&tools, "envoy").unwrap_or_else(|| panic!("no Envoy below {}: run `make setup`", tools.display()))
}

/// The first file of this name below `folder`.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let file = entries.iter().find(|path| path.is_file() && path.file_name().is_some_and(|file| file == name));
    file.cloned().or_else(|| entries.iter().find_map(|path| find(path, name)))
}

pub(crate) struct Envoy {
    process: Process,
    dir: TempDir,
    admin: SocketAddr,
    listener: Target,
}

impl Envoy {
    /// Where clients connect, for those that are no [`Call`].
    pub(crate) fn address(&self) -> SocketAddr {
        let Target::Tcp(address) = self.listener else { panic!("clients come over {:?}", self.listener) };
        address
    }

    /// A request through the edge.
    pub(crate) fn get(&self, path: &str) -> Call {
        Call::get(self.listener.clone(), path)
    }

    pub(crate) fn call(&self, version: Version, path: &str) -> Call {
        self.get(path).version(version)
    }

    /// The access log's entry for this path, which the test must have asked for once.
    pub(crate) async fn entry(&self, path: &str) -> Value {
        eventually(&format!("envoy logs {path}"), async || self.entries().into_iter().find(|it| it["path"] == path))
            .await
    }

    /// Every entry of the access log so far.
    pub(crate) fn entries(&self) -> Vec<Value> {
        let text = self.process.stdout();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Everything that Envoy has written so far.
    pub(crate) fn output(&self) -> (String, String) {
        (self.process.stdout(), self.process.stderr())
    }

    /// A counter of the admin page, 0 if it is not there.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        let text = Call::get(self.admin, "/stats").send().await.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// The whole configuration, as the admin address shows it. Needs `/config_dump` in `allow_paths`.
    pub(crate) async fn config_dump(&self) -> String {
        Call::get(self.admin, "/config_dump").send().await.text()
    }

    /// Ends Envoy, so that its logs are complete.
    pub(crate) async fn stop(mut self) -> (String, String) {
        self.process.terminate().await;
        self.output()
    }
}
