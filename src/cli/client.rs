//! The connection to a server's admin socket.

use std::{
    error::Error as _,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint},
};

use super::Failure;
use crate::admin::api::admin_client::AdminClient;

/// A change waits at most a second to be in effect; a store may wait some seconds for its disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks one server.
pub(super) struct Client {
    api: AdminClient<Channel>,
    socket: PathBuf,
}

impl Client {
    /// Connects first and speaks later, so that the error says what the system said of the socket.
    pub(super) async fn connect(socket: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket).await.map_err(|error| no_server(socket, &error))?;
        let mut stream = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_| {
            let stream = stream.take().ok_or(io::ErrorKind::NotConnected);
            async move { stream.map_err(io::Error::from) }
        });
        // The address only fills in `:authority`.
        let channel = Endpoint::from_static("http://admin.socket").connect_with_connector(connector).await;
        let channel = channel.map_err(|error| broken(socket, &error))?;
        Ok(Self { api: AdminClient::new(channel), socket: socket.to_owned() })
    }

    /// Asks one thing.
    pub(super) async fn ask<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut AdminClient<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(PATIENCE, call(&mut self.api)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failure(&status)),
            Err(_) => Err(broken(&self.socket, &format_args!("no answer in {} s", PATIENCE.as_secs()))),
        }
    }

    fn failure(&self, status: &Status) -> Failure {
        let said = status.message();
        match status.code() {
            Code::NotFound => Failure::Refused(format!("{said}; `sentinel bindings list` shows the keys")),
            Code::InvalidArgument => Failure::Usage(said.to_owned()),
            Code::FailedPrecondition | Code::Unauthenticated | Code::PermissionDenied | Code::DataLoss => {
                Failure::Refused(said.to_owned())
            }
            Code::Unimplemented => Failure::Refused("the server is of a version without this command".to_owned()),
            // The server's own word has no source; a connection that broke has one.
            Code::Unavailable if status.source().is_none() => Failure::Unreachable(said.to_owned()),
            _ => broken(&self.socket, &said),
        }
    }
}

fn no_server(socket: &Path, error: &io::Error) -> Failure {
    let socket = socket.display();
    Failure::Unreachable(match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("may not open unix:{socket} ({error}); run this as the user that runs `sentinel serve`")
        }
        _ => format!(
            "no server at unix:{socket} ({error}); is `sentinel serve` running? --config or --admin names another one"
        ),
    })
}

fn broken(socket: &Path, why: &dyn std::fmt::Display) -> Failure {
    let socket = socket.display();
    Failure::Unreachable(format!(
        "the server at unix:{socket} broke off ({why}); a change was made or not, `sentinel audit list` says which"
    ))
}
