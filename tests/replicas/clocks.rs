//! The store's clock is the only one: replicas whose own clocks are minutes apart agree on every moment.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    common::{PATIENCE, eventually, postgres::Postgres, redis::Redis},
    fleet::{replica, start, stop},
};

const OWNER: &str = "203.0.113.7";
const SECOND: &str = "198.51.100.9";
const KEY: &str = "sk-timed-0123456789";

/// Short beside what the clocks are wrong by.
const BAN: Duration = Duration::from_secs(8);
/// Each process knows the store's clock by its last poll, and not to the moment: by as much less as that was on its way.
const NEARLY: Duration = Duration::from_secs(4);

/// Seconds by which the processes' clocks are wrong.
const WRONG_BY: [i64; 3] = [-600, 0, 600];

/// A library that makes the wall clock of a process wrong; the monotonic clock stays, as on a real machine.
fn wrong_clock(folder: &Path, seconds: i64) -> PathBuf {
    const SOURCE: &str = "
        #define _GNU_SOURCE
        #include <time.h>
        #include <unistd.h>
        #include <sys/syscall.h>
        int clock_gettime(clockid_t id, struct timespec *now) {
            int failed = syscall(SYS_clock_gettime, id, now);
            if (!failed && id == CLOCK_REALTIME) now->tv_sec += (WRONG_BY);
            return failed;
        }";
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, SOURCE).unwrap();
    // The compiler that has made SQLite.
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", &format!("-DWRONG_BY={seconds}"), "-o"]).arg(&library).arg(&source);
    assert!(cc.status().unwrap().success());
    library
}

/// How far the clock that a process writes its log by is from ours, in seconds.
fn off_by(log: &str) -> i64 {
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    let logged = humantime::parse_rfc3339(line["timestamp"].as_str().unwrap()).unwrap();
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    seconds(logged) - seconds(SystemTime::UNIX_EPOCH + SystemTime::UNIX_EPOCH.elapsed().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_whose_clocks_are_minutes_apart_agree_on_every_moment() {
    let (postgres, redis, folder) = (Postgres::shared().await, Redis::start().await, tempfile::tempdir().unwrap());
    let url = postgres.database().await;
    let home = |seconds| {
        let here = folder.path().join(format!("{seconds}"));
        std::fs::create_dir(&here).unwrap();
        let preload = format!("LD_PRELOAD={}", wrong_clock(&here, seconds).display());
        let home = replica(&url, Some(&redis.url())).under(&["/usr/bin/env", &preload]);
        home.set("binding.max_networks", "2").set("binding.learn_window", "\"5m\"")
    };
    let replicas = start(WRONG_BY.map(home)).await;
    for (replica, seconds) in replicas.iter().zip(WRONG_BY) {
        // The log was begun some time ago.
        let off = off_by(&replica.sentinel.log());
        assert!(
            (seconds - PATIENCE.as_secs() as i64..=seconds).contains(&off),
            "{off}: the clock of this process is not wrong by {seconds}"
        );
    }
    let (slow, right, fast) = (&replicas[0], &replicas[1], &replicas[2]);

    // A learn window of five minutes, opened by a clock that is ten ahead and asked for by one that is ten behind.
    assert_eq!(fast.reason(KEY, OWNER).await, "first_use");
    assert_eq!(slow.reason(KEY, SECOND).await, "network_added");
    assert_eq!(right.reason(KEY, SECOND).await, "bound");

    // A short ban made with a clock that is ahead does not last longer elsewhere, and with one that is behind it does
    // not end at once.
    for banning in [fast, slow] {
        let began = Instant::now();
        let banned = banning.admin.ban_for(KEY, BAN.as_millis() as i64).await.unwrap();
        for replica in &replicas {
            eventually("it has heard of the ban", async || {
                (replica.applied_revision().await >= banned.revision).then_some(())
            })
            .await;
            let reason = replica.reason(KEY, OWNER).await;
            assert!(reason == "key_banned" || began.elapsed() > NEARLY, "{reason}");
        }
        for replica in &replicas {
            eventually("the ban is over", async || (replica.reason(KEY, OWNER).await == "bound").then_some(())).await;
            assert!(began.elapsed() > NEARLY, "the ban was over after {:?}", began.elapsed());
        }
    }

    // Nothing that they wrote is of another time than the database's.
    let far = "SELECT count(*) FROM bindings WHERE abs(extract(epoch FROM clock_timestamp() - created_at)) > 300
        OR used_at > clock_timestamp() + interval '5 minutes'";
    assert_eq!(postgres.query(&url, far).await, [["0"]]);
    let used = "SELECT used_at FROM bindings WHERE used_at > clock_timestamp() - interval '5 minutes'";
    eventually("a use is written", async || (postgres.query(&url, used).await.len() == 1).then_some(())).await;
    let far = "SELECT kind, last_at FROM audit WHERE abs(extract(epoch FROM clock_timestamp() - last_at)) > 300";
    assert_eq!(postgres.query(&url, far).await, [[""; 0]; 0]);
    assert_eq!(postgres.query(&url, "SELECT count(*) FROM audit WHERE kind = 'ban'").await, [["2"]]);
    stop(replicas).await;
}
