//! Hints by Redis, from one process to another.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::poll;
use key_ip_sentinel::{
    net::redis_link::{Link, Options},
    replication::{ChangeNotifier, ChangeTransport, RedisTransport},
    store::Revision,
    telemetry::metrics::Metrics,
};
use tokio::{task::JoinSet, time::Instant};

use super::common::{cut::Cut, eventually, redis::Redis, within};

/// A process that publishes and receives changes.
struct Process {
    notifier: ChangeNotifier,
    _tasks: JoinSet<()>,
}

impl Process {
    fn new(url: &str) -> Self {
        let options = Options::new(url, None, "sentinel").unwrap();
        let options = options.with_times(Duration::from_secs(2), Duration::from_millis(20));
        let link = Link::new(options, Metrics::new().unwrap().store.redis_up);
        let feed: Arc<dyn ChangeTransport> = Arc::new(RedisTransport::new(Arc::clone(&link)));
        let (notifier, mut tasks) = (ChangeNotifier::new(vec![feed]), JoinSet::new());
        let heard = notifier.clone();
        tasks.spawn(async move { match tokio::join!(link.run(), heard.listen()) {} });
        Self { notifier, _tasks: tasks }
    }

    /// One that listens; that it does is a hint.
    async fn listening(url: &str) -> Self {
        let this = Self::new(url);
        this.hinted().await;
        this
    }

    async fn hinted(&self) {
        within("a hint is given", self.notifier.signal().woken()).await;
    }
}

#[tokio::test]
async fn a_change_is_heard_of_everywhere() {
    let redis = Redis::start().await;
    let processes = [Process::listening(&redis.url()).await, Process::listening(&redis.url()).await];
    let all = async {
        processes[1].hinted().await;
        processes[0].hinted().await;
    };
    let mut all = pin!(all);
    // Again and again: what is published before the publisher is connected is lost.
    eventually("both hear of it", async || {
        processes[0].notifier.notify(Revision(1));
        poll!(&mut all).is_ready().then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_hears_again_looks_at_once() {
    let redis = Redis::start().await;
    let mut cable = Cut::before(redis.address()).await;
    let process = Process::listening(&cable.through(&redis.url())).await;
    for _ in 0..3 {
        cable.refuse().await;
        cable.mend().await;
        process.hinted().await;
    }
}

#[tokio::test]
async fn whatever_is_said_on_the_channel_is_a_hint_and_no_more() {
    let redis = Redis::start().await;
    let process = Process::listening(&redis.url()).await;
    for said in ["", "garbage", "-1", "99999999999999999999999"] {
        assert_eq!(redis.command::<i64>(&["PUBLISH", "sentinel:changes", said]).await, 1);
        process.hinted().await;
    }
}

/// A publisher can cause a poll now and then, not more.
#[tokio::test]
async fn a_flood_of_messages_is_a_trickle_of_hints() {
    let redis = Redis::start().await;
    let process = Process::listening(&redis.url()).await;
    let (began, mut hints) = (Instant::now(), 0);
    let flood = async {
        for _ in 0..20 {
            redis
                .command::<()>(&["EVAL", "for i = 1, 500 do redis.call('PUBLISH', 'sentinel:changes', i) end", "0"])
                .await;
        }
    };
    let count = async {
        loop {
            process.hinted().await;
            hints += 1;
        }
    };
    tokio::select! {
        () = flood => {}
        () = count => {}
    }
    if hints == 0 {
        process.hinted().await;
        hints = 1;
    }
    // Two each 10 ms at most: one for what has come, one for what came while it rested.
    let most = 2 * (began.elapsed().as_millis() / 10 + 2);
    assert!(hints <= most, "{hints} of {most}");
}

#[tokio::test]
async fn publishing_does_not_wait() {
    let mut redis = Redis::start().await;
    let process = Process::listening(&redis.url()).await;
    redis.pause();
    // Each of them would wait as long as Redis hangs.
    for revision in 0..10_000 {
        process.notifier.notify(Revision(revision));
    }
    process.hinted().await;
    redis.resume();
}
