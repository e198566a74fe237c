//! Imports a file of keys while it arrives, in batches of one transaction each.

use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use serde::de::IgnoredAny;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Error, FieldError, Operation, OutcomeStream, Principal, Service,
    key_file::{self, Line},
};
use crate::{
    domain::KeyId,
    events::Event,
    store::{ExportedKey, KnownPepper},
};

/// Keys in a batch. A small number, because first uses wait for the transaction.
const BATCH: usize = 500;

/// The longest line, in bytes; far longer than any key's line. Limits the memory for a file without line ends.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// Reports that may wait for the client.
const REPORTS: usize = 16;

/// The progress of an import. Counts since its beginning.
#[derive(Clone, Default)]
pub(crate) struct Imported {
    /// Keys processed.
    pub(crate) keys: u64,
    /// Of these, the keys that were new.
    pub(crate) imported: u64,
    /// Of these, the keys that the store had with the same facts, except for times of use.
    pub(crate) identical: u64,
    /// Of these, the keys that the store had with other facts, which were not changed.
    pub(crate) skipped: u64,
    /// The ids of the keys that were skipped since the last report.
    pub(crate) skipped_ids: Vec<KeyId>,
    /// Of these, the keys of another `credentials.realm` than this server's.
    pub(crate) other_realm: u64,
}

impl Service {
    /// Imports the file in its own task, and reports each batch when it is stored. If the client disconnects, which an
    /// error in `chunks` indicates, every batch is either stored and published, or not stored.
    pub(crate) fn import_keys<C: AsRef<[u8]> + Send, E: Send>(
        self: &Arc<Self>,
        by: &Principal,
        mut chunks: impl Stream<Item = Result<C, E>> + Send + Unpin + 'static,
    ) -> Result<OutcomeStream<Imported>, Error> {
        by.authorise(Operation::Import)?;
        let (reports, stream) = mpsc::channel(REPORTS);
        let mut import = Import::new(Arc::clone(self), by.to_string(), reports.clone());
        tokio::spawn(async move {
            let result = loop {
                let result = match chunks.next().await {
                    Some(Ok(chunk)) => import.take(chunk.as_ref()).await,
                    None => break import.end().await,
                    Some(Err(_)) => return,
                };
                if result.is_err() {
                    break result;
                }
            };
            if let Err(error) = result {
                // Fails only if the client has disconnected.
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
    /// The beginning of a line whose end has not arrived.
    partial_line: Vec<u8>,
    /// The number of the current line.
    line: u64,
    /// The peppers that the first line names; `None` before it was read.
    peppers: Option<Vec<KnownPepper>>,
    batch: Vec<ExportedKey>,
    /// Whether the last line was read.
    is_complete: bool,
    progress: Imported,
}

impl Import {
    fn new(service: Arc<Service>, actor: String, reports: mpsc::Sender<Result<Imported, Error>>) -> Self {
        let (partial_line, batch, progress) = (Vec::new(), Vec::new(), Imported::default());
        Self { service, actor, reports, partial_line, line: 0, peppers: None, batch, is_complete: false, progress }
    }

    async fn take(&mut self, chunk: &[u8]) -> Result<(), Error> {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.partial_line.extend_from_slice(piece);
            if self.partial_line.len() > MAX_LINE {
                self.line += 1;
                return Err(self.in_line(FieldError::new("", "is longer than 8 MiB")));
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial_line);
                self.read(&line).await?;
            }
        }
        Ok(())
    }

    async fn read(&mut self, line: &[u8]) -> Result<(), Error> {
        self.line += 1;
        let Some(peppers) = &self.peppers else {
            let peppers = key_file::read_header(line).map_err(|error| self.in_line(error))?;
            self.check_peppers(&peppers)?;
            self.peppers = Some(peppers);
            return Ok(());
        };
        if self.is_complete {
            return Err(self.in_line(FieldError::new("", "comes after the last line, which counts the keys")));
        }
        match key_file::read(line, peppers).map_err(|error| self.in_line(error))? {
            Line::Key(key) => {
                self.batch.push(*key);
                if self.batch.len() == BATCH {
                    self.store().await?;
                }
            }
            Line::End(keys) => {
                self.store().await?;
                if keys != self.progress.keys {
                    let why = format_args!("is {keys}, but the file has {} keys", self.progress.keys);
                    return Err(self.in_line(FieldError::new("keys", why)));
                }
                self.is_complete = true;
            }
        }
        Ok(())
    }

    /// Every pepper of the file must be listed: otherwise this server would not find the keys under it, and any client
    /// could make their first use.
    fn check_peppers(&self, peppers: &[KnownPepper]) -> Result<(), Error> {
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

    /// Ends the import, when no more chunks arrive.
    async fn end(&mut self) -> Result<(), Error> {
        let rest = std::mem::take(&mut self.partial_line);
        let is_cut = !rest.is_empty() && serde_json::from_slice::<IgnoredAny>(&rest).is_err_and(|error| error.is_eof());
        if !rest.is_empty() && !is_cut {
            // Some tools remove the line end of the last line.
            self.read(&rest).await?;
        }
        if self.is_complete && !is_cut {
            return Ok(());
        }
        if self.peppers.is_none() {
            return Err(Error::NoHeader);
        }
        self.store().await?;
        Err(Error::FileTruncated(self.line))
    }

    /// Stores the batch and reports it.
    async fn store(&mut self) -> Result<(), Error> {
        let keys = std::mem::take(&mut self.batch);
        let Some(peppers) = self.peppers.clone().filter(|_| !keys.is_empty()) else { return Ok(()) };
        let (count, realm) = (keys.len() as u64, self.service.ring.realm());
        let other_realm = keys.iter().filter(|key| key.key.realm != realm).count() as u64;
        let now = self.service.now()?;
        let imported = self.service.upkeep.import(keys, peppers, &self.actor, now).await;
        let imported = imported.map_err(|error| match Error::change_failed(error, &self.service.store_url) {
            error if self.progress.keys > 0 => Error::ImportEnded(Box::new(error)),
            error => error,
        })?;
        imported.record.iter().for_each(|record| self.service.events.publish(Event::Stored(record)));
        // An import has no revision to notify with; the other replicas learn of it by their next poll at the latest.
        self.service.notifier.signal().wake();
        let skipped = imported.kept.len() as u64;
        self.progress.keys += count;
        self.progress.imported += imported.taken;
        self.progress.identical += count - imported.taken - skipped;
        self.progress.skipped += skipped;
        self.progress.skipped_ids = imported.kept;
        self.progress.other_realm += other_realm;
        // Fails only if the client has disconnected; then it sends no more chunks either.
        let _ = self.reports.send(Ok(self.progress.clone())).await;
        Ok(())
    }

    /// `error` with the current line in its field.
    fn in_line(&self, error: FieldError) -> Error {
        let line = format!("line {}", self.line);
        let field = if error.field.is_empty() { line } else { format!("{line}: {}", error.field) };
        FieldError { field: field.into(), ..error }.into()
    }
}
