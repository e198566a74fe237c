//! A virtual machine that is suspended, acted out by a clock: the monotonic clock stands still meanwhile, and the clock that
//! counts it does not.

use std::{path::Path, process::Command};

use crate::{OWNER, answers, common::postgres::Postgres, ready, reason, replica};

const KEY: &str = "sk-suspended-0123456789";

/// A library for a process whose machine has been suspended for an hour once `file` is there.
fn clock(folder: &Path, file: &Path) -> String {
    const SOURCE: &str = "
        #define _GNU_SOURCE
        #include <time.h>
        #include <unistd.h>
        #include <sys/syscall.h>
        int clock_gettime(clockid_t id, struct timespec *now) {
            int failed = syscall(SYS_clock_gettime, id, now);
            if (!failed && id == CLOCK_BOOTTIME && access(SUSPENDED, F_OK) == 0) now->tv_sec += 3600;
            return failed;
        }";
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, SOURCE).unwrap();
    // The compiler that has made SQLite.
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", &format!("-DSUSPENDED=\"{}\"", file.display()), "-o"])
        .arg(&library)
        .arg(&source);
    assert!(cc.status().unwrap().success());
    format!("LD_PRELOAD={}", library.display())
}

/// What a replica knew before an hour's suspend counted as fresh after it, with the store away. Sabotage: `asleep > 1` as
/// `false` in src/store/replica_state.rs.
#[tokio::test]
async fn what_was_known_before_a_suspend_is_stale_after_it() {
    let (mut postgres, folder) = (Postgres::start().await, tempfile::tempdir().unwrap());
    let suspended = folder.path().join("suspended");
    let preload = clock(folder.path(), &suspended);
    let sentinel = replica(&postgres.database().await).under(&["env", &preload]).start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    postgres.stop().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound", "from memory, for store.stale_grace");
    std::fs::write(&suspended, "").unwrap();
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "store_unavailable");
    ready(&sentinel, false).await;
    postgres.start_again().await;
    answers(&sentinel, KEY, OWNER, "bound").await;
    ready(&sentinel, true).await;
    sentinel.stop().await;
}
