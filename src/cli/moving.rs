//! `bindings export` and `bindings import`: a file of keys out of a server, and into one. What is in it is the server's
//! business.

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

/// As much as the server takes at once.
const CHUNK: usize = 64 * 1024;

/// The most skipped keys that are named.
const NAMED: usize = 20;

/// Writes everything that is there.
pub(super) async fn export(session: &Session<'_>, path: &Path) -> Result<(), Failure> {
    if path == Path::new("-") {
        let mut out = io::stdout();
        let is_seen = out.is_terminal();
        copy(session, &mut out, is_seen).await?;
        return Ok(out.flush()?);
    }
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(Failure::Usage("[FILE]: is no regular file; - is standard output; --help shows how".to_owned()));
    }
    // Renamed only when whole: a cut export must not stand where a whole one stood.
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let keys = copy(session, &mut file, false).await?;
    file.sync_all()?;
    fs::rename(unfinished, path)?;
    document(session, || show::exported(keys, path), || json::exported(keys, path))
}

/// Returns how many keys there are. `is_seen` says that `out` is the terminal, where no progress must be shown.
async fn copy(session: &Session<'_>, out: &mut impl Write, is_seen: bool) -> Result<u64, Failure> {
    let mut chunks = ask(session.socket, async |api| api.export_keys(ExportKeysRequest {}).await).await?;
    let progress = Progress::new(is_seen);
    let mut keys = 0;
    while let Some(part) = next(session.socket, &mut chunks).await? {
        out.write_all(&part.chunk)?;
        keys = part.keys.max(keys);
        progress.at(format_args!("exported {keys} keys"));
    }
    progress.clear();
    Ok(keys)
}

/// Sends the file, and says what became of it whether or not it came to its end.
pub(super) async fn import(session: &Session<'_>, path: &Path) -> Result<(), Failure> {
    if path == Path::new("-") && io::stdin().is_terminal() {
        say("Reading the file from the terminal; Ctrl-D ends it.");
    }
    let cannot = |error| Failure::Usage(format!("{}: cannot be read ({error}); --help shows how", path.display()));
    let input = open(path).map_err(cannot)?;
    let (chunks, requests) = mpsc::channel(4);
    let (failed, mut reading) = oneshot::channel();
    // A thread that nobody waits for: it may be waiting for its input when the server has already refused it.
    thread::spawn(move || {
        if let Err(error) = pump(input, &chunks) {
            let _ = failed.send(error);
        }
    });
    let mut answers = ask(session.socket, async |api| api.import_keys(ReceiverStream::new(requests)).await).await?;
    let progress = Progress::new(false);
    // The last answer, with the skipped keys of all.
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
            "warning: {} of these keys are of another credentials.realm than this server's, which does not find them",
            imported.other_realm
        ));
    }
    // Of a file that could not be read to its end the server can only say that it was cut.
    let result = match reading.try_recv() {
        Ok(error) => Err(Failure::Refused(format!("cannot read the file to its end: {error}"))),
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

fn pump(mut input: Box<dyn Read + Send>, chunks: &mpsc::Sender<ImportKeysRequest>) -> io::Result<()> {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        input.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
        // Where nobody takes them any more, the server has said why.
        if chunk.is_empty() || chunks.blocking_send(ImportKeysRequest { chunk }).is_err() {
            return Ok(());
        }
    }
}
