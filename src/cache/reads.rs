//! The reads that are under way: concurrent readers of one key share one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use futures_util::future::{BoxFuture, Shared};

use super::{
    entry::{Entry, Source},
    lock::locked,
};
use crate::{domain::KeyDigest, store::StoreError};

/// By the first digest, and by where the answer may come from.
pub(super) type Reads = HashMap<(KeyDigest, Source), Loading>;

pub(super) type Loading = Shared<BoxFuture<'static, Result<Loaded, StoreError>>>;

/// A reading, and the window's generation when it began.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) entry: Arc<Entry>,
    pub(super) generation: u64,
}

/// Keeps a read listed until it ends, however it does.
pub(super) struct Listed<'a> {
    pub(super) reads: &'a Mutex<Reads>,
    pub(super) read: (KeyDigest, Source),
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        locked(self.reads).remove(&self.read);
    }
}
