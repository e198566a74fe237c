//! Every key that the store knows, as a file. In pages by key id, so that it takes no more memory and holds the store no
//! longer for a million keys than for a thousand, and so that no key that is changed or leaves shifts another past it.

use std::sync::Arc;

use async_stream::try_stream;

use super::{Error, Operation, Parts, Principal, Service, key_file};
use crate::store::{ExportedKey, KnownPepper, PepperUsage};

/// Keys read at once.
const PAGE: u32 = 500;

/// Lines of the file, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    /// The lines.
    pub(crate) text: String,
    /// How many keys there were so far.
    pub(crate) keys: u64,
}

impl Service {
    /// The file, as long as somebody takes it.
    pub(crate) async fn export_keys(self: &Arc<Self>, by: &Principal) -> Result<Parts<Exported>, Error> {
        by.authorise(Operation::Export)?;
        let (service, now) = (Arc::clone(self), self.now()?);
        let peppers = self.peppers_in_use().await?;
        Ok(Box::pin(try_stream! {
            let (mut after, mut keys) = (None, 0);
            yield Exported { text: key_file::header(now, &peppers), keys };
            loop {
                let page = service.store.export_page(after, PAGE).await.map_err(Error::lost)?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                keys += page.len() as u64;
                yield Exported { text: lines(&page, &peppers)?, keys };
            }
            yield Exported { text: key_file::trailer(keys), keys };
        }))
    }

    /// Those that keys are under, and the active one. What a process runs with it lists: each digest of theirs it can
    /// make.
    async fn peppers_in_use(&self) -> Result<Vec<(KnownPepper, bool)>, Error> {
        let rows = self.store.peppers().await.map_err(Error::lost)?;
        let needed = rows.into_iter().filter(|row| row.active || row.usage != PepperUsage::default());
        let named = needed.map(|row| match self.ring.peppers().find(&row.id) {
            Some(pepper) => Ok((KnownPepper { id: row.id, check_value: *pepper.check_value() }, row.active)),
            None => Err(Error::Unlisted(row.id)),
        });
        named.collect()
    }
}

/// The first line names the peppers, and has been sent: a key under a later one ends the export.
fn lines(page: &[ExportedKey], peppers: &[(KnownPepper, bool)]) -> Result<String, Error> {
    let is_named = |key: &ExportedKey| peppers.iter().any(|(named, _)| named.id == key.key.pepper);
    page.iter().map(|key| if is_named(key) { Ok(key_file::key(key)) } else { Err(Error::Behind) }).collect()
}
