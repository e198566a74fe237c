//! The table of all settings. The configuration reference is tested against it, and names outside of it are rejected.

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name in TOML, with dots between levels; `NAME` stands for a name that the operator chooses. In the
    /// environment: `SENTINEL_` and upper case, with `__` between levels.
    pub key: &'static str,
    /// Its default, as in the configuration reference; empty if it has none.
    pub default: &'static str,
    /// Whether a change takes effect without a restart.
    pub live: bool,
}

const fn setting(key: &'static str, default: &'static str) -> Setting {
    Setting { key, default, live: false }
}

const fn live(key: &'static str, default: &'static str) -> Setting {
    Setting { key, default, live: true }
}

/// All settings of this version. An unknown name is a fault.
pub const SETTINGS: [Setting; 62] = [
    live("mode", "enforce"),
    live("check_deadline", "150ms"),
    setting("data_dir", "./sentinel-data"),
    setting("listen.grpc", "127.0.0.1:9191"),
    setting("listen.grpc_mode", "0660"),
    setting("listen.grpc_group", ""),
    setting("listen.caller_token_file", ""),
    setting("listen.allow_unauthenticated_callers", "false"),
    setting("listen.http", "127.0.0.1:9192"),
    setting("listen.admin", "unix:DATA_DIR/admin.sock"),
    setting("store.url", "sqlite:DATA_DIR/sentinel.db"),
    setting("store.url_file", ""),
    setting("store.connections", "8"),
    live("store.failsafe", "closed"),
    setting("store.stale_grace", "10m"),
    setting("redis.url", ""),
    setting("redis.url_file", ""),
    setting("redis.ca_file", ""),
    setting("redis.prefix", "sentinel"),
    setting("pepper.secrets", ""),
    setting("pepper.secrets_file", ""),
    setting("client_ip.source", "peer"),
    setting("client_ip.trusted_proxies", ""),
    setting("client_ip.trusted_hops", ""),
    setting("client_ip.header", ""),
    setting("client_ip.nat64", ""),
    live("client_ip.unclaimable", ""),
    setting("credentials.profile", "generic"),
    setting("credentials.route_profiles", ""),
    setting("credentials.passthrough", ""),
    setting("credentials.custom.NAME.carriers", ""),
    setting("credentials.custom.NAME.strip_through", ""),
    setting("credentials.custom.NAME.strip", ""),
    setting("credentials.custom.NAME.fold_case", "false"),
    setting("credentials.custom.NAME.prefixes", ""),
    setting("credentials.custom.NAME.alphabet", "token"),
    setting("credentials.custom.NAME.min_length", "8"),
    setting("credentials.custom.NAME.max_length", "4096"),
    setting("credentials.custom.NAME.query_plus", "space"),
    setting("credentials.custom.NAME.dialect", "generic"),
    setting("credentials.realm", "default"),
    live("credentials.missing", "deny"),
    setting("credentials.jwt", "refuse"),
    setting("credentials.hint", "true"),
    live("binding.first_use", "claim"),
    live("binding.prefix_v4", "32"),
    live("binding.prefix_v6", "64"),
    live("binding.prefix_overrides", ""),
    live("binding.max_networks", "1"),
    live("binding.learn_window", "0s"),
    live("binding.archive_after", "90d"),
    live("claims.per_network", "30/min"),
    live("claims.global", "off"),
    live("claims.exempt", ""),
    setting("audit.retention", "90d"),
    setting("audit.spill_max", "256MiB"),
    setting("audit.mask_addresses", "false"),
    live("answers.help.text", ""),
    live("answers.help.url", ""),
    setting("drain.delay", "2s"),
    setting("drain.deadline", "15s"),
    live("log.level", "info"),
];

impl Setting {
    /// The row of `key`.
    pub fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| {
            let (wanted, found) = (setting.key.split('.'), key.split('.'));
            wanted.clone().count() == found.clone().count()
                && wanted.zip(found).all(|(wanted, found)| wanted == found || wanted == "NAME")
        })
    }
}

/// The environment variable of `key`.
pub fn env_name(key: &str) -> String {
    format!("SENTINEL_{}", key.replace('.', "__").to_ascii_uppercase())
}
