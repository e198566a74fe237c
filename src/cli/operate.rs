//! The commands that ask a running server.

use std::{
    io::{self, IsTerminal},
    path::Path,
    time::Duration,
};

use serde_json::Value;

use super::{
    Failure,
    args::{AuditArgs, AuditCommand, BindingsCommand, ExplainArgs, ListArgs, Output, RemoteCommand},
    client::ask,
    json, print,
    reference::{Which, by_file, by_id, read_bounded},
    running, say, show, stream,
};
use crate::{
    admin::api::{
        BanRequest, ChangeResponse, ExplainRequest, GetKeyRequest, GetStatusRequest, ListAuditRequest, ListKeysRequest,
        UnbanRequest, UnbindRequest, unbind_request::Mode,
    },
    domain::Network,
};

/// As much of a request's head as the server takes.
const MAX_HEAD: usize = 64 * 1024;

/// Asks the server at `socket` and prints its answer.
pub(super) fn run(command: RemoteCommand, socket: &Path, output: Output) -> Result<(), Failure> {
    running(&mut tokio::runtime::Builder::new_current_thread())?.block_on(async {
        match command {
            RemoteCommand::Bindings(BindingsCommand::List(args)) => list(socket, output, args).await,
            RemoteCommand::Bindings(BindingsCommand::Show { which }) => show_one(socket, output, which).await,
            RemoteCommand::Unbind { which, to, open } => unbind(socket, output, which, to, open).await,
            RemoteCommand::Ban { which, lasting, reason } => ban(socket, output, which, lasting, reason).await,
            RemoteCommand::Unban { which } => unban(socket, output, which).await,
            RemoteCommand::Explain(args) => explain(socket, output, args).await,
            RemoteCommand::Status => status(socket, output).await,
            RemoteCommand::Audit(AuditCommand::List(args)) => audit(socket, output, args).await,
            RemoteCommand::Audit(AuditCommand::Export(args)) => stream::export(socket, output, args).await,
            RemoteCommand::Audit(AuditCommand::Tail(args)) => stream::tail(socket, output, args).await,
        }
    })
}

async fn list(socket: &Path, output: Output, args: ListArgs) -> Result<(), Failure> {
    let ListArgs { state, banned, network, limit, offset } = args;
    let filtered = state.is_some() || banned || network.is_some() || offset > 0;
    let request = ListKeysRequest {
        state: state.unwrap_or_default(),
        banned_only: banned,
        network: network.map(|network| network.to_string()).unwrap_or_default(),
        limit,
        offset,
    };
    let answer = ask(socket, async |api| api.list_keys(request).await).await?;
    emit(output, || show::list(&answer, filtered), || json::list(&answer))?;
    if output == Output::Table && answer.keys.len() == limit as usize {
        let next = offset.saturating_add(limit);
        say(format_args!("There may be more: --offset {next} shows the next, --limit up to 1000 at once."));
    }
    Ok(())
}

async fn show_one(socket: &Path, output: Output, which: Which) -> Result<(), Failure> {
    let request = GetKeyRequest { key: Some(which.resolve()?) };
    let answer = ask(socket, async |api| api.get_key(request).await).await?;
    emit(output, || show::one(&answer), || json::one(&answer))
}

async fn unbind(socket: &Path, output: Output, which: Which, to: Option<Network>, open: bool) -> Result<(), Failure> {
    let mode = match to {
        Some(network) => Some(Mode::To(network.to_string())),
        None if open => Some(Mode::Open(true)),
        None => None,
    };
    let request = UnbindRequest { key: Some(which.resolve()?), mode };
    let answer = ask(socket, async |api| api.unbind(request).await).await?;
    changed(output, &answer, show::unbound)?;
    if open {
        let id = answer.key.map(|key| key.key_id).unwrap_or_default();
        say(format_args!(
            "warning: whoever uses this key next owns it, a thief too; `sentinel bindings show {id}` says who did"
        ));
    }
    Ok(())
}

async fn ban(
    socket: &Path,
    output: Output,
    which: Which,
    lasting: Option<Duration>,
    reason: String,
) -> Result<(), Failure> {
    // Too long for the wire is too long for the server, which says so.
    let lasting_ms = lasting.map_or(0, |lasting| i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX));
    let request = BanRequest { key: Some(which.resolve()?), lasting_ms, reason };
    let answer = ask(socket, async |api| api.ban(request).await).await?;
    changed(output, &answer, show::banned)
}

async fn unban(socket: &Path, output: Output, which: Which) -> Result<(), Failure> {
    let request = UnbanRequest { key: Some(which.resolve()?) };
    let answer = ask(socket, async |api| api.unban(request).await).await?;
    changed(output, &answer, show::unbanned)
}

async fn explain(socket: &Path, output: Output, args: ExplainArgs) -> Result<(), Failure> {
    let ExplainArgs { peer, metadata, profile, missing } = args;
    let input = io::stdin();
    if input.is_terminal() {
        say("Reading the request's head from the terminal; Ctrl-D ends it.");
    }
    let mut head = read_bounded(input, MAX_HEAD)
        .map_err(|error| Failure::Usage(format!("cannot read the request's head from standard input: {error}")))?;
    if head.len() > MAX_HEAD {
        return Err(Failure::Usage("head: is longer than 64 KiB".to_owned()));
    }
    let request = ExplainRequest {
        head: std::mem::take(&mut *head),
        peer: peer.to_string(),
        metadata,
        profile: profile.unwrap_or_default(),
        missing: missing.unwrap_or_default(),
    };
    let answer = ask(socket, async |api| api.explain(request).await).await?;
    emit(output, || show::explained(&answer), || json::explained(&answer))
}

async fn status(socket: &Path, output: Output) -> Result<(), Failure> {
    let answer = ask(socket, async |api| api.get_status(GetStatusRequest {}).await).await?;
    emit(output, || show::status(&answer), || json::status(&answer))
}

async fn audit(socket: &Path, output: Output, args: AuditArgs) -> Result<(), Failure> {
    let AuditArgs { kind, key, key_file, profile, since, limit } = args;
    let filtered = kind.is_some() || key.is_some() || key_file.is_some() || since.is_some();
    let key = match key_file {
        Some(path) => Some(by_file(&path, profile)?),
        None => key.as_ref().map(by_id),
    };
    let request = ListAuditRequest {
        kind: kind.unwrap_or_default(),
        key,
        since_ms: 0,
        limit,
        within_ms: since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
    };
    let answer = ask(socket, async |api| api.list_audit(request).await).await?;
    emit(output, || show::records(&answer, filtered), || json::records(&answer))?;
    if output == Output::Table && answer.records.len() == limit as usize {
        say("There may be more: --limit shows up to 1000, --since, --key and --kind narrow.");
    }
    Ok(())
}

fn changed(output: Output, answer: &ChangeResponse, table: fn(&ChangeResponse) -> String) -> Result<(), Failure> {
    if !answer.in_effect {
        say("warning: the change is stored, but the server could not read it back yet; it follows with its next poll");
    }
    emit(output, || table(answer), || json::change(answer))
}

pub(super) fn emit(
    output: Output,
    table: impl FnOnce() -> String,
    json: impl FnOnce() -> Value,
) -> Result<(), Failure> {
    match output {
        Output::Table => print(&table()),
        Output::Json => print(&format!("{:#}\n", json())),
    }
}
