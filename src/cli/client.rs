//! The connection to a server's admin socket.

use std::{error::Error as _, io, path::Path, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};
use tonic::{
    Code, Response, Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::failure::Failure;
use crate::admin::api::admin_client::AdminClient;

/// A change waits at most a second to be in effect; a store may wait some seconds for its disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the server at `socket` one thing.
pub(super) async fn ask<T>(
    socket: &Path,
    call: impl AsyncFnOnce(&mut AdminClient<Channel>) -> Result<Response<T>, Status>,
) -> Result<T, Failure> {
    let mut api = connect(socket).await?;
    match timeout(PATIENCE, call(&mut api)).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failure(socket, &status)),
        Err(_) => Err(broken(socket, &format_args!("no answer in {} s", PATIENCE.as_secs()))),
    }
}

/// The next message of an answer that is a stream; `None` at its end. Waits as long as it takes.
pub(super) async fn next<T>(socket: &Path, answer: &mut Streaming<T>) -> Result<Option<T>, Failure> {
    answer.message().await.map_err(|status| failure(socket, &status))
}

/// Asks the server at `socket` for a stream, and hands over its messages as they come. Each may take as long as a
/// whole answer.
pub(super) async fn follow<T>(
    socket: &Path,
    call: impl AsyncFnOnce(&mut AdminClient<Channel>) -> Result<Response<Streaming<T>>, Status>,
    mut each: impl FnMut(T),
) -> Result<(), Failure> {
    let mut messages = ask(socket, call).await?;
    let late = |_| broken(socket, &format_args!("no answer in {} s", PATIENCE.as_secs()));
    while let Some(message) = timeout(PATIENCE, next(socket, &mut messages)).await.map_err(late)?? {
        each(message);
    }
    Ok(())
}

/// Connects first and speaks later, so that the error says what the system said of the socket.
async fn connect(socket: &Path) -> Result<AdminClient<Channel>, Failure> {
    let stream = UnixStream::connect(socket).await.map_err(|error| no_server(socket, &error))?;
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or(io::ErrorKind::NotConnected);
        async move { stream.map_err(io::Error::from) }
    });
    // The address only fills in `:authority`.
    let channel = Endpoint::from_static("http://admin.socket").connect_with_connector(connector).await;
    channel.map(AdminClient::new).map_err(|error| broken(socket, &error))
}

fn failure(socket: &Path, status: &Status) -> Failure {
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
        _ => broken(socket, &said),
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
    Failure::BrokenOff(format!("the server at unix:{} broke off ({why})", socket.display()))
}
