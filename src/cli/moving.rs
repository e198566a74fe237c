//! `bindings export` and `bindings import`: a file of keys out of a server, and into one. What is in it is the server's
//! business.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
};

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    client::{ask, next},
    failure::Failure,
    gathered::Imported,
    json,
    output::say,
    progress::Progress,
    session::{Session, document},
    show,
};
use crate::admin::api::{ExportKeysRequest, ImportKeysRequest};

/// As much as the server takes at once.
const CHUNK: usize = 64 * 1024;

/// The most skipped keys that are named.
const NAMED: usize = 20;

/// Writes everything that is there.
pub(super) async fn export(session: &Session<'_>, path: &Path) -> Result<(), Failure> {
    let mut out = Out::open(path)?;
    let mut chunks = ask(session.socket, async |api| api.export_keys(ExportKeysRequest {}).await).await?;
    let progress = Progress::new(out.is_seen());
    let mut keys = 0;
    while let Some(part) = next(session.socket, &mut chunks).await? {
        out.write(&part.chunk)?;
        keys = part.keys.max(keys);
        progress.at(format_args!("exported {keys} keys"));
    }
    progress.clear();
    if out.finish()? {
        return Ok(());
    }
    document(session, || show::exported(keys, path), || json::exported(keys, path))
}

/// Where an export goes.
enum Out {
    Stdout(io::Stdout),
    /// Renamed only when whole: a cut export must not stand where a whole one stood.
    File {
        file: File,
        unfinished: PathBuf,
        path: PathBuf,
    },
}

impl Out {
    fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Stdout(io::stdout()));
        }
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(Failure::Usage(
                "[FILE]: is no regular file; - is standard output; --help shows how".to_owned(),
            ));
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".part");
        let unfinished = PathBuf::from(unfinished);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        Ok(Self::File { file, unfinished, path: path.to_owned() })
    }

    /// Whether what is written is seen on the terminal, where no progress must be shown.
    fn is_seen(&self) -> bool {
        matches!(self, Self::Stdout(out) if out.is_terminal())
    }

    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.write_all(chunk),
            Self::File { file, .. } => file.write_all(chunk),
        }
    }

    /// Says whether standard output was it.
    fn finish(self) -> io::Result<bool> {
        match self {
            Self::Stdout(mut out) => out.flush().map(|()| true),
            Self::File { file, unfinished, path } => {
                file.sync_all()?;
                fs::rename(unfinished, path).map(|()| false)
            }
        }
    }
}

/// Sends the file, and says what became of it whether or not it came to its end.
pub(super) async fn import(session: &Session<'_>, path: &Path) -> Result<(), Failure> {
    let input = open(path)?;
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
    let mut imported = Imported::default();
    let result = loop {
        match next(session.socket, &mut answers).await {
            Ok(Some(answer)) => {
                progress.at(format_args!("imported {} keys", answer.keys));
                let room = NAMED.saturating_sub(imported.skipped.len());
                imported.skipped.extend(answer.skipped_key_ids.iter().take(room).cloned());
                imported.last = answer;
            }
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    progress.clear();
    if imported.last.other_realm > 0 {
        say(format_args!(
            "warning: {} of these keys are of another credentials.realm than this server's, which does not find them",
            imported.last.other_realm
        ));
    }
    // Of a file that could not be read to its end the server can only say that it was cut.
    let result = match reading.try_recv() {
        Ok(error) => Err(Failure::Refused(format!("cannot read the file to its end: {error}"))),
        Err(_) => result,
    };
    if let Err(failure) = result {
        if imported.last.keys > 0 {
            say(show::imported(&imported).trim_end());
        }
        return Err(failure);
    }
    document(session, || show::imported(&imported), || json::imported(&imported))
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    if path == Path::new("-") {
        let input = io::stdin();
        if input.is_terminal() {
            say("Reading the file from the terminal; Ctrl-D ends it.");
        }
        return Ok(Box::new(input));
    }
    match File::open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(Failure::Usage(format!("{}: cannot be read ({error}); --help shows how", path.display()))),
    }
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
