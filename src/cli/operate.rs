//! The commands that call a running server.

use std::io::{self, IsTerminal};

use super::{
    args::{BindingsCommand, ExplainArgs, ListArgs, Output, RemoteCommand},
    audit_args::{AuditArgs, AuditCommand, FilterArgs},
    change,
    client::ask,
    csv,
    failure::Failure,
    json, moving, promote,
    reference::{KeyArgs, by_file, by_id, read_bounded},
    session::{Session, build_runtime, document, emit, reject_csv, say},
    show, stream,
};
use crate::admin::api::{ExplainRequest, GetKeyRequest, GetStatusRequest, ListAuditRequest, ListKeysRequest};

/// The server's limit for a request head, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// Calls the server and prints its answer.
pub(super) fn run(command: RemoteCommand, session: &Session) -> Result<(), Failure> {
    if !is_listing(&command) {
        reject_csv(session.output)?;
    }
    build_runtime(&mut tokio::runtime::Builder::new_current_thread())?.block_on(async {
        match command {
            RemoteCommand::Bindings(command) => bindings(command, session).await,
            RemoteCommand::Unbind { key, to, open, yes } => change::unbind(session, key, to, open, yes).await,
            RemoteCommand::Ban { key, lasting, until, reason } => {
                change::ban(session, key, lasting, until, reason).await
            }
            RemoteCommand::Unban { key } => change::unban(session, key).await,
            RemoteCommand::Undo { record, yes } => change::undo(session, record, yes).await,
            RemoteCommand::Explain(args) => explain(session, args).await,
            RemoteCommand::Status => status(session).await,
            RemoteCommand::Audit(AuditCommand::List(args)) => audit(session, args).await,
            RemoteCommand::Audit(AuditCommand::Export(args)) => stream::export(session, args).await,
            RemoteCommand::Audit(AuditCommand::Tail(args)) => stream::tail(session, args).await,
        }
    })
}

fn is_listing(command: &RemoteCommand) -> bool {
    matches!(
        command,
        RemoteCommand::Bindings(BindingsCommand::List(_) | BindingsCommand::Promote(_)) | RemoteCommand::Audit(_)
    )
}

async fn bindings(command: BindingsCommand, session: &Session<'_>) -> Result<(), Failure> {
    match command {
        BindingsCommand::List(args) => list(session, args).await,
        BindingsCommand::Show { key } => show_one(session, key).await,
        BindingsCommand::Set(args) => change::set(session, args).await,
        BindingsCommand::Claim(args) => change::claim(session, args).await,
        BindingsCommand::Note(args) => change::note(session, args).await,
        BindingsCommand::Export(args) => moving::export(session, &args.file).await,
        BindingsCommand::Import(args) => moving::import(session, &args.file).await,
        BindingsCommand::Promote(args) => promote::run(session, args.dry_run, args.yes).await,
    }
}

async fn list(session: &Session<'_>, args: ListArgs) -> Result<(), Failure> {
    let ListArgs { state, hint, observed, banned, network, limit, offset } = args;
    let filtered = state.is_some() || hint.is_some() || observed || banned || network.is_some() || offset > 0;
    let request = ListKeysRequest {
        state: state.unwrap_or_default(),
        banned_only: banned,
        network: network.map(|network| network.to_string()).unwrap_or_default(),
        limit,
        offset,
        observed_only: observed,
        hint: hint.unwrap_or_default(),
    };
    let answer = ask(session.socket, async |api| api.list_keys(request).await).await?;
    emit(
        session.output,
        || show::list(&answer, filtered, session.screen),
        || json::message(&answer),
        || csv::list(&answer),
    )?;
    if session.output != Output::Json && answer.keys.len() == limit as usize {
        let next = offset.saturating_add(limit);
        say(format_args!("There may be more: use --offset {next}, or a --limit of up to 1000."));
    }
    if session.output == Output::Table && !filtered {
        report_observed(session).await;
    }
    Ok(())
}

/// Reports the observed keys, which the list omits. A failure is ignored, because the list is already printed.
async fn report_observed(session: &Session<'_>) {
    let status = ask(session.socket, async |api| api.get_status(GetStatusRequest {}).await).await;
    match status.ok().and_then(|status| status.observed) {
        None | Some(0) => {}
        Some(1) => say("1 more key was seen in observe mode: list it with --observed"),
        Some(count) => say(format_args!("{count} more keys were seen in observe mode: list them with --observed")),
    }
}

async fn show_one(session: &Session<'_>, key: KeyArgs) -> Result<(), Failure> {
    let request = GetKeyRequest { key: Some(key.resolve()?) };
    let answer = ask(session.socket, async |api| api.get_key(request).await).await?;
    document(session, || show::one(&answer), || json::message(&answer))
}

async fn explain(session: &Session<'_>, args: ExplainArgs) -> Result<(), Failure> {
    let ExplainArgs { peer, metadata, profile, missing, mode } = args;
    let input = io::stdin();
    if input.is_terminal() {
        say("Reading the request head from the terminal; Ctrl-D ends it.");
    }
    let mut head = read_bounded(input, MAX_HEAD)
        .map_err(|error| Failure::Usage(format!("cannot read the request head from standard input: {error}")))?;
    if head.len() > MAX_HEAD {
        return Err(Failure::Usage("standard input: the request head is longer than 64 KiB".to_owned()));
    }
    let request = ExplainRequest {
        head: std::mem::take(&mut *head),
        peer: peer.to_string(),
        metadata,
        profile: profile.unwrap_or_default(),
        missing: missing.unwrap_or_default(),
        mode: mode.unwrap_or_default(),
    };
    let answer = ask(session.socket, async |api| api.explain(request).await).await?;
    document(session, || show::explained(&answer, session.screen), || json::explained(&answer))
}

async fn status(session: &Session<'_>) -> Result<(), Failure> {
    let answer = ask(session.socket, async |api| api.get_status(GetStatusRequest {}).await).await?;
    document(session, || show::status(&answer), || json::message(&answer))
}

async fn audit(session: &Session<'_>, args: AuditArgs) -> Result<(), Failure> {
    let AuditArgs { only: FilterArgs { kind, key }, key_file, profile, decision, since, limit } = args;
    let filtered = kind.is_some() || key.is_some() || key_file.is_some() || decision.is_some() || since.is_some();
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
        record: 0,
        decision_id: decision.map(|id| id.to_string()).unwrap_or_default(),
    };
    let answer = ask(session.socket, async |api| api.list_audit(request).await).await?;
    emit(
        session.output,
        || show::records(&answer, filtered, session.screen),
        || json::message(&answer),
        || csv::records(&answer),
    )?;
    if decision.is_some() && answer.records.is_empty() {
        say(stream::NO_SUCH_DECISION);
    }
    if session.output != Output::Json && answer.records.len() == limit as usize {
        say("There may be more: use a --limit of up to 1000, or narrow the list with --since, --key or --kind.");
    }
    Ok(())
}
