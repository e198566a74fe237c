//! Takes in a file of keys as it comes, a batch in a transaction.

use std::sync::Arc;

use serde::de::IgnoredAny;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{
    Operations, api,
    fields::Fault,
    key_file::{self, Line},
    operations::not_done,
    request::invalid,
};
use crate::{
    events::Event,
    store::{ExportedKey, KnownPepper},
};

/// Keys taken in at once: first uses wait for the transaction.
const BATCH: usize = 500;

/// No key's line is longer, by far; what is no file of ours may be one endless line.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// Answers that may wait for the client to take them.
const ANSWERS: usize = 16;

/// The import, in a task of its own: what a client that hangs up has sent is stored and logged, or not read.
pub(super) fn import(
    operations: Arc<Operations>,
    actor: String,
    mut chunks: Streaming<api::ImportKeysRequest>,
) -> ReceiverStream<Result<api::ImportKeysResponse, Status>> {
    let (answers, stream) = mpsc::channel(ANSWERS);
    tokio::spawn(async move {
        let mut import = Import::new(operations, actor, answers.clone());
        let ended = loop {
            let taken = match chunks.message().await {
                Ok(Some(message)) => import.take(&message.chunk).await,
                Ok(None) => break import.end().await,
                // The client is gone.
                Err(_) => return,
            };
            if taken.is_err() {
                break taken;
            }
        };
        if let Err(status) = ended {
            // Nobody listens any more: nobody needs to be told.
            let _ = answers.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream)
}

struct Import {
    operations: Arc<Operations>,
    actor: String,
    answers: mpsc::Sender<Result<api::ImportKeysResponse, Status>>,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    /// Lines that came.
    line: u64,
    /// What the first line named.
    peppers: Option<Vec<KnownPepper>>,
    batch: Vec<ExportedKey>,
    /// The last line came.
    whole: bool,
    so_far: api::ImportKeysResponse,
}

impl Import {
    fn new(
        operations: Arc<Operations>,
        actor: String,
        answers: mpsc::Sender<Result<api::ImportKeysResponse, Status>>,
    ) -> Self {
        let so_far = api::ImportKeysResponse::default();
        Self {
            operations,
            actor,
            answers,
            rest: Vec::new(),
            line: 0,
            peppers: None,
            batch: Vec::new(),
            whole: false,
            so_far,
        }
    }

    async fn take(&mut self, chunk: &[u8]) -> Result<(), Status> {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if self.rest.len() > MAX_LINE {
                self.line += 1;
                return Err(self.bad(&Fault::new("", "is longer than 8 MiB")));
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                self.read(&line).await?;
            }
        }
        Ok(())
    }

    async fn read(&mut self, line: &[u8]) -> Result<(), Status> {
        self.line += 1;
        let Some(peppers) = &self.peppers else {
            let peppers = key_file::read_header(line).map_err(|fault| self.bad(&fault))?;
            self.check(&peppers)?;
            self.peppers = Some(peppers);
            return Ok(());
        };
        if self.whole {
            return Err(self.bad(&Fault::new("", "comes after the last line, which counts the keys")));
        }
        match key_file::read(line, peppers).map_err(|fault| self.bad(&fault))? {
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
                    return Err(self.bad(&Fault::new("keys", why)));
                }
                self.whole = true;
            }
        }
        Ok(())
    }

    /// What is under a pepper that this server does not list it could not find again, and whoever comes first would own
    /// it.
    fn check(&self, peppers: &[KnownPepper]) -> Result<(), Status> {
        let listed = self.operations.ring.peppers();
        for KnownPepper { id, check_value } in peppers {
            let why = match listed.find(id) {
                Some(found) if found.check_value() == check_value => continue,
                Some(_) => format!("{id} is the name of another secret here"),
                None => format!(
                    "this file's keys are under pepper {id}, but this server lists {}; list the secret of {id} in \
                     pepper.secrets of every server as well, restart them, and import again",
                    listed.names()
                ),
            };
            return Err(Status::failed_precondition(format!("line 1: peppers: {why}. Nothing was imported")));
        }
        Ok(())
    }

    /// The file is over.
    async fn end(&mut self) -> Result<(), Status> {
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
        Err(Status::failed_precondition(format!(
            "the file ends after line {}, before the line that counts its keys: it was cut. What came is imported; \
             import the whole file, and the rest will be as well",
            self.line
        )))
    }

    /// Stores what has gathered, and says so.
    async fn store(&mut self) -> Result<(), Status> {
        let keys = std::mem::take(&mut self.batch);
        let Some(peppers) = self.peppers.clone().filter(|_| !keys.is_empty()) else { return Ok(()) };
        let (count, here) = (keys.len() as u64, self.operations.ring.realm());
        let elsewhere = keys.iter().filter(|key| key.key.realm != here).count() as u64;
        let now = self.operations.now()?;
        let imported = self.operations.upkeep.import(keys, peppers, &self.actor, now).await;
        let imported = imported.map_err(not_done).map_err(Status::from)?;
        imported.record.iter().for_each(|record| self.operations.events.publish(Event::Stored(record)));
        // An import tells no revision; where the store does not tell the other replicas either, they poll within a second.
        self.operations.notifier.signal().wake();
        let skipped = imported.kept.len() as u64;
        self.so_far.keys += count;
        self.so_far.imported += imported.taken;
        self.so_far.identical += count - imported.taken - skipped;
        self.so_far.skipped += skipped;
        self.so_far.skipped_key_ids = imported.kept.iter().map(ToString::to_string).collect();
        self.so_far.other_realm += elsewhere;
        // A client that hung up sends no more, either; what it sent is done.
        let _ = self.answers.send(Ok(self.so_far.clone())).await;
        Ok(())
    }

    fn bad(&self, fault: &Fault) -> Status {
        invalid(&format!("line {}", self.line), fault)
    }
}
