//! The closed list of what is looked at.

use strum::{Display, EnumString, VariantArray, VariantNames};

use crate::domain::words;

words!(Code);

/// What a finding is about: one stable word for scripts. The list is closed; [`Code::ALL`] enumerates it,
/// in the order of the README's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
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
    /// What is so where nothing is found.
    pub const fn promise(self) -> &'static str {
        match self {
            Self::DataDirPermissions => "the data folder is its owner's alone",
            Self::PepperPermissions => "nobody else can read or replace the pepper",
            Self::CallerTokenPermissions => "nobody else can read or replace the token",
            Self::DatabasePermissions => "nobody else can read the database",
            Self::GrpcSocketPermissions => "only Envoy can ask for decisions",
            Self::AdminSocketPermissions => "only the server's user is its operator",
            Self::ConfigDiffers => "the server runs with the settings read here",
            Self::ManyKeysOnOneNetwork => "no single address owns most keys",
            Self::ClientIpUnknown => "no denials because the client's address is not known",
            Self::UnclaimableNetwork => "no denials because an address may never own a key",
            Self::CallerRejected => "no denials because the caller showed no token",
            Self::MalformedRequest => "no denials because Envoy's message is not understood",
            Self::EnvoyExtAuthzMissing => "every connection manager asks Sentinel",
            Self::EnvoyNotEnforced => "every request is asked for, and the answer obeyed",
            Self::EnvoyFailureModeAllow => "a lost Sentinel lets nobody in",
            Self::EnvoyService => "Envoy asks over gRPC, version 3",
            Self::EnvoyClientAddress => "Envoy's client fits client_ip.source",
            Self::EnvoyMetadata => "Envoy sends x-client-ip and x-peer-ip, once and the right ones",
            Self::EnvoyTrustedProxies => "Envoy and Sentinel trust the same proxies",
            Self::EnvoyCallerToken => "Envoy shows the caller's token if it is asked for",
            Self::EnvoyHiddenHeaders => "Sentinel sees every header that it reads",
            Self::EnvoyRawHeaders => "headers arrive as they were sent",
            Self::EnvoyTimeout => "Envoy waits as long as check_deadline",
            Self::EnvoyCorsOrder => "preflights are answered before a key is asked for",
            Self::EnvoyStatusOnError => "a lost Sentinel is no refusal of the key",
            Self::EnvoyValidateMutations => "Envoy checks what Sentinel makes it write",
        }
    }
}
