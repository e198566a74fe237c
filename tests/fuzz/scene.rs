//! The settings that the fuzzer plays under, and the service under them: all of it but the socket.

use std::{fs, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::Service;
use key_ip_sentinel::{
    cache::Cached,
    config::{self, Config},
    domain::{ApiKey, KeyId, KeyRing, Pepper, Timestamp},
    engine::Engine,
    events::{Events, Options},
    ext_authz::{Authorization, Parts, Server},
    net::caller::Trust,
    settings::{ClaimLimits, LiveSettings},
    store::{Changes, HistoryId, ReplicaState, Revision, rekey},
    telemetry::metrics::Metrics,
};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    common::{Answer, CALLER_TOKEN, PEPPER, check::CHECK, grpc::frame},
    frame::Input,
    keys,
    memory::Memory,
    oracle::Rules,
};

/// Settings, and the same in the oracle's words.
#[derive(Debug)]
pub(crate) struct Scene {
    /// The profile, which is also how the corpus's files of this scene begin.
    pub(crate) rules: Rules,
    settings: &'static str,
    /// Two keys of the realm, as their upstream's generator makes them.
    pub(crate) keys: [&'static str; 2],
}

/// As in `tests/profiles/realms.rs`.
const GENERIC: [&str; 2] = ["sk-0123456789ABCDef", "sk-fedcba9876543210"];
const ONE_API: [&str; 2] =
    ["Ab0Cd1Ef2Gh3Ij4K5A0b1C2d3E4f5A6b7C8d9E0f1A2b3C4d", "Zy9Xw8Vu7Ts6Rq5P0f9E8d7C6b5A4f3E2d1C0b9A8f7E6d5C"];
const AZURE: [&str; 2] = ["0123456789abcdef0123456789ABCDEF", "fedcba9876543210fedcba9876543210"];
const LITELLM: [&str; 2] = ["sk-AbCdEfGhIjKlMnOpQr-_uv", "sk-ZyXwVuTsRqPoNmLkJi-_hg"];
const OPENAI: [&str; 2] = ["sk-proj-AbCdEf0123456789_xyz-0", "sk-proj-ZyXwVu9876543210_abc-9"];
const ANTHROPIC: [&str; 2] = ["sk-ant-api03-AbCdEf0123456789_xyz-AA", "sk-ant-api03-ZyXwVu9876543210_abc-AA"];
const GEMINI: [&str; 2] = ["AIzaSyAbCdEf0123456789-_AbCdEf012345678", "AIzaSyZyXwVu9876543210-_ZyXwVu987654321"];
const ACME: [&str; 2] = ["0123456789abCDEF", "fedcba9876543210"];

const SANCTUM: [&str; 2] =
    ["Ab0Cd1Ef2Gh3Ij4Kl5Mn6Op7Qr8St9Uv0Wx1Yz2A0b1c2d3e", "Zy9Xw8Vu7Ts6Rq5Po4Nm3Lk2Ji1Hg0Fe9Dc8Ba7Z4f5e6d7c"];

const SUPA: [&str; 2] = ["sb_publishable_Ab0Cd1Ef2Gh3", "sb_secret_Zy9Xw8Vu7Ts6Rq5"];

const PROXIES: &[&str] = &["10.0.0.0/8", "127.0.0.1/32", "2001:db8:1b::/48"];
const PROXY_LIST: &str = "client_ip.trusted_proxies = ['10.0.0.0/8', '127.0.0.1', '2001:db8:1b::/48']";

const RULES: Rules = Rules {
    profile: "generic",
    route_profiles: &[],
    jwt: false,
    passthrough: &[],
    foreign: &[],
    missing_allowed: false,
    source: "peer",
    header: "",
    trusted: &[],
    hops: &[],
    nat64: &[],
    unclaimable: &[],
    token: None,
};

pub(crate) const SCENES: &[Scene] = &[
    Scene { rules: RULES, settings: "", keys: GENERIC },
    Scene {
        rules: Rules { jwt: true, source: "xff", trusted: PROXIES, hops: &["10.0.0.0/24", "192.0.2.0/24"], ..RULES },
        settings: "credentials.jwt = 'opaque'\nclient_ip.source = 'xff'\n\
                   client_ip.trusted_hops = ['10.0.0.0/24', '192.0.2.0/24']",
        keys: GENERIC,
    },
    Scene {
        rules: Rules {
            profile: "openai",
            route_profiles: &["anthropic", "litellm"],
            token: Some(CALLER_TOKEN),
            ..RULES
        },
        settings: "credentials.profile = 'openai'\ncredentials.route_profiles = ['anthropic', 'litellm']",
        keys: OPENAI,
    },
    Scene {
        rules: Rules { profile: "anthropic", source: "metadata", trusted: PROXIES, ..RULES },
        settings: "credentials.profile = 'anthropic'\nclient_ip.source = 'metadata'",
        keys: ANTHROPIC,
    },
    Scene {
        rules: Rules {
            profile: "azure-openai",
            source: "header",
            header: "cf-connecting-ip",
            trusted: PROXIES,
            ..RULES
        },
        settings: "credentials.profile = 'azure-openai'\nclient_ip.source = 'header'\nclient_ip.header = 'CF-Connecting-IP'",
        keys: AZURE,
    },
    Scene {
        rules: Rules {
            profile: "gemini",
            source: "xff",
            trusted: PROXIES,
            nat64: &["2001:db8:64::/96"],
            unclaimable: &["192.0.2.0/24"],
            ..RULES
        },
        settings: "credentials.profile = 'gemini'\nclient_ip.source = 'xff'\nclient_ip.nat64 = ['2001:db8:64::/96']\n\
                   client_ip.unclaimable = ['192.0.2.0/24']",
        keys: GEMINI,
    },
    Scene {
        rules: Rules { profile: "one-api", route_profiles: &["new-api"], missing_allowed: true, ..RULES },
        settings: "credentials.profile = 'one-api'\ncredentials.route_profiles = ['new-api']\n\
                   credentials.missing = 'allow'",
        keys: ONE_API,
    },
    Scene {
        rules: Rules {
            profile: "new-api",
            passthrough: &["authorization"],
            source: "metadata",
            trusted: PROXIES,
            ..RULES
        },
        settings: "credentials.profile = 'new-api'\ncredentials.passthrough = ['authorization']\n\
                   client_ip.source = 'metadata'",
        keys: ONE_API,
    },
    Scene {
        rules: Rules { profile: "new-api", source: "header", header: "x-real-ip", trusted: PROXIES, ..RULES },
        settings: "credentials.profile = 'new-api'\nclient_ip.source = 'header'\nclient_ip.header = 'x-real-ip'",
        keys: ONE_API,
    },
    Scene {
        rules: Rules { profile: "litellm", jwt: true, ..RULES },
        settings: "credentials.profile = 'litellm'\ncredentials.jwt = 'opaque'",
        keys: LITELLM,
    },
    Scene {
        rules: Rules { profile: "litellm", passthrough: &["authorization", "x-api-key", "?key"], ..RULES },
        settings: "credentials.profile = 'litellm'\ncredentials.passthrough = ['authorization', 'x-api-key', '?key']",
        keys: LITELLM,
    },
    Scene {
        rules: Rules { profile: "acme", ..RULES },
        settings: "credentials.profile = 'acme'\n\
                   credentials.custom.acme.carriers = ['header x-acme-key bare', 'header x-acme-auth bearer', 'query token', 'cookie acme_token']\n\
                   credentials.custom.acme.strip = 'acme_'\n\
                   credentials.custom.acme.fold_case = true\n\
                   credentials.custom.acme.alphabet = 'base64url'\n\
                   credentials.custom.acme.min_length = 16\n\
                   credentials.custom.acme.max_length = 64",
        keys: ACME,
    },
    Scene {
        rules: Rules { profile: "sanctum", ..RULES },
        settings: "credentials.profile = 'sanctum'\n\
                   credentials.custom.sanctum.carriers = ['header authorization bearer', 'header x-api-key bare', 'query token']\n\
                   credentials.custom.sanctum.strip_through = '|'\n\
                   credentials.custom.sanctum.alphabet = 'base64url'\n\
                   credentials.custom.sanctum.min_length = 40\n\
                   credentials.custom.sanctum.max_length = 128",
        keys: SANCTUM,
    },
    Scene {
        rules: Rules { profile: "litellm", foreign: keys::LITELLM_FOREIGN, ..RULES },
        settings: "credentials.profile = 'litellm'\n\
                   credentials.passthrough = ['authorization beside x-litellm-api-key on /github_mcp/mcp /vertex_ai/* /anthropic/v1/messages source docs.litellm.ai', 'x-api-key beside x-litellm-api-key on /anthropic/v1/messages source docs.litellm.ai']",
        keys: LITELLM,
    },
    Scene {
        rules: Rules { profile: "azure-openai", foreign: keys::AZURE_FOREIGN, ..RULES },
        settings: "credentials.profile = 'azure-openai'\n\
                   credentials.passthrough = ['authorization beside ocp-apim-subscription-key on /apim/* source learn.microsoft.com']",
        keys: AZURE,
    },
    Scene {
        rules: Rules { profile: "supa", foreign: keys::SUPA_FOREIGN, ..RULES },
        settings: "credentials.profile = 'supa'\n\
                   credentials.custom.supa.carriers = ['header apikey bare', 'query apikey']\n\
                   credentials.custom.supa.prefixes = ['sb_']\n\
                   credentials.custom.supa.alphabet = 'base64url'\n\
                   credentials.custom.supa.min_length = 20\n\
                   credentials.custom.supa.max_length = 128\n\
                   credentials.passthrough = ['authorization beside apikey on /rest/v1/* /auth/v1/user source supabase.com/docs']",
        keys: SUPA,
    },
    Scene {
        rules: Rules { profile: "desk", ..RULES },
        settings: "credentials.profile = 'desk'\n\
                   credentials.custom.desk.carriers = ['header authorization scheme:Token|ApiKey', 'header x-desk-login scheme:Basic password', 'header x-desk-user scheme:Basic user', 'query token']\n\
                   credentials.custom.desk.alphabet = 'base64url'\n\
                   credentials.custom.desk.min_length = 32\n\
                   credentials.custom.desk.max_length = 128",
        keys: SANCTUM,
    },
    Scene {
        rules: Rules { profile: "php", missing_allowed: true, ..RULES },
        settings: "credentials.profile = 'php'\ncredentials.missing = 'allow'\n\
                   credentials.custom.php.carriers = ['query api_key', 'cookie php.key']",
        keys: GENERIC,
    },
];

impl Scene {
    /// The settings as the server reads them.
    pub(crate) fn config(&self) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let (file, token) = (dir.path().join("sentinel.toml"), dir.path().join("token"));
        let mut text = format!("{}\ncheck_deadline = '10s'\npepper.secrets = ['{PEPPER}']\n", self.settings);
        if !self.rules.trusted.is_empty() {
            text.push_str(PROXY_LIST);
        }
        if let Some(secret) = self.rules.token {
            fs::write(&token, secret).unwrap();
            text.push_str(&format!("listen.caller_token_file = '{}'\n", token.display()));
        }
        fs::write(&file, text).unwrap();
        config::load(Some(&file), []).unwrap_or_else(|faults| panic!("{}: {faults}", self.settings))
    }
}

/// A server without a socket and without owners.
pub(crate) struct Stage {
    pub(crate) server: Server,
    ring: Arc<KeyRing>,
    metrics: Metrics,
    /// Keeps the audit's queue open.
    _stop: oneshot::Sender<()>,
    _dir: tempfile::TempDir,
}

impl Stage {
    /// To be called within a runtime.
    pub(crate) fn new(config: &Config) -> Self {
        let pepper = Pepper::new(PEPPER.as_bytes()).unwrap();
        let ring = Arc::new(KeyRing::new(pepper.into(), &config.realm, config.hint));
        let (store, metrics, replica_state) =
            (Arc::new(Memory::default()), Metrics::new().unwrap(), Arc::new(ReplicaState::new(Instant::now())));
        let cached = Arc::new(Cached::new(store.clone(), 10_000 * Cached::TYPICAL_KEY, metrics.store.clone(), |_| ()));
        let changes = Changes {
            now: Timestamp::from_millis(1_800_000_000_000),
            revision: Revision::default(),
            changed: Vec::new(),
            complete_from: Revision(0),
            history: HistoryId(0),
            active_pepper: ring.active(),
            other_peppers: Vec::new(),
        };
        replica_state.polled(&changes, Instant::now());
        let (stop, stopped) = oneshot::channel();
        let dir = tempfile::tempdir().unwrap();
        let options = Options { directory: dir.path().join("audit"), spill_max: 1 << 20, mask_addresses: false };
        let (audit, sinks) = (metrics.audit.clone(), Vec::new());
        let (events, pipeline) =
            Events::new(store, Arc::clone(&replica_state), audit, &options, sinks, stopped).unwrap();
        tokio::spawn(pipeline);
        let mut settings = config.settings.clone();
        settings.stale_grace = Duration::from_secs(86_400);
        // The budgets have tests of their own; here they would end every batch.
        settings.claims = ClaimLimits::default();
        let trust = Trust::of(&config.listen.callers);
        let authorization = Authorization::new(Parts {
            callers: config.listen.callers.clone(),
            client_ip: config.client_ip.clone(),
            credentials: config.credentials.clone(),
            settings: Arc::new(LiveSettings::new(settings)),
            engine: Arc::new(Engine::new(Arc::clone(&ring), rekey::Queue::new().0, cached, replica_state)),
            events,
            metrics: metrics.checks.clone(),
        });
        Self { server: Server::new(Arc::new(authorization), trust), ring, metrics, _stop: stop, _dir: dir }
    }

    /// The name that this canonical key has in answers.
    pub(crate) fn id(&self, canonical: &str) -> KeyId {
        self.ring.digest(&ApiKey::new(canonical.to_owned())).new_id()
    }

    /// The service's answer; an error is an answer that Envoy might take for an allow, or a rule of the edge broken.
    pub(crate) async fn ask(&mut self, input: &Input) -> Result<(Answer, Bytes), String> {
        let mut request =
            http::Request::post(CHECK).header("content-type", "application/grpc").header("te", "trailers");
        for (name, value) in &input.metadata {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(frame(&input.frame))).map_err(|error| error.to_string())?;
        let Ok(response) = self.server.call(request).await;
        let (head, body) = response.into_parts();
        let Ok(body) = body.collect().await;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let status = head.headers.get("grpc-status").or(trailers.get("grpc-status"));
        if head.status != 200 || status.is_none_or(|status| status != "0") {
            return Err(format!("not in-protocol: {} {:?} {trailers:?}", head.status, head.headers));
        }
        let body = body.to_bytes();
        let message = body.get(5..).filter(|message| !message.is_empty()).ok_or("an empty message is an allow")?;
        Ok((Answer::read(message)?, body.slice(5..)))
    }

    /// Clears the histograms, which are not scraped.
    pub(crate) fn sweep(&self) {
        self.metrics.exposition.run_upkeep();
    }
}
