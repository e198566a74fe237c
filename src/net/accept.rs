//! Accepts connections, at most as many as a listener has slots, so that no listener can use up the files of another.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, unix::UCred},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tracing::warn;

use super::listen::Listener;

/// Pause after a failed accept: while the file limit of the process is reached, an immediate retry would spin.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections of each listener at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// `listen.grpc`.
    pub grpc: usize,
    /// `listen.http`.
    pub http: usize,
    /// `listen.admin`.
    pub admin: usize,
}

impl Slots {
    /// Raises the process's soft limit of open files to its hard limit, and divides it: half for `listen.grpc` (at most
    /// 8,192, which bounds its memory), a sixteenth for each of the others (at most 256), the rest for the store, Redis
    /// and files.
    pub fn of_process() -> io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let files = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_or(soft, |()| hard);
        Ok(Self::of(usize::try_from(files).unwrap_or(usize::MAX)))
    }

    fn of(files: usize) -> Self {
        let other = (files / 16).clamp(2, 256);
        Self { grpc: (files / 2).clamp(2, 8_192), http: other, admin: other }
    }
}

/// A listener and its free slots.
pub struct Acceptor {
    listener: Listener,
    slots: Arc<Semaphore>,
    most: usize,
}

impl Acceptor {
    /// Accepts from `listener`, at most `slots` connections at a time.
    pub fn new(listener: Listener, slots: usize) -> Self {
        Self { listener, slots: Arc::new(Semaphore::new(slots)), most: slots }
    }

    /// The most connections at a time.
    pub(super) fn slots(&self) -> usize {
        self.most
    }

    /// The next connection. Without a free slot, new connections wait in the socket's backlog.
    pub async fn accept(&self) -> Connection {
        loop {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { std::future::pending().await };
            match self.socket().await {
                Ok(socket) => return Connection { socket, _slot: slot },
                Err(cause) => {
                    warn!(%cause, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn socket(&self) -> io::Result<Socket> {
        match &self.listener {
            Listener::Tcp(tcp) => {
                let (stream, _) = tcp.accept().await?;
                // An answer is one small write, which Nagle's algorithm would delay.
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Listener::Unix(unix) => Ok(Socket::Unix(unix.accept().await?.0)),
        }
    }
}

/// A connection, which gives its slot back when it is dropped.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    _slot: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// The process at the other end of a unix socket.
    pub fn peer(&self) -> Option<UCred> {
        match &self.socket {
            Socket::Tcp(_) => None,
            Socket::Unix(stream) => stream.peer_cred().ok(),
        }
    }
}

macro_rules! delegate {
    ($connection:expr, $call:ident($($argument:expr),*)) => {
        match &mut $connection.get_mut().socket {
            Socket::Tcp(stream) => Pin::new(stream).$call($($argument),*),
            Socket::Unix(stream) => Pin::new(stream).$call($($argument),*),
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_read(cx, buffer))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write_vectored(cx, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_listener_can_use_all_files() {
        for files in [64, 1_024, 65_536, 1 << 20] {
            let Slots { grpc, http, admin } = Slots::of(files);
            assert!(grpc >= 32 && http >= 4 && admin >= 4, "{files}");
            assert!(grpc + http + admin <= files / 8 * 5, "{files}");
        }
        assert_eq!(Slots::of(1_024), Slots { grpc: 512, http: 64, admin: 64 });
    }
}
