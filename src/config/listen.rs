//! `listen.*`.

use std::path::{Path, PathBuf};

use super::{callers, source::Source, together};
use crate::net::{
    caller::Callers,
    listen::{Access, Address},
};

/// Where the process listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// `listen.grpc`.
    pub grpc: Address,
    /// `listen.grpc_mode` and `listen.grpc_group`.
    pub grpc_access: Access,
    /// `listen.caller_token_file` and `listen.allow_unauthenticated_callers`. Its `Debug` shows no secret.
    pub callers: Callers,
    /// `listen.http`.
    pub http: Address,
    /// `listen.admin`: the socket's path.
    pub admin: PathBuf,
}

/// `folder` is `data_dir`.
pub(super) fn take(source: &mut Source, folder: &Path) -> Option<Listen> {
    let grpc = source.take("listen.grpc", |text| match text.parse()? {
        Address::Unix(path) if path.is_relative() => Err(format!("{text:?} is not unix: and an absolute path")),
        address => Ok(address),
    });
    let mode = source.take("listen.grpc_mode", file_mode);
    let group = source.take_if_written("listen.grpc_group", |text| Ok(text.to_owned()));
    let callers = callers::take(source, grpc.as_ref());
    let http = source.take("listen.http", |text| match text.parse()? {
        Address::Tcp(address) => Ok(Address::Tcp(address)),
        Address::Unix(_) => Err("IP:PORT is expected; health probes and scrapes use TCP".into()),
    });
    let admin =
        source.take("listen.admin", |text| match text.replace("DATA_DIR", &folder.to_string_lossy()).parse()? {
            Address::Unix(path) => Ok(path),
            Address::Tcp(_) => Err("only unix:/path; the admin API has no authentication but the socket's mode".into()),
        });
    if let (Some(grpc), Some(http), Some(admin)) = (&grpc, &http, &admin) {
        together::listeners(&mut source.faults, grpc, http, admin);
    }
    let grpc_access = Access { mode: mode?, group: group? };
    Some(Listen { grpc: grpc?, grpc_access, callers: callers?, http: http?, admin: admin? })
}

fn file_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| (0o600..=0o777).contains(mode));
    let mode = mode.ok_or_else(|| format!("{text:?} is not an octal mode such as \"0660\""))?;
    if mode & 0o002 != 0 {
        return Err(format!("{text} lets every user of this machine ask for decisions about any address"));
    }
    Ok(mode)
}
