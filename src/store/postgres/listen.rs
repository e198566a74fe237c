//! Receives notifications of every commit that takes a revision, over a connection of its own.

use std::future::poll_fn;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls, Socket, tls::MakeTlsConnect};

use super::{
    connect::{Options, Tls, tls},
    revision::CHANNEL,
    session::message,
};
use crate::store::StoreError;

/// The notifications of one connection.
pub struct Notifications {
    /// Drives the connection, and ends with it.
    work: BoxFuture<'static, ()>,
    received: mpsc::Receiver<()>,
    /// Dropping it closes the connection.
    _client: Client,
}

impl Options {
    /// Begins to listen.
    pub async fn listen(&self) -> Result<Notifications, StoreError> {
        match &self.tls {
            Tls::Off => self.listen_by(NoTls).await,
            Tls::VerifyFull(roots) => {
                let tls = tls(roots.as_deref()).map_err(|fault| StoreError::Unavailable(fault.to_string()))?;
                self.listen_by(tls).await
            }
        }
    }

    async fn listen_by<T>(&self, tls: T) -> Result<Notifications, StoreError>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let lost = |error: tokio_postgres::Error| StoreError::Unavailable(message(&error));
        let (client, mut connection) = self.config.connect(tls).await.map_err(lost)?;
        // A capacity of one is enough: a poll sees all changes.
        let (sender, received) = mpsc::channel(1);
        let mut work = async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    let _ = sender.try_send(());
                }
            }
        }
        .fuse()
        .boxed();
        let sql = format!("LISTEN {CHANNEL}");
        let listening = client.batch_execute(&sql);
        tokio::select! {
            listening = listening => listening.map_err(lost)?,
            () = &mut work => return Err(StoreError::Unavailable("the listening connection was closed".to_owned())),
        }
        Ok(Notifications { work, received, _client: client })
    }
}

impl Notifications {
    /// Waits for the next notification; returns `None` when the connection is lost.
    pub async fn next(&mut self) -> Option<()> {
        tokio::select! {
            biased;
            received = self.received.recv() => received,
            () = &mut self.work => None,
        }
    }
}
