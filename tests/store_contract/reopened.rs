//! A store outlives its process.

use key_ip_sentinel::store::{Action, Claimed, Revision};

use crate::fixture::*;

pub(crate) async fn everything_is_there_after_reopening(place: &impl Backend) {
    let store = place.open().await;
    let [learned, pinned, banned] = ["learned", "pinned", "banned"].map(key);
    bind(&*store, &learned, "203.0.113.1").await;
    bind(&*store, &pinned, "203.0.113.2").await;
    change(&*store, &pinned, Action::HandOver(network("2001:db8::/56"))).await;
    change(&*store, &banned, FOREVER).await;
    let known = (
        store.list(ALL_KEYS).await.unwrap(),
        audit(&*store, WHOLE_AUDIT).await,
        store.counts().await.unwrap(),
        heard(&*store, Revision(0)).await.changed,
        store.lookup(&learned.digest.into()).await.unwrap(),
    );
    drop(store);

    let store = place.open().await;
    let again = (
        store.list(ALL_KEYS).await.unwrap(),
        audit(&*store, WHOLE_AUDIT).await,
        store.counts().await.unwrap(),
        heard(&*store, Revision(0)).await.changed,
        store.lookup(&learned.digest.into()).await.unwrap(),
    );
    assert_eq!(again, known);
    let held = store.claim(claim(&learned, "198.51.100.9", START)).await.unwrap();
    assert_eq!(held, Claimed::Held(known.4));
    assert_eq!(change(&*store, &learned, FOREVER).await.revision, Revision(3), "revisions go on where they ended");
}
