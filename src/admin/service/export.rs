//! Exports every key that the store knows as a file. Reads pages by key id, so that memory and the time of a store
//! query do not grow with the number of keys, and so that a key is never skipped because another one was changed or
//! deleted.

use std::sync::Arc;

use async_stream::try_stream;

use super::{Error, Operation, OutcomeStream, Principal, Service, key_file};
use crate::store::{ExportedKey, KnownPepper, PepperUsage};

/// Keys in a page.
const PAGE: u32 = 500;

/// The next lines of the file.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    /// The lines.
    pub(crate) text: String,
    /// The number of keys so far.
    pub(crate) keys: u64,
}

impl Service {
    /// The file, as a stream of its lines. Dropping the stream ends the export.
    pub(crate) async fn export_keys(self: &Arc<Self>, by: &Principal) -> Result<OutcomeStream<Exported>, Error> {
        by.authorise(Operation::Export)?;
        let (service, now) = (Arc::clone(self), self.now()?);
        let peppers = self.peppers_in_use().await?;
        Ok(Box::pin(try_stream! {
            let (mut after, mut keys) = (None, 0);
            yield Exported { text: key_file::header(now, &peppers), keys };
            loop {
                let page = service.store.export_page(after, PAGE).await.map_err(Error::read_failed)?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                keys += page.len() as u64;
                yield Exported { text: lines(&page, &peppers)?, keys };
            }
            yield Exported { text: key_file::trailer(keys), keys };
        }))
    }

    /// The peppers that keys are under, and the active one. Fails if one is not listed, because its check value comes
    /// from the secret.
    async fn peppers_in_use(&self) -> Result<Vec<(KnownPepper, bool)>, Error> {
        let rows = self.store.peppers().await.map_err(Error::read_failed)?;
        let needed = rows.into_iter().filter(|row| row.active || row.usage != PepperUsage::default());
        let named = needed.map(|row| match self.ring.peppers().find(&row.id) {
            Some(pepper) => Ok((KnownPepper { id: row.id, check_value: *pepper.check_value() }, row.active)),
            None => Err(Error::UnlistedPepper(row.id)),
        });
        named.collect()
    }
}

/// Fails on a key whose pepper was activated after the first line, which names the peppers, was sent.
fn lines(page: &[ExportedKey], peppers: &[(KnownPepper, bool)]) -> Result<String, Error> {
    let is_named = |key: &ExportedKey| peppers.iter().any(|(named, _)| named.id == key.key.pepper);
    page.iter().map(|key| if is_named(key) { Ok(key_file::key(key)) } else { Err(Error::Behind) }).collect()
}
