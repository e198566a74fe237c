//! A backup restored under a running process: the restored store assigns the same revisions again, to other changes.

use std::{sync::Arc, time::Duration};

use key_ip_sentinel::{
    domain::{Failsafe, Reason},
    store::{Action, Revision},
};
use rusqlite::Connection;

use super::{
    ATTACKER, BAN, OWNER, Process,
    common::{
        backup::{back_up, restore},
        eventually, sentinel,
    },
};

#[tokio::test]
async fn the_next_ban_binds_although_its_revision_was_there_before() {
    let process = Process::on_sqlite(Failsafe::Closed).await;
    let (mut database, backup) =
        (Connection::open(process.folder().join("sentinel.db")).unwrap(), process.folder().join("backup.db"));
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    process.change("other-key", BAN).await;
    back_up(&database, &backup);
    let last = process.change("other-key", BAN).await;
    process.poll(Duration::ZERO).await;

    restore(&mut database, &backup);
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::Bound);
    assert_eq!(process.change("some-key", BAN).await, last, "the restored store takes the same revision again");
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::KeyBanned);
}

/// `as_of` of the reading is above every revision that the restored store has.
#[tokio::test]
async fn a_reader_does_not_decide_by_what_it_read_before_the_restore() {
    let process = Arc::new(Process::on_sqlite(Failsafe::Closed).await);
    let (mut database, backup) =
        (Connection::open(process.folder().join("sentinel.db")).unwrap(), process.folder().join("backup.db"));
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    process.change("some-key", BAN).await;
    back_up(&database, &backup);
    process.change("some-key", Action::Unban).await;
    process.poll(Duration::ZERO).await;

    process.store.reads.close();
    let reader = tokio::spawn({
        let process = Arc::clone(&process);
        async move { process.ask("some-key", OWNER, Duration::ZERO).await }
    });
    process.store.reads.arrival().await;
    restore(&mut database, &backup);
    process.poll(Duration::ZERO).await;
    process.store.reads.open();
    assert_eq!(reader.await.unwrap(), Reason::KeyBanned);
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::KeyBanned);
}

/// A first use takes no revision, so the revision alone does not show this restore.
#[tokio::test]
async fn a_restored_store_of_the_same_revision_empties_the_cache() {
    let process = Process::on_sqlite(Failsafe::Closed).await;
    let (mut database, backup) =
        (Connection::open(process.folder().join("sentinel.db")).unwrap(), process.folder().join("backup.db"));
    process.poll(Duration::ZERO).await;
    for _ in 0..2 {
        back_up(&database, &backup);
        assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
        assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::Bound);
        restore(&mut database, &backup);
        process.poll(Duration::ZERO).await;
        std::fs::remove_file(&backup).unwrap();
    }
    assert_eq!(process.ask("some-key", ATTACKER, Duration::ZERO).await, Reason::FirstUse, "the key has no owner");
}

#[tokio::test]
async fn a_running_server_follows_the_restored_store() {
    // The copy is of the file.
    let sentinel = sentinel().on_sqlite().start().await;
    let admin = sentinel.admin().await;
    let (mut database, backup) = (sentinel.home().open_database(), sentinel.home().path().join("backup.db"));
    let ask = async |key: &str| sentinel.check().key(key).from(OWNER).send().await.reason().to_owned();
    assert_eq!(ask("sk-0123456789").await, "first_use");
    admin.ban("sk-other-0123456789").await.unwrap();
    back_up(&database, &backup);
    assert_eq!(ask("sk-young-0123456789").await, "first_use");
    let last = admin.ban("sk-other-0123456789").await.unwrap().revision;

    restore(&mut database, &backup);
    let at = Revision(last - 1);
    eventually("the server has followed the store back", async || {
        (Revision(admin.status().await.unwrap().applied_revision) == at).then_some(())
    })
    .await;
    assert_eq!(ask("sk-0123456789").await, "bound");
    assert_eq!(ask("sk-young-0123456789").await, "first_use", "the restored store does not know its owner");
    let ban = admin.ban("sk-0123456789").await.unwrap();
    assert_eq!((ban.revision, ban.in_effect), (last, true));
    assert_eq!(ask("sk-0123456789").await, "key_banned");
    sentinel.stop().await;
}
