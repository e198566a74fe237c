//! Checks before anything is opened or created.

use std::{
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::Path,
};

use nix::unistd::Uid;

use crate::{
    config::{Config, Store},
    net::listen::{self, Address},
};

/// What [`check_config`] found.
#[derive(Debug)]
pub struct Preflight {
    /// What would keep `serve` from starting.
    pub faults: Vec<String>,
    /// What was not tried, and why.
    pub notes: Vec<String>,
}

/// Looks for the faults that would keep `serve` from starting, as far as they can be found without a change to the system
/// and without a connection to a server. Root may check the configuration of a server that runs as another user.
pub fn check_config(config: &Config) -> Preflight {
    let own = Uid::effective();
    let owner = config.data_dir.metadata().map(|found| found.uid()).ok().filter(|owner| *owner != own.as_raw());
    let mut notes = Vec::new();
    notes.extend(owner.map(|owner| format!("data_dir belongs to uid {owner}: only this user can run `serve`")));
    let is_served = UnixStream::connect(&config.listen.admin).is_ok();
    if is_served {
        let note = "a server listens on listen.admin: whether the addresses and the database are free was not tried";
        notes.push(note.to_owned());
    }
    Preflight { faults: faults(config, own.is_root(), is_served), notes }
}

/// The same for this process itself.
pub(super) fn own_faults(config: &Config) -> Vec<String> {
    faults(config, false, false)
}

/// A configuration is also checked beside the server that it is for: `is_served`.
fn faults(config: &Config, of_any_owner: bool, is_served: bool) -> Vec<String> {
    let mut faults = Vec::new();
    faults.extend(super::data_dir::check(&config.data_dir, of_any_owner).err());
    // `serve` creates this directory, with nothing in it, before it opens the rest; and one fault of it is enough.
    let is_new = !config.data_dir.exists() || !faults.is_empty();
    let is_settled = |path: &Path| is_new && listen::directory(path) == config.data_dir;
    let mut check_listener = |setting, address: &Address| {
        let fault = match address {
            Address::Unix(path) if is_settled(path) => {
                faults.extend(listen::check_length(path).err().map(|fault| format!("{setting}: {fault}")));
                return;
            }
            Address::Unix(path) => listen::check_socket(path).err(),
            Address::Tcp(_) => None,
        };
        let in_use = || if is_served { None } else { listen::check_free(address).err().map(|fault| fault.to_string()) };
        faults.extend(fault.or_else(in_use).map(|fault| format!("{setting}: {fault}")));
    };
    check_listener("listen.admin", &Address::Unix(config.listen.admin.clone()));
    check_listener("listen.grpc", &config.listen.grpc);
    check_listener("listen.http", &config.listen.http);
    if let Address::Unix(_) = &config.listen.grpc {
        let group = config.listen.grpc_access.group.as_deref().map(listen::find_group);
        faults.extend(group.and_then(Result::err).map(|fault| format!("listen.grpc_group: {fault}")));
    }
    match &config.store {
        // The directory may be new because the store is lost with it.
        Store::Sqlite(path) if is_settled(path) => {
            if !config.data_dir.exists() {
                faults.extend(super::store::missing(config).err());
            }
        }
        _ => faults.extend(super::store::check(config, is_served)),
    }
    faults
}

/// Creates the data directory, unless a store is lost with it and `create` is not set.
pub(super) fn make_data_dir(config: &Config, create: bool) -> Result<(), String> {
    if !create && !config.data_dir.exists() {
        super::store::missing(config)?;
    }
    super::data_dir::make(&config.data_dir)
}
