//! The data directory. Only the server's user may use it: it holds the pepper, the database and the admin socket.

use std::{
    fs::{self, DirBuilder, File, Metadata, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};

use nix::unistd::{AccessFlags, Uid, access};
use tracing::warn;

/// Reports what would keep [`make`] from succeeding, as far as it can be found without a change to the system.
pub(super) fn check(path: &Path, of_any_owner: bool) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(found) => {
            if !of_any_owner {
                check_owner(path, &found)?;
            }
            check_mode(path, &found)
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => check_link(path).and_then(|()| check_parent(path)),
        Err(cause) => Err(format!("data_dir {}: {cause}", path.display())),
    }
}

/// Creates the directory if it is missing, and takes it from group and others if they can access it.
pub(super) fn make(path: &Path) -> Result<(), String> {
    let at = |cause: io::Error| format!("data_dir {}: {cause}", path.display());
    if !path.exists() {
        check_link(path)?;
        check_parent(path)?;
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at)?;
    }
    let directory = File::open(path).map_err(|cause| match fs::metadata(path) {
        Ok(found) => check_owner(path, &found).err().unwrap_or_else(|| at(cause)),
        Err(_) => at(cause),
    })?;
    let found = directory.metadata().map_err(at)?;
    check_mode(path, &found)?;
    check_owner(path, &found)?;
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        directory.set_permissions(Permissions::from_mode(0o700)).map_err(|cause| {
            format!("data_dir {} has mode {mode:04o}; it must be 0700, and cannot be changed: {cause}", path.display())
        })?;
        warn!(
            data_dir = %path.display(), was = format!("{mode:04o}"),
            "group or others could access data_dir; its mode is now 0700. With systemd set StateDirectoryMode=0700; on \
             Kubernetes use a sub folder of the volume, and fsGroupChangePolicy: OnRootMismatch"
        );
    }
    tighten(path, |name| OWN_FILES.iter().any(|own| name.starts_with(own)));
    let audit = path.join(AUDIT);
    if audit.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        tighten(&audit, |_| true);
    }
    Ok(())
}

/// Sentinel's own files in the data directory, with what SQLite and an interrupted start append to their names. An
/// operator may have chosen a directory with other files.
const OWN_FILES: [&str; 3] = ["pepper", "sentinel.db", AUDIT];
/// The directory of audit records that are not in the store yet.
const AUDIT: &str = "audit";

/// Takes what this user owns in `directory` from group and others, if it has one of these names. Nothing is changed
/// through a link, or at a socket, whose mode is set when it is bound. A file that stays open to others is protected by
/// the directory alone.
fn tighten(directory: &Path, is_own: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(found) = entry.metadata() else { continue };
        if !entry.file_name().to_str().is_some_and(&is_own) {
            continue;
        }
        let path = entry.path();
        let mode = found.mode() & 0o7777;
        let is_ours = found.uid() == Uid::effective().as_raw() && (found.is_file() || found.is_dir());
        if !is_ours || mode & 0o077 == 0 {
            continue;
        }
        let file = path.display();
        match fs::set_permissions(&path, Permissions::from_mode(mode & 0o700)) {
            Ok(()) => {
                warn!(%file, was = format!("{mode:04o}"), "group or others could access this file; now only its owner can")
            }
            Err(cause) => warn!(%file, %cause, "group or others may access this file, and its mode cannot be changed"),
        }
    }
}

/// Rejects a link to nothing, where no directory can be created.
fn check_link(path: &Path) -> Result<(), String> {
    match path.read_link() {
        Ok(target) => Err(format!(
            "data_dir {} is a symbolic link to {}, which does not exist; create it, or mount the volume",
            path.display(),
            target.display()
        )),
        Err(_) => Ok(()),
    }
}

/// Checks that the directory can be created.
fn check_parent(path: &Path) -> Result<(), String> {
    let parent = path.ancestors().skip(1).map(|it| if it.as_os_str().is_empty() { Path::new(".") } else { it });
    let Some(parent) = parent.into_iter().find(|it| it.exists()) else { return Ok(()) };
    let own = Uid::effective();
    if own.is_root() && parent.is_dir() {
        return Ok(());
    }
    access(parent, AccessFlags::W_OK | AccessFlags::X_OK).map_err(io::Error::from).and_then(|()| {
        if parent.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
    })
    .map_err(|cause| {
        let (path, parent) = (path.display(), parent.display());
        format!(
            "data_dir {path}: cannot be created in {parent}: {cause}; create it with mode 0700 for uid {own}, or, on a volume \
             of Kubernetes, set fsGroup in the securityContext of the pod"
        )
    })
}

fn check_owner(path: &Path, found: &Metadata) -> Result<(), String> {
    let (owner, own) = (found.uid(), Uid::effective());
    if owner == own.as_raw() {
        return Ok(());
    }
    let may_write = access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
    let path = path.display();
    let fix = match owner {
        0 if may_write => format!(
            "chown -R {own} {path}; or, as it may be the root of a volume, use a sub folder: data_dir = \"{path}/sentinel\""
        ),
        0 => format!("chown -R {own} {path}"),
        _ => format!("run it as uid {owner}, or chown -R {own} {path}"),
    };
    Err(format!("data_dir {path} belongs to uid {owner}, but this process runs as uid {own}; {fix}"))
}

fn check_mode(path: &Path, found: &Metadata) -> Result<(), String> {
    if !found.is_dir() {
        return Err(format!("data_dir {} is not a directory", path.display()));
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(format!(
            "data_dir {} has mode {mode:04o}; it must be 0700. Any user could have put files into it: check its content, \
             then chmod 0700",
            path.display()
        ));
    }
    Ok(())
}
