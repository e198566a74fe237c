//! Takes in a file of keys as it comes, a batch in a transaction.

use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use serde::de::IgnoredAny;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Error, FieldError, Operation, Parts, Principal, Service,
    key_file::{self, Line},
};
use crate::{
    domain::KeyId,
    events::Event,
    store::{ExportedKey, KnownPepper},
};

/// Keys taken in at once: first uses wait for the transaction.
const BATCH: usize = 500;

/// No key's line is longer, by far; what is no file of ours may be one endless line.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// Answers that may wait for the client to take them.
const ANSWERS: usize = 16;

/// How far an import is. Counts since its beginning.
#[derive(Clone, Default)]
pub(crate) struct Imported {
    /// Keys read and stored, or known before.
    pub(crate) keys: u64,
    /// Of these, the new ones.
    pub(crate) imported: u64,
    /// Those that the store knew just so; times of use aside.
    pub(crate) identical: u64,
    /// Those that it knew otherwise, and left as they were; and which, of those since the last report.
    pub(crate) skipped: u64,
    pub(crate) skipped_ids: Vec<KeyId>,
    /// Of all of them those of another `credentials.realm` than this server's.
    pub(crate) other_realm: u64,
}

impl Service {
    /// The import, in a task of its own: what a client that hangs up has sent is stored and logged, or not read. An error
    /// among `chunks` says that it hung up. Reports each batch once it is stored.
    pub(crate) fn import_keys<C: AsRef<[u8]> + Send, E: Send>(
        self: &Arc<Self>,
        by: &Principal,
        mut chunks: impl Stream<Item = Result<C, E>> + Send + Unpin + 'static,
    ) -> Result<Parts<Imported>, Error> {
        by.authorise(Operation::Import)?;
        let (reports, stream) = mpsc::channel(ANSWERS);
        let mut import = Import::new(Arc::clone(self), by.to_string(), reports.clone());
        tokio::spawn(async move {
            let ended = loop {
                let taken = match chunks.next().await {
                    Some(Ok(chunk)) => import.take(chunk.as_ref()).await,
                    None => break import.end().await,
                    Some(Err(_)) => return,
                };
                if taken.is_err() {
                    break taken;
                }
            };
            if let Err(error) = ended {
                // Nobody listens any more: nobody needs to be told.
                let _ = reports.send(Err(error)).await;
            }
        });
        Ok(ReceiverStream::new(stream).boxed())
    }
}

struct Import {
    service: Arc<Service>,
    actor: String,
    reports: mpsc::Sender<Result<Imported, Error>>,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    /// Lines that came.
    line: u64,
    /// What the first line named.
    peppers: Option<Vec<KnownPepper>>,
    batch: Vec<ExportedKey>,
    /// The last line came.
    whole: bool,
    so_far: Imported,
}

impl Import {
    fn new(service: Arc<Service>, actor: String, reports: mpsc::Sender<Result<Imported, Error>>) -> Self {
        let (rest, batch, so_far) = (Vec::new(), Vec::new(), Imported::default());
        Self { service, actor, reports, rest, line: 0, peppers: None, batch, whole: false, so_far }
    }

    async fn take(&mut self, chunk: &[u8]) -> Result<(), Error> {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if self.rest.len() > MAX_LINE {
                self.line += 1;
                return Err(self.bad(FieldError::new("", "is longer than 8 MiB")));
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                self.read(&line).await?;
            }
        }
        Ok(())
    }

    async fn read(&mut self, line: &[u8]) -> Result<(), Error> {
        self.line += 1;
        let Some(peppers) = &self.peppers else {
            let peppers = key_file::read_header(line).map_err(|error| self.bad(error))?;
            self.check(&peppers)?;
            self.peppers = Some(peppers);
            return Ok(());
        };
        if self.whole {
            return Err(self.bad(FieldError::new("", "comes after the last line, which counts the keys")));
        }
        match key_file::read(line, peppers).map_err(|error| self.bad(error))? {
            Line::Key(key) => {
                self.batch.push(*key);
                if self.batch.len() == BATCH {
                    self.store().await?;
                }
            }
            Line::End(keys) => {
                self.store().await?;
                if keys != self.so_far.keys {
                    let why = format_args!("says {keys}, but {} came; some are missing", self.so_far.keys);
                    return Err(self.bad(FieldError::new("keys", why)));
                }
                self.whole = true;
            }
        }
        Ok(())
    }

    /// What is under a pepper that this server does not list it could not find again, and whoever comes first would own
    /// it.
    fn check(&self, peppers: &[KnownPepper]) -> Result<(), Error> {
        let listed = self.service.ring.peppers();
        for KnownPepper { id, check_value } in peppers {
            match listed.find(id) {
                Some(found) if found.check_value() == check_value => {}
                Some(_) => return Err(Error::AnotherSecretInFile(id.clone())),
                None => return Err(Error::UnlistedInFile(id.clone(), listed.names())),
            }
        }
        Ok(())
    }

    /// The file is over.
    async fn end(&mut self) -> Result<(), Error> {
        let rest = std::mem::take(&mut self.rest);
        let cut = !rest.is_empty() && serde_json::from_slice::<IgnoredAny>(&rest).is_err_and(|error| error.is_eof());
        if !rest.is_empty() && !cut {
            // Some tools drop the last line's end.
            self.read(&rest).await?;
        }
        if self.whole && !cut {
            return Ok(());
        }
        self.store().await?;
        Err(Error::FileCut(self.line))
    }

    /// Stores what has gathered, and says so.
    async fn store(&mut self) -> Result<(), Error> {
        let keys = std::mem::take(&mut self.batch);
        let Some(peppers) = self.peppers.clone().filter(|_| !keys.is_empty()) else { return Ok(()) };
        let (count, here) = (keys.len() as u64, self.service.ring.realm());
        let elsewhere = keys.iter().filter(|key| key.key.realm != here).count() as u64;
        let now = self.service.now()?;
        let imported = self.service.upkeep.import(keys, peppers, &self.actor, now).await.map_err(Error::not_done)?;
        imported.record.iter().for_each(|record| self.service.events.publish(Event::Stored(record)));
        // An import tells no revision; where the store does not tell the other replicas either, they poll within a second.
        self.service.notifier.signal().wake();
        let skipped = imported.kept.len() as u64;
        self.so_far.keys += count;
        self.so_far.imported += imported.taken;
        self.so_far.identical += count - imported.taken - skipped;
        self.so_far.skipped += skipped;
        self.so_far.skipped_ids = imported.kept;
        self.so_far.other_realm += elsewhere;
        // A client that hung up sends no more, either; what it sent is done.
        let _ = self.reports.send(Ok(self.so_far.clone())).await;
        Ok(())
    }

    fn bad(&self, error: FieldError) -> Error {
        let place = format!("line {}", self.line);
        let field = if error.field.is_empty() { place } else { format!("{place}: {}", error.field) };
        FieldError { field: field.into(), ..error }.into()
    }
}
