//! The closed list of what is looked at.

use strum::{Display, EnumMessage, EnumString, VariantArray, VariantNames};

use crate::domain::words;

words!(Code);

/// What a finding is about: one stable word for scripts. The list is closed; [`Code::ALL`] enumerates it,
/// in the order of the README's table.
///
/// `sentinel doctor` prints the comments below: what is so where nothing is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumMessage, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Code {
    /// the data folder is its owner's alone
    DataDirPermissions,
    /// nobody else can read or replace the pepper
    PepperPermissions,
    /// nobody else can read or replace the token
    CallerTokenPermissions,
    /// nobody else can read the database
    DatabasePermissions,
    /// only Envoy can ask for decisions
    GrpcSocketPermissions,
    /// only the server's user is its operator
    AdminSocketPermissions,
    /// the server runs with the settings read here
    ConfigDiffers,
    /// no single address owns most keys
    ManyKeysOnOneNetwork,
    /// no denials because the client's address is not known
    ClientIpUnknown,
    /// no denials because an address may never own a key
    UnclaimableNetwork,
    /// no denials because the caller showed no token
    CallerRejected,
    /// no denials because Envoy's message is not understood
    MalformedRequest,
    /// every connection manager asks Sentinel
    EnvoyExtAuthzMissing,
    /// every request is asked for, and the answer obeyed
    EnvoyNotEnforced,
    /// a lost Sentinel lets nobody in
    EnvoyFailureModeAllow,
    /// Envoy asks over gRPC, version 3
    EnvoyService,
    /// Envoy's client fits client_ip.source
    EnvoyClientAddress,
    /// Envoy sends x-client-ip and x-peer-ip, once and the right ones
    EnvoyMetadata,
    /// Envoy and Sentinel trust the same proxies
    EnvoyTrustedProxies,
    /// Envoy shows the caller's token if it is asked for
    EnvoyCallerToken,
    /// Sentinel sees every header that it reads
    EnvoyHiddenHeaders,
    /// headers arrive as they were sent
    EnvoyRawHeaders,
    /// Envoy waits as long as check_deadline
    EnvoyTimeout,
    /// preflights are answered before a key is asked for
    EnvoyCorsOrder,
    /// a lost Sentinel is no refusal of the key
    EnvoyStatusOnError,
    /// Envoy checks what Sentinel makes it write
    EnvoyValidateMutations,
}

impl Code {
    /// What is so where nothing is found.
    pub fn promise(self) -> &'static str {
        self.get_documentation().unwrap_or_default()
    }
}
