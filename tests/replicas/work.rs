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

/// Claims, uses, steals, bans, unbans and gives away until it is told to stop. Every answer is the one that is right.
pub(crate) async fn work(replicas: &[Replica], client: usize, done: &AtomicUsize, ended: watch::Receiver<()>) {
    let mut round = 0;
    while ended.has_changed().is_ok() {
        let key = format!("sk-upgrade-{client}-{round:05}-0123456789");
        let (one, other) = (&replicas[round % 2], &replicas[(round + 1) % 2]);
        assert_eq!(one.reason(&key, OWNER).await, "first_use", "{key}");
        assert_eq!(other.reason(&key, OWNER).await, "bound", "{key}");
        assert_eq!(other.reason(&key, THIEF).await, "ip_mismatch", "{key}");
        let banned = one.admin.ban(&key).await.unwrap();
        assert_eq!(one.reason(&key, OWNER).await, "key_banned", "{key}");
        hears(other, banned.revision).await;
        assert_eq!(other.reason(&key, OWNER).await, "key_banned", "{key}");
        other.admin.unban(&key).await.unwrap();
        assert_eq!(other.reason(&key, OWNER).await, "bound", "{key}");
        let given = one.admin.unbind(&key, Some(Mode::To(HEIR.to_owned()))).await.unwrap();
        hears(other, given.revision).await;
        for replica in [one, other] {
            assert_eq!(replica.reason(&key, OWNER).await, "ip_mismatch", "{key}");
            assert_eq!(replica.reason(&key, HEIR).await, "bound", "{key}");
        }
        done.fetch_add(1, Ordering::Relaxed);
        round += 1;
    }
}
