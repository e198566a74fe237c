//! The closed list of what is looked at.

use std::fmt;

/// What a finding is about: one stable word for scripts. The list is closed; [`Code::ALL`] enumerates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The data folder's mode and owner.
    DataDirPermissions,
    /// Who can read the pepper.
    PepperPermissions,
    /// Who can read the caller's token.
    CallerTokenPermissions,
    /// Who can read the database.
    DatabasePermissions,
    /// Who can ask for decisions over the unix socket.
    GrpcSocketPermissions,
    /// Who can be an operator.
    AdminSocketPermissions,
    /// Whether the server runs with the settings that were read here.
    ConfigDiffers,
    /// Whether one address owns most keys.
    ManyKeysOnOneNetwork,
    /// Denials of this reason.
    ClientIpUnknown,
    /// Denials of this reason.
    UnclaimableNetwork,
    /// Denials of this reason.
    CallerRejected,
    /// Denials of this reason.
    MalformedRequest,
    /// Whether Envoy asks at all.
    EnvoyExtAuthzMissing,
    /// Whether Envoy asks for every request, and obeys.
    EnvoyNotEnforced,
    /// Whether an unreachable Sentinel lets everybody in.
    EnvoyFailureModeAllow,
    /// Whether Envoy asks over gRPC, version 3.
    EnvoyService,
    /// Whether what Envoy takes for the client fits `client_ip.source`.
    EnvoyClientAddress,
    /// Whether Envoy sends the addresses that `client_ip.source = "metadata"` reads.
    EnvoyMetadata,
    /// Whether Envoy and Sentinel trust the same proxies.
    EnvoyTrustedProxies,
    /// Whether Envoy shows the caller's token.
    EnvoyCallerToken,
    /// Whether Sentinel is shown every header that it reads.
    EnvoyHiddenHeaders,
    /// Whether headers arrive as they were sent.
    EnvoyRawHeaders,
    /// Whether Envoy waits for the answer.
    EnvoyTimeout,
    /// Whether preflights are answered before a key is asked for.
    EnvoyCorsOrder,
    /// What a client sees when Sentinel does not answer.
    EnvoyStatusOnError,
    /// Whether Envoy checks what Sentinel makes it write.
    EnvoyValidateMutations,
}

impl Code {
    /// Every code, in the order of the README's table.
    pub const ALL: [Self; 26] = [
        Self::DataDirPermissions,
        Self::PepperPermissions,
        Self::CallerTokenPermissions,
        Self::DatabasePermissions,
        Self::GrpcSocketPermissions,
        Self::AdminSocketPermissions,
        Self::ConfigDiffers,
        Self::ManyKeysOnOneNetwork,
        Self::ClientIpUnknown,
        Self::UnclaimableNetwork,
        Self::CallerRejected,
        Self::MalformedRequest,
        Self::EnvoyExtAuthzMissing,
        Self::EnvoyNotEnforced,
        Self::EnvoyFailureModeAllow,
        Self::EnvoyService,
        Self::EnvoyClientAddress,
        Self::EnvoyMetadata,
        Self::EnvoyTrustedProxies,
        Self::EnvoyCallerToken,
        Self::EnvoyHiddenHeaders,
        Self::EnvoyRawHeaders,
        Self::EnvoyTimeout,
        Self::EnvoyCorsOrder,
        Self::EnvoyStatusOnError,
        Self::EnvoyValidateMutations,
    ];

    /// The word itself, and what it looks at.
    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::DataDirPermissions => ("data_dir_permissions", "the data folder is its owner's alone"),
            Self::PepperPermissions => ("pepper_permissions", "nobody else can read or replace the pepper"),
            Self::CallerTokenPermissions => ("caller_token_permissions", "nobody else can read or replace the token"),
            Self::DatabasePermissions => ("database_permissions", "nobody else can read the database"),
            Self::GrpcSocketPermissions => ("grpc_socket_permissions", "only Envoy can ask for decisions"),
            Self::AdminSocketPermissions => ("admin_socket_permissions", "only the server's user is its operator"),
            Self::ConfigDiffers => ("config_differs", "the server runs with the settings read here"),
            Self::ManyKeysOnOneNetwork => ("many_keys_on_one_network", "no single address owns most keys"),
            Self::ClientIpUnknown => ("client_ip_unknown", "no denials because the client's address is not known"),
            Self::UnclaimableNetwork => ("unclaimable_network", "no denials because an address may never own a key"),
            Self::CallerRejected => ("caller_rejected", "no denials because the caller showed no token"),
            Self::MalformedRequest => ("malformed_request", "no denials because Envoy's message is not understood"),
            Self::EnvoyExtAuthzMissing => ("envoy_ext_authz_missing", "every connection manager asks Sentinel"),
            Self::EnvoyNotEnforced => ("envoy_not_enforced", "every request is asked for, and the answer obeyed"),
            Self::EnvoyFailureModeAllow => ("envoy_failure_mode_allow", "a lost Sentinel lets nobody in"),
            Self::EnvoyService => ("envoy_service", "Envoy asks over gRPC, version 3"),
            Self::EnvoyClientAddress => ("envoy_client_address", "Envoy's client fits client_ip.source"),
            Self::EnvoyMetadata => ("envoy_metadata", "Envoy sends x-client-ip and x-peer-ip, once and the right ones"),
            Self::EnvoyTrustedProxies => ("envoy_trusted_proxies", "Envoy and Sentinel trust the same proxies"),
            Self::EnvoyCallerToken => ("envoy_caller_token", "Envoy shows the caller's token if it is asked for"),
            Self::EnvoyHiddenHeaders => ("envoy_hidden_headers", "Sentinel sees every header that it reads"),
            Self::EnvoyRawHeaders => ("envoy_raw_headers", "headers arrive as they were sent"),
            Self::EnvoyTimeout => ("envoy_timeout", "Envoy waits as long as check_deadline"),
            Self::EnvoyCorsOrder => ("envoy_cors_order", "preflights are answered before a key is asked for"),
            Self::EnvoyStatusOnError => ("envoy_status_on_error", "a lost Sentinel is no refusal of the key"),
            Self::EnvoyValidateMutations => ("envoy_validate_mutations", "Envoy checks what Sentinel makes it write"),
        }
    }

    /// The word itself.
    pub const fn as_str(self) -> &'static str {
        self.texts().0
    }

    /// What is so where nothing is found.
    pub const fn promise(self) -> &'static str {
        self.texts().1
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
