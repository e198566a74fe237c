//! The client of a server's admin socket.

use std::{error::Error as _, io, path::Path, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};
use tonic::{
    Code, Response, Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::{failure::Failure, fields};
use crate::admin::api::admin_client::AdminClient;

/// A change waits at most 1 s to be in effect; a store may wait some seconds for its disk.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Calls the server at `socket` once.
pub(super) async fn ask<T>(
    socket: &Path,
    call: impl AsyncFnOnce(&mut AdminClient<Channel>) -> Result<Response<T>, Status>,
) -> Result<T, Failure> {
    let mut api = connect(socket).await?;
    match timeout(TIMEOUT, call(&mut api)).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failure(socket, &status)),
        Err(_) => Err(broken_off(socket, &format_args!("no answer in {} s", TIMEOUT.as_secs()))),
    }
}

/// Returns the next message of a stream, or `None` at its end. Has no timeout.
pub(super) async fn next<T>(socket: &Path, answer: &mut Streaming<T>) -> Result<Option<T>, Failure> {
    answer.message().await.map_err(|status| failure(socket, &status))
}

/// Calls the server at `socket` and passes each message of its stream to `each`. The timeout applies to each message.
pub(super) async fn follow<T>(
    socket: &Path,
    call: impl AsyncFnOnce(&mut AdminClient<Channel>) -> Result<Response<Streaming<T>>, Status>,
    mut each: impl FnMut(T),
) -> Result<(), Failure> {
    let mut messages = ask(socket, call).await?;
    let timed_out = |_| broken_off(socket, &format_args!("no answer in {} s", TIMEOUT.as_secs()));
    while let Some(message) = timeout(TIMEOUT, next(socket, &mut messages)).await.map_err(timed_out)?? {
        each(message);
    }
    Ok(())
}

/// Connects before tonic does, because tonic's error hides the system's error of the socket.
async fn connect(socket: &Path) -> Result<AdminClient<Channel>, Failure> {
    let stream = UnixStream::connect(socket).await.map_err(|error| no_server(socket, &error))?;
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or(io::ErrorKind::NotConnected);
        async move { stream.map_err(io::Error::from) }
    });
    // The URL only sets `:authority`.
    let channel = Endpoint::from_static("http://admin.socket").connect_with_connector(connector).await;
    channel.map(AdminClient::new).map_err(|error| broken_off(socket, &error))
}

fn failure(socket: &Path, status: &Status) -> Failure {
    let message = status.message();
    match status.code() {
        Code::InvalidArgument => Failure::Usage(fields::by_option(message)),
        Code::NotFound | Code::FailedPrecondition | Code::Unauthenticated | Code::PermissionDenied | Code::DataLoss => {
            Failure::Rejected(message.to_owned())
        }
        Code::Unimplemented => {
            Failure::Rejected("the server's version does not have this command; upgrade the server".to_owned())
        }
        // A status that the server sent has no source; a connection error has one.
        Code::Unavailable if status.source().is_none() => Failure::Unreachable(message.to_owned()),
        _ => broken_off(socket, &message),
    }
}

fn no_server(socket: &Path, error: &io::Error) -> Failure {
    let socket = socket.display();
    Failure::Unreachable(match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("cannot open unix:{socket} ({error}); run this as the user that runs `sentinel serve`")
        }
        _ => format!(
            "no server at unix:{socket} ({error}); is `sentinel serve` running? --config or --admin selects another \
             server"
        ),
    })
}

fn broken_off(socket: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::BrokenOff(format!("the connection to the server at unix:{} failed ({why})", socket.display()))
}
