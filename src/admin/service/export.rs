//! Every key that the store knows, as a file. In pages by key id, so that it takes no more memory and holds the store no
//! longer for a million keys than for a thousand, and so that no key that is changed or leaves shifts another past it.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use super::{Error, Operation, Parts, Principal, Service, key_file};
use crate::{
    domain::KeyId,
    store::{KnownPepper, PepperUsage},
};

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

/// Where the export is.
#[derive(Clone, Copy)]
enum Next {
    Header,
    Keys(Option<KeyId>),
    Nothing,
}

impl Service {
    /// The file, as long as somebody takes it.
    pub(crate) async fn export_keys(self: &Arc<Self>, by: &Principal) -> Result<Parts<Exported>, Error> {
        by.authorise(Operation::Export)?;
        self.now()?;
        let export = Arc::new(Export { service: Arc::clone(self), peppers: self.peppers_in_use().await? });
        let parts = stream::try_unfold((Next::Header, 0), move |(next, keys)| {
            let export = Arc::clone(&export);
            async move {
                let part = export.part(next, keys).await?;
                Ok(part.map(|(part, next)| {
                    let keys = part.keys;
                    (part, (next, keys))
                }))
            }
        });
        Ok(parts.boxed())
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

struct Export {
    service: Arc<Service>,
    peppers: Vec<(KnownPepper, bool)>,
}

impl Export {
    async fn part(&self, next: Next, keys: u64) -> Result<Option<(Exported, Next)>, Error> {
        match next {
            Next::Header => {
                let text = key_file::header(self.service.now()?, &self.peppers);
                Ok(Some((Exported { text, keys }, Next::Keys(None))))
            }
            Next::Keys(after) => self.page(after, keys).await.map(Some),
            Next::Nothing => Ok(None),
        }
    }

    async fn page(&self, after: Option<KeyId>, keys: u64) -> Result<(Exported, Next), Error> {
        let page = self.service.store.export_page(after, PAGE).await.map_err(Error::lost)?;
        let Some(last) = page.last().map(|key| key.id) else {
            return Ok((Exported { text: key_file::trailer(keys), keys }, Next::Nothing));
        };
        let mut text = String::new();
        let keys = keys + page.len() as u64;
        for key in &page {
            // The first line names the peppers, and has been told.
            if self.peppers.iter().all(|(named, _)| named.id != key.key.pepper) {
                return Err(Error::Behind);
            }
            text.push_str(&key_file::key(key));
        }
        Ok((Exported { text, keys }, Next::Keys(Some(last))))
    }
}
