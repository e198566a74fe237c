//! Client to upstream in one piece, and what must be seen on all sides of it.

use key_ip_sentinel::domain::Reason;

use super::{
    Home, Sentinel,
    answer::denial_status,
    envoy::{Envoy, EnvoyConfig},
    http_client::HttpReply,
    sentinel,
    told::Told,
    upstream::Upstream,
};

/// Everything between a client and an API.
pub(crate) struct Edge {
    pub(crate) sentinel: Sentinel,
    pub(crate) upstream: Upstream,
    pub(crate) envoy: Envoy,
}

impl Edge {
    pub(crate) async fn start(home: Home, config: EnvoyConfig) -> Self {
        let sentinel = home.on_unix_socket().start().await;
        let upstream = Upstream::start().await;
        let envoy = config.start(&sentinel, &upstream).await;
        Self { sentinel, upstream, envoy }
    }

    /// A shipped file and the lines of `sentinel.toml` at its top, as that pair, on a machine that may be slow: nothing
    /// but the deadlines and the literals that the file names is replaced. `balancer` stands for the network of the proxies
    /// in front.
    pub(crate) async fn pair(file: &str, balancer: &str) -> Self {
        Self::paired(file, balancer, sentinel(), EnvoyConfig::patient).await
    }

    /// The same with the pair's own deadlines, which a busy machine may miss.
    pub(crate) async fn strict_pair(file: &str, balancer: &str) -> Self {
        Self::paired(file, balancer, sentinel().unset("check_deadline"), |config| config).await
    }

    async fn paired(file: &str, balancer: &str, home: Home, adjust: fn(EnvoyConfig) -> EnvoyConfig) -> Self {
        let config = EnvoyConfig::file(file);
        let home = config.settings().into_iter().fold(home, |home, (key, value)| {
            let socket = home.path().join("ext_authz.sock").display().to_string();
            let value = value.replace("/run/sentinel/ext_authz.sock", &socket);
            home.set(&key, &value.replace("10.0.0.0/24", &format!("{balancer}/32")))
        });
        let mut config = adjust(config);
        let listed = "address_prefix: 10.0.0.0, prefix_len: 24";
        if config.code().iter().any(|line| line.contains(listed)) {
            config = config.replace(listed, &format!("address_prefix: {balancer}, prefix_len: 32"));
        }
        let probes = "string_match: { prefix: \"10.0.0.\" }";
        if config.code().iter().any(|line| line.contains(probes)) {
            config = config.replace(probes, &format!("string_match: {{ exact: \"{balancer}\" }}"));
        }
        let sentinel = home.start().await;
        let upstream = Upstream::start().await;
        let envoy = config.start(&sentinel, &upstream).await;
        Self { sentinel, upstream, envoy }
    }

    /// The shipped config, on a machine that may be slow.
    pub(crate) async fn shipped() -> Self {
        Self::start(sentinel(), EnvoyConfig::shipped().patient()).await
    }

    /// Makes 127.0.0.1 the owner.
    pub(crate) async fn claim(&self, key: &str) {
        let reply = self.envoy.get("/claim").key(key).from("127.0.0.1").send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(self.upstream.take().len(), 1);
    }

    /// The call was denied for this reason, in all that client, log and upstream can see.
    pub(crate) async fn assert_denied(&self, path: &str, reply: &HttpReply, reason: Reason) {
        let status = denial_status(reason).unwrap();
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert_eq!(reply.header("www-authenticate").is_some(), status == 401);
        assert_eq!(reply.header("retry-after").is_some(), status == 503 || status == 429);
        let entry = self.envoy.entry(path).await;
        let decision_id = entry["decision_id"].as_str().unwrap();
        Told::of(reply.header("content-type"), &reply.text(), status, reason.as_str(), decision_id)
            .unwrap_or_else(|broken| panic!("{broken}: {}", reply.text()));
        assert_eq!((&entry["decision"], &entry["reason"]), (&"deny".into(), &reason.as_str().into()), "{entry}");
        assert_eq!((&entry["mode"], &entry["flags"]), (&"enforce".into(), &"UAEX".into()), "{entry}");
        assert_eq!(entry["details"], "ext_authz_denied", "{entry}");
        assert!(self.upstream.take().is_empty(), "a denied request reached the upstream");
    }

    /// The call was allowed for this reason, and the upstream answered it.
    pub(crate) async fn assert_allowed(&self, path: &str, reply: &HttpReply, reason: Reason) {
        assert_eq!((reply.status, reply.text().as_str()), (200, "upstream\n"), "{path}");
        let entry = self.envoy.entry(path).await;
        assert_eq!((&entry["decision"], &entry["reason"]), (&"allow".into(), &reason.as_str().into()), "{entry}");
        let mode = if reason == Reason::ModeOff { "off" } else { "enforce" };
        assert_eq!((&entry["mode"], &entry["code"]), (&mode.into(), &200.into()), "{entry}");
        assert!(entry["decision_id"].is_string() && entry["flags"] == "-", "{entry}");
        assert_eq!(self.upstream.take().len(), 1);
    }
}
