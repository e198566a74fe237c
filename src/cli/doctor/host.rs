//! Reads the metadata of the configuration's paths.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use nix::unistd::{self, Gid, Uid};

use crate::{
    app::pepper,
    config::{Config, SecretFile, Store},
    doctor::{Code, Group, Host, InspectedPath, Metadata, Secret, Socket},
    net::listen::{Access, Address, directory},
};

pub(super) fn inspect(config: &Config) -> Host {
    let Config { data_dir, store, peppers, secret_files, .. } = config;
    // A generated pepper is listed beside configured ones.
    let is_used = peppers.is_none() || pepper::file(data_dir).exists();
    let generated_pepper = is_used.then(|| generated(Code::PepperPermissions, "the pepper", &pepper::file(data_dir)));
    let named = secret_files.iter().map(|SecretFile { name, path }| configured(code_of(name), name, path));
    let database = match store {
        Store::Sqlite(path) => Some(generated(Code::DatabasePermissions, "the database", path)),
        Store::Postgres(_) => None,
    };
    let private = Access { mode: 0o600, group: None };
    Host {
        uid: Uid::effective().as_raw(),
        // An error leaves the supplementary groups out, which can only add a finding.
        groups: unistd::getgroups()
            .unwrap_or_default()
            .into_iter()
            .chain([Gid::effective()])
            .map(Gid::as_raw)
            .collect(),
        data_dir: path_of("data_dir", data_dir),
        secrets: generated_pepper.into_iter().chain(named).chain(database).collect(),
        grpc: match &config.listen.grpc {
            Address::Unix(path) => {
                Some(socket(Code::GrpcSocketPermissions, "listen.grpc", path, &config.listen.grpc_access))
            }
            Address::Tcp(_) => None,
        },
        admin: socket(Code::AdminSocketPermissions, "listen.admin", &config.listen.admin, &private),
    }
}

fn code_of(setting: &str) -> Code {
    match setting {
        "listen.caller_token_file" => Code::CallerTokenPermissions,
        "store.url_file" | "redis.url_file" => Code::DatabasePermissions,
        _ => Code::PepperPermissions,
    }
}

/// A file that the server made.
fn generated(code: Code, name: &'static str, path: &Path) -> Secret {
    Secret { is_configured: false, ..configured(code, name, path) }
}

/// A file that a setting names.
fn configured(code: Code, name: &'static str, path: &Path) -> Secret {
    Secret { code, is_configured: true, file: path_of(name, path), directory: path_of(name, directory(path)) }
}

fn socket(code: Code, name: &'static str, path: &Path, access: &Access) -> Socket {
    let gid = |name: &str| unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    Socket {
        code,
        socket: path_of(name, path),
        directory: path_of(name, directory(path)),
        mode: access.mode,
        group: access.group.as_ref().map(|name| Group { name: name.clone(), gid: gid(name) }),
    }
}

fn path_of(name: &'static str, path: &Path) -> InspectedPath {
    let metadata = match fs::metadata(path) {
        Ok(found) => Ok(Some(Metadata {
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode() & 0o7777,
            is_directory: found.is_dir(),
            is_socket: found.file_type().is_socket(),
        })),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause.to_string()),
    };
    InspectedPath { name, path: path.to_owned(), metadata }
}
