//! Checks before anything is opened or created.

use std::{
    fs::{self, DirBuilder, Metadata},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};

use nix::unistd::Uid;

use crate::{
    config::{Config, Store},
    net::listen::{self, Address},
};

/// The faults that would keep `serve` from starting, as far as they can be found without a change to the system.
pub fn faults(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    if let Ok(found) = fs::metadata(&config.data_dir) {
        // Root may check the configuration of a server that runs as another user.
        let owner = if Uid::effective().is_root() { Ok(()) } else { check_owner(&config.data_dir, &found) };
        faults.extend([owner, check_mode(&config.data_dir, &found)].into_iter().filter_map(Result::err));
    }
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

/// Creates the data directory, unless a store is lost with it and `create` is not set. Only the server's user may use it:
/// it holds the pepper, the database and the admin socket.
pub(super) fn make_data_dir(config: &Config, create: bool) -> Result<(), String> {
    let path = &config.data_dir;
    let at = |cause| format!("data_dir {}: {cause}", path.display());
    if !create && !path.exists() {
        super::store::missing(config)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at)?;
    let found = fs::metadata(path).map_err(at)?;
    check_owner(path, &found)?;
    check_mode(path, &found)
}

fn check_owner(path: &Path, found: &Metadata) -> Result<(), String> {
    let (owner, own) = (found.uid(), Uid::effective());
    if owner != own.as_raw() {
        let path = path.display();
        return Err(format!(
            "data_dir {path} belongs to uid {owner}, but this process runs as uid {own}; run it as uid {owner}, or chown the \
             directory"
        ));
    }
    Ok(())
}

fn check_mode(path: &Path, found: &Metadata) -> Result<(), String> {
    if !found.is_dir() {
        return Err(format!("data_dir {} is not a directory", path.display()));
    }
    let mode = found.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("data_dir {} has mode {:04o}; it must be 0700", path.display(), mode & 0o7777));
    }
    Ok(())
}
