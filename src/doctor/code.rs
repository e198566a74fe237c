//! The closed list of checks.

use strum::{Display, EnumMessage, EnumString, VariantArray, VariantNames};

use crate::domain::words;

words!(Code);

/// A check, by one stable word for scripts. The list is closed; [`Code::ALL`] enumerates it, in the order of the table
/// in the manual.
///
/// `sentinel doctor` prints the comments below for the checks that pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumMessage, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Code {
    /// only its owner can use the data directory
    DataDirPermissions,
    /// only the server's user can read or replace the pepper
    PepperPermissions,
    /// only the server's user can read or replace the caller's token
    CallerTokenPermissions,
    /// only the server's user can read the database, and the passwords of store and Redis
    DatabasePermissions,
    /// only Envoy's group can connect to listen.grpc
    GrpcSocketPermissions,
    /// only the server's user can connect to listen.admin
    AdminSocketPermissions,
    /// the server runs with the settings that doctor read
    ConfigDiffers,
    /// no single network owns most learned keys
    ManyKeysOnOneNetwork,
    /// no denials because the client's address is unknown
    ClientIpUnknown,
    /// no denials because an address cannot own keys
    UnclaimableNetwork,
    /// no denials because the caller's token is missing or wrong
    CallerRejected,
    /// no denials because Envoy's message is malformed
    MalformedRequest,
    /// Envoy's files hold all parts that decide which requests are checked
    EnvoyNotRead,
    /// every connection manager calls Sentinel
    EnvoyExtAuthzMissing,
    /// every request is checked, and the decision enforced
    EnvoyNotEnforced,
    /// requests are denied while Sentinel is unreachable
    EnvoyFailureModeAllow,
    /// Envoy calls Sentinel over gRPC, version 3
    EnvoyService,
    /// Envoy's client address fits client_ip.source
    EnvoyClientAddress,
    /// Envoy sends the right x-client-ip and x-peer-ip, once each
    EnvoyMetadata,
    /// Envoy and Sentinel trust the same proxies
    EnvoyTrustedProxies,
    /// no list of proxies contains programs of strangers
    StrangersInProxies,
    /// Envoy sends the caller's token if one is configured
    EnvoyCallerToken,
    /// Sentinel sees every header that it reads
    EnvoyHiddenHeaders,
    /// Sentinel gets headers as they were sent
    EnvoyRawHeaders,
    /// Envoy waits at least check_deadline
    EnvoyTimeout,
    /// no unchecked route matches an escaped path, and %2F evades no route
    EnvoyEscapedSlashes,
    /// no route accepts a credential that Sentinel does not judge
    EnvoyLoginRoutes,
    /// CORS preflights are answered before ext_authz
    EnvoyCorsOrder,
    /// an unreachable Sentinel gives 503, not 403
    EnvoyStatusOnError,
    /// Envoy validates the headers that Sentinel sets
    EnvoyValidateMutations,
}

impl Code {
    /// The state that the check confirms.
    pub fn good_state(self) -> &'static str {
        self.get_documentation().unwrap_or_default()
    }
}
