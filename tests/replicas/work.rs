//! What two replicas of one store are asked to do, without a pause.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::{
    common::{admin::proto::unbind_request::Mode, eventually},
    fleet::Replica,
};

pub(crate) const OWNER: &str = "203.0.113.7";
const THIEF: &str = "198.51.100.66";
const HEIR: &str = "192.0.2.200";

async fn hears(replica: &Replica, revision: i64) {
    let heard = async || (replica.applied_revision().await >= revision).then_some(());
    eventually("the other has heard of it", heard).await;
}

/// What is told as soon as the store has time, which a busy machine's may not at once.
async fn told(replica: &Replica, key: &str, from: &str, expected: &str) {
    assert_eq!(replica.decision(key, from).await.0.reason(), expected, "{key}");
}

/// Claims, uses, steals, bans, unbans and gives away until it is told to stop. Every answer is the one that is right.
pub(crate) async fn work(replicas: &[Replica], client: usize, done: &AtomicUsize, ended: watch::Receiver<()>) {
    let mut round = 0;
    while ended.has_changed().is_ok() {
        let key = format!("sk-upgrade-{client}-{round:05}-0123456789");
        let (one, other) = (&replicas[round % 2], &replicas[(round + 1) % 2]);
        assert!(["first_use", "bound"].contains(&one.decision(&key, OWNER).await.0.reason()), "{key}");
        told(other, &key, OWNER, "bound").await;
        told(other, &key, THIEF, "ip_mismatch").await;
        let banned = one.admin.ban(&key).await.unwrap();
        told(one, &key, OWNER, "key_banned").await;
        hears(other, banned.revision).await;
        told(other, &key, OWNER, "key_banned").await;
        other.admin.unban(&key).await.unwrap();
        told(other, &key, OWNER, "bound").await;
        let given = one.admin.unbind(&key, Some(Mode::To(HEIR.to_owned()))).await.unwrap();
        hears(other, given.revision).await;
        for replica in [one, other] {
            told(replica, &key, OWNER, "ip_mismatch").await;
            told(replica, &key, HEIR, "bound").await;
        }
        done.fetch_add(1, Ordering::Relaxed);
        round += 1;
    }
}
