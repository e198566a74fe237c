//! What a start is refused for before anything is opened.

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

/// What `serve` would refuse, as far as that can be known without making or changing anything.
pub fn refusals(config: &Config) -> Vec<String> {
    let mut refusals = Vec::new();
    if let Ok(found) = fs::metadata(&config.data_dir) {
        // Root may well check the config of a service that runs as another user.
        let owner = if Uid::effective().is_root() { Ok(()) } else { check_owner(&config.data_dir, &found) };
        refusals.extend([owner, check_mode(&config.data_dir, &found)].into_iter().filter_map(Result::err));
    }
    let sockets =
        [("listen.admin", Address::Unix(config.listen.admin.clone())), ("listen.grpc", config.listen.grpc.clone())];
    for (setting, address) in sockets {
        if let Address::Unix(path) = address
            && listen::directory(&path).exists()
        {
            refusals.extend(listen::check_directory(&path).err().map(|fault| format!("{setting}: {fault}")));
        }
    }
    if let Store::Postgres(options) = &config.store {
        refusals.extend(super::store::postgres(config, options).err());
    }
    refusals
}

/// Makes the data folder, which is ours alone: it holds the pepper, the database and the admin socket.
pub(super) fn make_data_dir(path: &Path) -> Result<(), String> {
    let at = |cause| format!("data_dir {}: {cause}", path.display());
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at)?;
    let found = fs::metadata(path).map_err(at)?;
    check_owner(path, &found)?;
    check_mode(path, &found)
}

fn check_owner(path: &Path, found: &Metadata) -> Result<(), String> {
    let (owner, we) = (found.uid(), Uid::effective());
    if owner != we.as_raw() {
        return Err(format!("data_dir {} belongs to uid {owner}, this process runs as {we}", path.display()));
    }
    Ok(())
}

fn check_mode(path: &Path, found: &Metadata) -> Result<(), String> {
    if !found.is_dir() {
        return Err(format!("data_dir {} is no folder", path.display()));
    }
    let mode = found.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("data_dir {} has mode {:04o}; it must be 0700", path.display(), mode & 0o7777));
    }
    Ok(())
}
