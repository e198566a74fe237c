//! What two replicas of one store are asked to do, without a pause.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::{
    common::{admin::proto::unbind_request::Mode, eventually},
    fleet::Replica,
};

pub(crate) const OWNER: &str = "203.0.113.7";
const ATTACKER: &str = "198.51.100.66";
const HEIR: &str = "192.0.2.200";

async fn hears(replica: &Replica, revision: i64) {
    let heard = async || (replica.applied_revision().await >= revision).then_some(());
    eventually("the other has heard of it", heard).await;
}

/// Expects this reason, as soon as the store has time: a busy machine may need several tries.
async fn expect_reason(replica: &Replica, key: &str, from: &str, expected: &str) {
    assert_eq!(replica.decision(key, from).await.0.reason(), expected, "{key}");
}

/// Claims, uses, steals, bans, unbans and gives away until it is stopped. Every answer must be right.
pub(crate) async fn work(replicas: &[Replica], client: usize, done: &AtomicUsize, ended: watch::Receiver<()>) {
    let mut round = 0;
    while ended.has_changed().is_ok() {
        let key = format!("sk-upgrade-{client}-{round:05}-0123456789");
        let (one, other) = (&replicas[round % 2], &replicas[(round + 1) % 2]);
        assert!(["first_use", "bound"].contains(&one.decision(&key, OWNER).await.0.reason()), "{key}");
        expect_reason(other, &key, OWNER, "bound").await;
        expect_reason(other, &key, ATTACKER, "ip_mismatch").await;
        let banned = one.admin.ban(&key).await.unwrap();
        expect_reason(one, &key, OWNER, "key_banned").await;
        hears(other, banned.revision).await;
        expect_reason(other, &key, OWNER, "key_banned").await;
        other.admin.unban(&key).await.unwrap();
        expect_reason(other, &key, OWNER, "bound").await;
        let given = one.admin.unbind(&key, Some(Mode::To(HEIR.to_owned()))).await.unwrap();
        hears(other, given.revision).await;
        for replica in [one, other] {
            expect_reason(replica, &key, OWNER, "ip_mismatch").await;
            expect_reason(replica, &key, HEIR, "bound").await;
        }
        done.fetch_add(1, Ordering::Relaxed);
        round += 1;
    }
}
