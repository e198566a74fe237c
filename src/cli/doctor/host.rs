//! What the system says of the paths of the configuration.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use nix::unistd::{self, Gid, Uid};

use crate::{
    app::pepper,
    config::{Config, SecretFile, Store},
    doctor::{Code, Entry, Group, Host, Place, Secret, Socket},
    net::listen::{Access, Address, directory},
};

pub(super) fn look(config: &Config) -> Host {
    let Config { data_dir, store, peppers, secret_files, .. } = config;
    // Beside configured ones it counts where it is.
    let counts = peppers.is_none() || pepper::file(data_dir).exists();
    let generated = counts.then(|| own(Code::PepperPermissions, "the pepper", &pepper::file(data_dir)));
    let configured = secret_files.iter().map(|SecretFile { name, path }| match *name {
        "listen.caller_token_file" => given(Code::CallerTokenPermissions, name, path),
        "store.url_file" => given(Code::DatabasePermissions, name, path),
        _ => given(Code::PepperPermissions, name, path),
    });
    let database = match store {
        Store::Sqlite(path) => Some(own(Code::DatabasePermissions, "the database", path)),
        Store::Postgres(_) => None,
    };
    let private = Access { mode: 0o600, group: None };
    Host {
        uid: Uid::effective().as_raw(),
        // Without the supplementary ones a Secret is told rather than passed over.
        groups: unistd::getgroups()
            .unwrap_or_default()
            .into_iter()
            .chain([Gid::effective()])
            .map(Gid::as_raw)
            .collect(),
        data_dir: place("data_dir", data_dir),
        secrets: generated.into_iter().chain(configured).chain(database).collect(),
        grpc: match &config.listen.grpc {
            Address::Unix(path) => {
                Some(socket(Code::GrpcSocketPermissions, "listen.grpc", path, &config.listen.grpc_access))
            }
            Address::Tcp(_) => None,
        },
        admin: socket(Code::AdminSocketPermissions, "listen.admin", &config.listen.admin, &private),
    }
}

fn own(code: Code, name: &'static str, path: &Path) -> Secret {
    Secret { is_given: false, ..given(code, name, path) }
}

fn given(code: Code, name: &'static str, path: &Path) -> Secret {
    Secret { code, is_given: true, file: place(name, path), folder: place(name, directory(path)) }
}

fn socket(code: Code, name: &'static str, path: &Path, access: &Access) -> Socket {
    let gid = |name: &str| unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    Socket {
        code,
        socket: place(name, path),
        folder: place(name, directory(path)),
        mode: access.mode,
        group: access.group.as_ref().map(|name| Group { name: name.clone(), gid: gid(name) }),
    }
}

fn place(name: &'static str, path: &Path) -> Place {
    let found = match fs::metadata(path) {
        Ok(found) => Ok(Some(Entry {
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode() & 0o7777,
            is_folder: found.is_dir(),
            is_socket: found.file_type().is_socket(),
        })),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause.to_string()),
    };
    Place { name, path: path.to_owned(), found }
}
