//! Checks before anything is opened or created.

use crate::{
    config::{Config, Store},
    net::listen::{self, Address},
};

/// The faults that would keep `serve` from starting, as far as they can be found without a change to the system.
pub fn faults(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    faults.extend(super::data_dir::check(&config.data_dir).err());
    let sockets =
        [("listen.admin", Address::Unix(config.listen.admin.clone())), ("listen.grpc", config.listen.grpc.clone())];
    for (setting, address) in sockets {
        if let Address::Unix(path) = address
            && listen::directory(&path).exists()
        {
            faults.extend(listen::check_directory(&path).err().map(|fault| format!("{setting}: {fault}")));
        }
    }
    faults.extend(super::store::missing(config).err());
    if let Store::Postgres(options) = &config.store {
        faults.extend(super::store::postgres(config, options).err());
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
