//! The network between a client and a server, which can be cut, go silent, forget or be slow.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::daemon::free_port;

/// Forwards to the server what comes to its address. Ends with all its connections when it is dropped.
pub(crate) struct Cut {
    address: SocketAddr,
    server: SocketAddr,
    link: watch::Sender<Link>,
    /// None while connections are refused.
    forwarding: Option<Forwarding>,
}

#[derive(Clone, Copy)]
struct Link {
    server: SocketAddr,
    silent: bool,
    /// How often connections were lost; one of an earlier time is heard no more.
    losses: u32,
    delay: Duration,
}

struct Forwarding {
    task: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Cut {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let link = watch::Sender::new(Link { server, silent: false, losses: 0, delay: Duration::ZERO });
        let address = (Ipv4Addr::LOCALHOST, free_port()).into();
        let mut cut = Self { address, server, link, forwarding: None };
        cut.listen().await;
        cut
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's URL, by way of this.
    pub(crate) fn through(&self, url: &str) -> String {
        let server = self.server.to_string();
        assert_eq!(url.matches(&server).count(), 1, "{url} must name {server} once");
        url.replace(&server, &self.address.to_string())
    }

    /// Closes every connection and refuses new ones, as when the server's process goes. Has happened on return.
    /// Followed by [`Self::mend`] it loses the connections and nothing else.
    pub(crate) async fn refuse(&mut self) {
        if let Some(Forwarding { task, end }) = self.forwarding.take() {
            drop(end);
            task.await.unwrap();
        }
    }

    /// Nothing passes any more: connections stay, new ones are accepted, and neither side hears of the other, not even
    /// of its end. As on a real network, what was sent is not lost but arrives once this is mended.
    pub(crate) async fn swallow(&mut self) {
        self.link.send_modify(|link| link.silent = true);
        self.listen().await;
    }

    /// Undoes [`Self::refuse`] and [`Self::swallow`]; a delay stays.
    pub(crate) async fn mend(&mut self) {
        self.link.send_modify(|link| link.silent = false);
        self.listen().await;
    }

    /// As when the other end is replaced by one that knows nothing, or when something in between forgets: the connections
    /// of now stay silent for ever, without a word, and new ones pass.
    pub(crate) async fn forget(&mut self) {
        self.link.send_modify(|link| link.losses += 1);
        self.mend().await;
    }

    /// From now on new connections lead to `server`; those of now stay where they are.
    pub(crate) fn lead_to(&mut self, server: SocketAddr) {
        self.server = server;
        self.link.send_modify(|link| link.server = server);
    }

    /// What is read from now on, in either direction, is passed on so much later. One read at a time: it slows a
    /// stream of bytes down as well.
    pub(crate) fn delay(&self, delay: Duration) {
        self.link.send_modify(|link| link.delay = delay);
    }

    async fn listen(&mut self) {
        if self.forwarding.is_none() {
            let listener = TcpListener::bind(self.address).await.unwrap();
            let (end, ended) = oneshot::channel();
            let task = tokio::spawn(forward(listener, self.link.subscribe(), ended));
            self.forwarding = Some(Forwarding { task, end });
        }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(forwarding) = &self.forwarding {
            // Its connections are the task's.
            forwarding.task.abort();
        }
    }
}

async fn forward(listener: TcpListener, link: watch::Receiver<Link>, mut ended: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (client, _) = accepted.unwrap();
                connections.spawn(connect(client, link.clone()));
            }
            Some(_) = connections.join_next() => {}
            _ = &mut ended => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connect(client: TcpStream, mut link: watch::Receiver<Link>) -> io::Result<()> {
    let since = link.borrow().losses;
    until_heard(&mut link, since).await?;
    let server = link.borrow().server;
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let asked = pass_on(from_client, to_server, link.clone(), since);
    tokio::try_join!(asked, pass_on(from_server, to_client, link, since)).map(drop)
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut link: watch::Receiver<Link>,
    since: u32,
) -> io::Result<()> {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut chunk).await;
        let delay = link.borrow().delay;
        sleep(delay).await;
        until_heard(&mut link, since).await?;
        match read? {
            0 => return to.shutdown().await,
            count => to.write_all(&chunk[..count]).await?,
        }
    }
}

async fn until_heard(link: &mut watch::Receiver<Link>, since: u32) -> io::Result<()> {
    link.wait_for(|link| !link.silent && link.losses == since).await.map(drop).map_err(io::Error::other)
}
