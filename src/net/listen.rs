//! Listening addresses, and the rules for unix sockets.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt, chown},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    str::FromStr,
};

use nix::unistd::{self, AccessFlags, Gid, Group, Uid, getgroups};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

/// `HOST:PORT` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: needs a path, such as unix:/run/sentinel/ext_authz.sock".into()),
            Some(path) => Ok(Self::Unix(path.into())),
            None if text.starts_with('/') => Err(format!("write unix: before the path of a socket: unix:{text}")),
            None => text.parse().map(Self::Tcp).map_err(|_| format!("{text:?} is neither IP:PORT nor unix:/path")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Who may connect to a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The socket's mode.
    pub mode: u32,
    /// Its group; `None` keeps the group of the process.
    pub group: Option<String>,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct ListenError {
    address: Address,
    cause: String,
}

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

/// Checks that no process listens on `address`, and that this one may. Never listens: no client connects by mistake.
pub fn check_free(address: &Address) -> Result<(), ListenError> {
    let free = match address {
        Address::Tcp(tcp) => {
            let bind = || {
                let socket = if tcp.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                // As `TcpListener::bind` does: connections of the previous process may still end.
                socket.set_reuseaddr(true)?;
                socket.bind(*tcp)
            };
            bind().map_err(|cause| unbindable(tcp, &cause))
        }
        Address::Unix(path) => check_unused(path).map(drop),
    };
    free.map_err(|cause| ListenError { address: address.clone(), cause })
}

impl Listener {
    /// Binds `address`; `access` applies to unix sockets.
    pub async fn bind(address: &Address, access: &Access) -> Result<Self, ListenError> {
        let bound = match address {
            Address::Tcp(tcp) => TcpListener::bind(tcp).await.map(Self::Tcp).map_err(|cause| unbindable(tcp, &cause)),
            Address::Unix(path) => bind_unix(path, access).map(Self::Unix),
        };
        bound.map_err(|cause| ListenError { address: address.clone(), cause })
    }

    /// Returns the bound address, with the actual port for port 0.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(Address::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned()))
            }
        }
    }
}

fn unbindable(address: &SocketAddr, cause: &io::Error) -> String {
    format!("{cause}{}", fix(address, cause.kind()))
}

/// What to do about a TCP address that cannot be bound.
fn fix(address: &SocketAddr, cause: io::ErrorKind) -> &'static str {
    match cause {
        io::ErrorKind::AddrInUse => "; stop the process that listens there, or use another port",
        io::ErrorKind::AddrNotAvailable => {
            "; no interface of this machine has the address: use one of those that `ip address` lists, or 0.0.0.0"
        }
        io::ErrorKind::PermissionDenied if address.port() < 1_024 => {
            "; a port below 1024 needs the capability CAP_NET_BIND_SERVICE: grant it, or use a higher port"
        }
        _ => "",
    }
}

/// The umask of the process (0077, set at start) keeps other users out between `bind` and `chmod`.
fn bind_unix(path: &Path, access: &Access) -> Result<UnixListener, String> {
    check_socket(path)?;
    remove_if_stale(path)?;
    let listener = UnixListener::bind(path).map_err(|cause| unwritable(path, &cause))?;
    if let Some(name) = &access.group {
        let group = find_group(name).map_err(|fault| format!("listen.grpc_group: {fault}"))?;
        chown(path, None, Some(group.as_raw())).map_err(|cause| format!("listen.grpc_group {name:?}: {cause}"))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(access.mode)).map_err(|cause| cause.to_string())?;
    Ok(listener)
}

fn unwritable(path: &Path, cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => format!(
            "{cause}; uid {} cannot write to the directory {}: give the directory to it, or use another path",
            Uid::effective(),
            directory(path).display()
        ),
        _ => cause.to_string(),
    }
}

/// The directory that holds the socket at `path`.
pub fn directory(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The longest path of a unix socket on Linux, in bytes.
const LONGEST: usize = 107;

/// Checks that a socket can be bound at `path`, as far as it can be found without a change to the system, whether or not
/// a process listens there now.
pub fn check_socket(path: &Path) -> Result<(), String> {
    check_length(path)?;
    check_directory(path)?;
    let directory = directory(path);
    unistd::access(directory, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|cause| unwritable(path, &cause.into()))?;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err(format!("{} exists and is not a socket; remove it, or use another path", path.display()))
        }
        _ => Ok(()),
    }
}

/// Checks that the path is not too long for a socket.
pub fn check_length(path: &Path) -> Result<(), String> {
    match path.as_os_str().len() {
        length if length > LONGEST => {
            Err(format!("the path has {length} bytes; the path of a unix socket has at most {LONGEST}"))
        }
        _ => Ok(()),
    }
}

/// Finds a group, and checks that this process can give a file to it.
pub fn find_group(name: &str) -> Result<Gid, String> {
    let group = Group::from_name(name).map_err(|cause| format!("{name:?}: {cause}"))?;
    let group =
        group.ok_or_else(|| format!("there is no group {name:?} on this machine; create it, or name another one"))?;
    let (user, groups) = (Uid::effective(), getgroups().unwrap_or_default());
    if !user.is_root() && group.gid != Gid::effective() && !groups.contains(&group.gid) {
        return Err(format!(
            "uid {user} is not a member of the group {name:?}, so it cannot give the socket to it; add the user to the group"
        ));
    }
    Ok(group.gid)
}

/// Checks that no other user can replace the socket at `path`.
pub fn check_directory(path: &Path) -> Result<(), String> {
    let directory = directory(path);
    let found = fs::metadata(directory).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => {
            format!("the directory {} of the socket does not exist; create it", directory.display())
        }
        _ => format!("{}: {cause}", directory.display()),
    })?;
    let mode = found.permissions().mode();
    if mode & 0o002 != 0 {
        return Err(format!(
            "{} is world-writable, so any user could replace the socket; use a directory that only its owner can write",
            directory.display()
        ));
    }
    Ok(())
}

/// Removes a socket that no process listens on, and nothing else.
fn remove_if_stale(path: &Path) -> Result<(), String> {
    if check_unused(path)? {
        fs::remove_file(path).map_err(|cause| cause.to_string())?;
    }
    Ok(())
}

/// Checks that no process listens on the socket at `path`. Returns whether a stale one is there.
fn check_unused(path: &Path) -> Result<bool, String> {
    let file_type = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(cause.to_string()),
    };
    if !file_type.is_socket() {
        return Err("a file that is not a socket exists at this path; remove it".into());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err("another process listens on this socket; stop it, or use another path".into()),
        Err(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(cause) => Err(format!("a socket exists at this path and may be in use: {cause}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: Access = Access { mode: 0o660, group: None };

    async fn bind(path: &Path) -> Result<Listener, String> {
        Listener::bind(&Address::Unix(path.to_owned()), &ACCESS).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let first = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(bind(&path).await.unwrap_err().ends_with("; stop it, or use another path"));
        drop(first);
        bind(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_in_the_sockets_place_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        fs::write(&path, "precious").unwrap();
        assert!(bind(&path).await.unwrap_err().contains("not a socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_world_writable_directory_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(bind(&directory.path().join("s.sock")).await.unwrap_err().contains("world-writable"));
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_bound_has_a_fix() {
        // TEST-NET-1 (RFC 5737).
        let absent = Listener::bind(&"192.0.2.1:9191".parse().unwrap(), &ACCESS).await.unwrap_err().to_string();
        assert!(absent.ends_with("or 0.0.0.0") && absent.contains("no interface"), "{absent}");
        for (port, kind, text) in [
            (443, io::ErrorKind::PermissionDenied, "CAP_NET_BIND_SERVICE"),
            (9191, io::ErrorKind::AddrInUse, "another port"),
        ] {
            assert!(fix(&([127, 0, 0, 1], port).into(), kind).contains(text), "{kind}");
        }
        assert_eq!(fix(&([127, 0, 0, 1], 9191).into(), io::ErrorKind::PermissionDenied), "");
        let unwritable = unwritable(Path::new("/run/sentinel/s.sock"), &io::ErrorKind::PermissionDenied.into());
        assert!(unwritable.contains("cannot write to the directory /run/sentinel: "), "{unwritable}");
    }

    #[test]
    fn addresses() {
        assert_eq!("unix:/a/b".parse(), Ok(Address::Unix("/a/b".into())));
        assert_eq!("[::1]:9191".parse::<Address>().unwrap().to_string(), "[::1]:9191");
        for bad in ["unix:", "localhost:9191", ":9191", "127.0.0.1", ""] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
