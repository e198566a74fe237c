//! Every key that the store knows, as a file. In pages by key id, so that it takes no more memory and holds the store no
//! longer for a million keys than for a thousand, and so that no key that is changed or leaves shifts another past it.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tonic::Status;

use super::{
    Operations, api, key_file,
    operations::{Failure, lost},
};
use crate::{
    domain::KeyId,
    store::{KnownPepper, PepperUsage},
};

/// What the method answers with.
pub(super) type Chunks = BoxStream<'static, Result<api::ExportKeysResponse, Status>>;

/// Keys read at once.
const PAGE: u32 = 500;

/// A key may have a line of any length, and gRPC's messages have an end.
const CHUNK: usize = 256 * 1024;

/// Where the export is.
enum Next {
    Header,
    Keys(Option<KeyId>),
    Nothing,
}

/// The file, as long as somebody takes it.
pub(super) async fn export(operations: Arc<Operations>) -> Result<Chunks, Failure> {
    operations.now()?;
    let peppers = peppers(&operations).await?;
    let export = Arc::new(Export { operations, peppers });
    let parts = stream::try_unfold((Next::Header, 0), move |(next, keys)| {
        let export = Arc::clone(&export);
        async move {
            let part = export.part(next, keys).await?;
            Ok::<_, Status>(part.map(|part| (chunks(&part), (part.next, part.keys))))
        }
    });
    Ok(parts.map_ok(|chunks| stream::iter(chunks.into_iter().map(Ok))).try_flatten().boxed())
}

/// Those that keys are under, and the active one. What a process runs with it lists: each digest of theirs it can make.
async fn peppers(operations: &Operations) -> Result<Vec<(KnownPepper, bool)>, Failure> {
    let rows = operations.store.peppers().await.map_err(lost)?;
    let needed = rows.into_iter().filter(|row| row.active || row.left != PepperUsage::default());
    let named = needed.map(|row| match operations.ring.peppers().find(&row.id) {
        Some(pepper) => Ok((KnownPepper { id: row.id, check_value: *pepper.check_value() }, row.active)),
        None => Err(Failure::Unlisted(row.id)),
    });
    named.collect()
}

struct Export {
    operations: Arc<Operations>,
    peppers: Vec<(KnownPepper, bool)>,
}

struct Part {
    text: String,
    /// How many keys there were so far.
    keys: u64,
    next: Next,
}

impl Export {
    async fn part(&self, next: Next, keys: u64) -> Result<Option<Part>, Failure> {
        match next {
            Next::Header => {
                let text = key_file::header(self.operations.now()?, &self.peppers);
                Ok(Some(Part { text, keys, next: Next::Keys(None) }))
            }
            Next::Keys(after) => self.page(after, keys).await.map(Some),
            Next::Nothing => Ok(None),
        }
    }

    async fn page(&self, after: Option<KeyId>, keys: u64) -> Result<Part, Failure> {
        let page = self.operations.store.export_page(after, PAGE).await.map_err(lost)?;
        let Some(last) = page.last().map(|key| key.id) else {
            return Ok(Part { text: key_file::trailer(keys), keys, next: Next::Nothing });
        };
        let mut text = String::new();
        let keys = keys + page.len() as u64;
        for key in &page {
            // The first line names the peppers, and has been told.
            if self.peppers.iter().all(|(named, _)| named.id != key.key.pepper) {
                return Err(Failure::Behind);
            }
            text.push_str(&key_file::key(key));
        }
        Ok(Part { text, keys, next: Next::Keys(Some(last)) })
    }
}

/// The last one tells of all the keys.
fn chunks(part: &Part) -> Vec<api::ExportKeysResponse> {
    let chunks = part.text.as_bytes().chunks(CHUNK);
    let last = chunks.len().saturating_sub(1);
    let message = |(nth, chunk): (usize, &[u8])| {
        let keys = if nth == last { part.keys } else { 0 };
        api::ExportKeysResponse { chunk: chunk.to_vec(), keys }
    };
    chunks.enumerate().map(message).collect()
}
