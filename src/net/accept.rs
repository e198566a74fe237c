//! Accepts connections, at most as many as a listener has slots, so that no listener can use up the files of another.
//! Where none is free, a connection that has not shown who it is makes room for a newer one.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, unix::UCred},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tracing::warn;

use super::{caller::Trust, listen::Listener};

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
    pub fn raise_and_divide_file_limit() -> io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let files = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_or(soft, |()| hard);
        Ok(Self::of(usize::try_from(files).unwrap_or(usize::MAX)))
    }

    fn of(files: usize) -> Self {
        let other = (files / 16).clamp(2, 256);
        Self { grpc: (files / 2).clamp(2, 8_192), http: other, admin: other }
    }
}

/// A listener, its free slots, and the connections that make room for newer ones.
pub struct Acceptor {
    listener: Listener,
    slots: Arc<Semaphore>,
    most: usize,
    most_unknown: usize,
    /// The oldest first.
    unknown: VecDeque<(Weak<Eviction>, Trust)>,
    /// It was logged that no slot is free.
    is_full: bool,
}

impl Acceptor {
    /// Accepts from `listener`, at most `slots` connections at a time.
    pub fn new(listener: Listener, slots: usize) -> Self {
        let (slots, most) = (Arc::new(Semaphore::new(slots)), slots);
        Self { listener, slots, most, most_unknown: most, unknown: VecDeque::new(), is_full: false }
    }

    /// Gives connections that are not trusted at most half of the slots, and at most `most`.
    pub(super) fn with_unknown(self, most: usize) -> Self {
        Self { most_unknown: most.min(self.most / 2), ..self }
    }

    /// The next connection. Until `trust` in it is granted, it is closed if it is the oldest such connection when there
    /// is no room for a newer one.
    pub async fn accept(&mut self, trust: &Trust) -> Connection {
        let socket = self.next().await;
        self.make_room();
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { std::future::pending().await };
        let eviction = Arc::new(Eviction::default());
        if !trust.is_granted() {
            self.unknown.push_back((Arc::downgrade(&eviction), trust.clone()));
        }
        Connection { socket, eviction, _slot: slot }
    }

    /// Asks the oldest connection that is not trusted to end, if there is no room for one more. Its slot becomes free when
    /// it has ended.
    fn make_room(&mut self) {
        let free = self.slots.available_permits();
        if free > self.most / 4 {
            self.is_full = false;
        }
        self.unknown.retain(|(connection, trust)| !trust.is_granted() && connection.strong_count() > 0);
        if free > 0 && self.unknown.len() < self.most_unknown {
            return;
        }
        match self.unknown.pop_front() {
            Some((oldest, _)) => oldest.upgrade().iter().for_each(|connection| connection.order()),
            None if self.is_full => {}
            None => {
                self.is_full = true;
                let listener = self.listener.address().map(|address| address.to_string()).unwrap_or_default();
                warn!(
                    listener,
                    connections = self.most,
                    "a listener has as many connections as it may have; further ones wait. Raise the limit of open \
                     files (LimitNOFILE)"
                );
            }
        }
    }

    async fn next(&self) -> Socket {
        loop {
            match self.socket().await {
                Ok(socket) => return socket,
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
    eviction: Arc<Eviction>,
    _slot: OwnedSemaphorePermit,
}

/// The order to end a connection. It makes reads and writes fail, so it also ends a task that waits for either.
#[derive(Debug, Default)]
struct Eviction {
    is_ordered: AtomicBool,
    task: AtomicWaker,
}

impl Eviction {
    fn order(&self) {
        self.is_ordered.store(true, Ordering::Release);
        self.task.wake();
    }

    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.task.register(cx.waker());
        match self.is_ordered.load(Ordering::Acquire) {
            true => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed for a newer connection")),
            false => Ok(()),
        }
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// The same connection in the runtime of the current thread.
    pub(super) fn adopted(self) -> io::Result<Self> {
        let socket = match self.socket {
            Socket::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream.into_std()?)?),
            Socket::Unix(stream) => Socket::Unix(UnixStream::from_std(stream.into_std()?)?),
        };
        Ok(Self { socket, ..self })
    }

    /// The process at the other end of a unix socket.
    pub fn peer(&self) -> Option<UCred> {
        match &self.socket {
            Socket::Tcp(_) => None,
            Socket::Unix(stream) => stream.peer_cred().ok(),
        }
    }
}

macro_rules! delegate {
    ($connection:expr, $call:ident($cx:expr $(, $argument:expr)*)) => {{
        let connection = $connection.get_mut();
        connection.eviction.check($cx)?;
        match &mut connection.socket {
            Socket::Tcp(stream) => Pin::new(stream).$call($cx $(, $argument)*),
            Socket::Unix(stream) => Pin::new(stream).$call($cx $(, $argument)*),
        }
    }};
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
