//! `bindings export` and `bindings import`: copy a file of keys from a server, and to a server. Only the server reads
//! the file's format.

use std::{
    fs::{self, OpenOptions},
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
};

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    client::{ask, next},
    failure::Failure,
    json,
    progress::Progress,
    reference::open,
    session::{Session, document, say},
    show,
};
use crate::admin::api::{ExportKeysRequest, ImportKeysRequest, ImportKeysResponse};

/// The bytes of one message.
const CHUNK: usize = 64 * 1024;

/// At most this many skipped keys are named.
const NAMED: usize = 20;

/// Writes every key to the file at `path`; `-` is standard output.
pub(super) async fn export(session: &Session<'_>, path: &Path) -> Result<(), Failure> {
    if path == Path::new("-") {
        let mut out = io::stdout();
        let is_terminal = out.is_terminal();
        copy(session, &mut out, is_terminal).await?;
        return Ok(out.flush()?);
    }
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Failure::Usage(
            "[FILE]: not a regular file; use - for standard output; --help shows how".to_owned(),
        ));
    }
    // Renamed when complete, so that a failed export does not replace a complete file.
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let keys = copy(session, &mut file, false).await?;
    file.sync_all()?;
    fs::rename(unfinished, path)?;
    document(session, || show::exported(keys, path), || json::exported(keys, path))
}

/// Returns the number of keys. Shows no progress if `out` is the terminal.
async fn copy(session: &Session<'_>, out: &mut impl Write, is_terminal: bool) -> Result<u64, Failure> {
    let mut chunks = ask(session.socket, async |api| api.export_keys(ExportKeysRequest {}).await).await?;
    let progress = Progress::new(is_terminal);
    let mut keys = 0;
    while let Some(part) = next(session.socket, &mut chunks).await? {
        out.write_all(&part.chunk)?;
        keys = part.keys.max(keys);
        progress.at(format_args!("exported {keys} keys"));
    }
    progress.clear();
    Ok(keys)
}

/// Sends the file and prints what was imported, even if the import fails in the middle.
pub(super) async fn import(session: &Session<'_>, path: &Path) -> Result<(), Failure> {
    if path == Path::new("-") && io::stdin().is_terminal() {
        say("Reading the file from the terminal; Ctrl-D ends it.");
    }
    let unreadable = |error| Failure::Usage(format!("{}: cannot be read ({error}); --help shows how", path.display()));
    let input = open(path).map_err(unreadable)?;
    let (chunks, requests) = mpsc::channel(4);
    let (failed, mut read_error) = oneshot::channel();
    // The thread is not joined: it may wait for its input after the server has rejected the file.
    thread::spawn(move || {
        if let Err(error) = send_chunks(input, &chunks) {
            let _ = failed.send(error);
        }
    });
    let mut answers = ask(session.socket, async |api| api.import_keys(ReceiverStream::new(requests)).await).await?;
    let progress = Progress::new(false);
    // The last answer, with the skipped keys of all answers.
    let mut imported = ImportKeysResponse::default();
    let result = loop {
        match next(session.socket, &mut answers).await {
            Ok(Some(answer)) => {
                progress.at(format_args!("imported {} keys", answer.keys));
                let skipped = imported.skipped_key_ids.into_iter().chain(answer.skipped_key_ids);
                imported = ImportKeysResponse { skipped_key_ids: skipped.take(NAMED).collect(), ..answer };
            }
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    progress.clear();
    if imported.other_realm > 0 {
        say(format_args!(
            "warning: {} of these keys have another credentials.realm than this server, which does not find them",
            imported.other_realm
        ));
    }
    // After a read error the server only knows that the file is incomplete.
    let result = match read_error.try_recv() {
        Ok(error) => Err(Failure::Rejected(format!("cannot read the file to its end: {error}"))),
        Err(_) => result,
    };
    if let Err(failure) = result {
        if imported.keys > 0 {
            say(show::imported(&imported).trim_end());
        }
        return Err(failure);
    }
    document(session, || show::imported(&imported), || json::message(&imported))
}

fn send_chunks(mut input: Box<dyn Read + Send>, chunks: &mpsc::Sender<ImportKeysRequest>) -> io::Result<()> {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        input.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
        // The receiver is dropped when the server has ended the call with an error.
        if chunk.is_empty() || chunks.blocking_send(ImportKeysRequest { chunk }).is_err() {
            return Ok(());
        }
    }
}
