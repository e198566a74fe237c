//! `listen.*`.

use std::path::{Path, PathBuf};

use super::{callers, consistency, source::Source};
use crate::net::{
    caller::Callers,
    listen::{Access, Address},
};

/// The listeners.
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

/// Reads the listeners. `DATA_DIR` in `listen.admin` stands for `data_dir`.
pub(super) fn take(source: &mut Source, data_dir: &Path) -> Option<Listen> {
    let grpc = source.take("listen.grpc", |text| match text.parse()? {
        Address::Unix(path) if path.is_relative() => {
            Err(format!("{text:?} must be unix: and an absolute path, such as unix:/run/sentinel/ext_authz.sock"))
        }
        address => Ok(address),
    });
    let mode = source.take("listen.grpc_mode", file_mode);
    let group = source.take_if_written("listen.grpc_group", |text| Ok(text.to_owned()));
    let callers = callers::take(source, grpc.as_ref());
    let http = source.take("listen.http", |text| match text.parse()? {
        Address::Tcp(address) => Ok(Address::Tcp(address)),
        Address::Unix(_) => Err("must be IP:PORT; health probes and metrics scrapes use TCP".into()),
    });
    let admin = admin(source, data_dir);
    if let (Some(grpc), Some(http), Some(admin)) = (&grpc, &http, &admin) {
        consistency::listeners(&mut source.faults, grpc, http, admin);
    }
    let grpc_access = Access { mode: mode?, group: group? };
    Some(Listen { grpc: grpc?, grpc_access, callers: callers?, http: http?, admin: admin? })
}

/// Reads `listen.admin`, in which `DATA_DIR` stands for `data_dir`.
pub(super) fn admin(source: &mut Source, data_dir: &Path) -> Option<PathBuf> {
    source.take("listen.admin", |text| match text.replace("DATA_DIR", &data_dir.to_string_lossy()).parse()? {
        Address::Unix(path) => Ok(path),
        Address::Tcp(_) => Err("must be unix:/path; only the mode of the socket protects the admin API".into()),
    })
}

fn file_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| (0o600..=0o777).contains(mode));
    let mode = mode.ok_or_else(|| format!("{text:?} is not an octal mode such as \"0660\""))?;
    if mode & 0o002 != 0 {
        return Err(format!(
            "{text} lets every user of this machine request decisions for any client address; use 0660"
        ));
    }
    Ok(mode)
}
