//! Checks before anything is opened or created.

use std::path::Path;

use nix::unistd::Uid;

use crate::{
    config::{Config, Store},
    net::listen::{self, Address},
    store::sqlite::Database,
};

/// The faults that would keep `serve` from starting, as far as they can be found without a change to the system. Root may
/// check the configuration of a server that runs as another user.
pub fn faults(config: &Config) -> Vec<String> {
    check(config, Uid::effective().is_root())
}

/// The same for this process itself.
pub(super) fn own_faults(config: &Config) -> Vec<String> {
    check(config, false)
}

fn check(config: &Config, of_any_owner: bool) -> Vec<String> {
    let mut faults = Vec::new();
    faults.extend(super::data_dir::check(&config.data_dir, of_any_owner).err());
    // `serve` creates this directory, with nothing in it, before it opens the rest; and one fault of it is enough.
    let is_new = !config.data_dir.exists() || !faults.is_empty();
    let is_settled = |path: &Path| is_new && listen::directory(path) == config.data_dir;
    let mut check_socket = |setting, path: &Path| {
        if !is_settled(path) {
            faults.extend(listen::check_socket(path).err().map(|fault| format!("{setting}: {fault}")));
        }
    };
    check_socket("listen.admin", &config.listen.admin);
    if let Address::Unix(path) = &config.listen.grpc {
        check_socket("listen.grpc", path);
        let group = config.listen.grpc_access.group.as_deref().map(listen::find_group);
        faults.extend(group.and_then(Result::err).map(|fault| format!("listen.grpc_group: {fault}")));
    }
    faults.extend(super::pepper::check(&config.data_dir).err().map(|fault| fault.to_string()));
    match &config.store {
        // The directory may be new because the store is lost with it.
        Store::Sqlite(path) if is_settled(path) => {
            if !config.data_dir.exists() {
                faults.extend(super::store::missing(config).err());
            }
        }
        Store::Sqlite(path) => {
            let checked = Database::check_path(path).map_err(|fault| format!("store.url: {fault}"));
            faults.extend(checked.and_then(|()| super::store::missing(config)).err());
        }
        Store::Postgres(options) => faults.extend(super::store::postgres(config, options).err()),
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
