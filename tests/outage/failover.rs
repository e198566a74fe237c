//! What stays behind of a server that was the primary, or that could not be written to for a while: nothing.
//!
//! Pools keep a connection for as long as it works. One that had come to a standby worked for ever: it answered, and each
//! ban was obeyed nowhere.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    ATTACKER, OWNER, answers,
    common::{Sentinel, cut::Cut, eventually, postgres::Postgres},
    is_ready, ready, reason, replica,
};

const BANNED: &str = "sk-banned-0123456789abcdef";

/// First uses of new keys, enough to use every connection; returns the last of them.
async fn first_uses_pass(sentinel: &Sentinel, name: &str) -> String {
    let mut number = 0;
    eventually("twenty first uses in a row", async || {
        let mut key = String::new();
        for _ in 0..20 {
            number += 1;
            key = format!("sk-{name}-{number:06}-0123456789");
            if reason(sentinel, &key, OWNER).await != "first_use" {
                return None;
            }
        }
        Some(key)
    })
    .await
}

/// As many at once as there are connections for decisions.
async fn use_all_connections(sentinel: &Sentinel, name: &str) {
    let keys: Vec<_> = (0..8).map(|number| format!("sk-{name}-{number}-0123456789")).collect();
    futures_util::future::join_all(keys.iter().map(|key| reason(sentinel, key, OWNER))).await;
}

#[tokio::test]
async fn a_database_that_could_only_be_read_for_a_while_is_written_to_again() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let sentinel = replica(&url).start().await;
    assert_eq!(reason(&sentinel, BANNED, OWNER).await, "first_use");
    postgres.read_only(&url, true).await;
    postgres.end_sessions(&url).await;
    for round in 0..5 {
        use_all_connections(&sentinel, &format!("read-only-{round}")).await;
    }
    sentinel.admin().await.ban(BANNED).await.unwrap_err();
    postgres.read_only(&url, false).await;
    first_uses_pass(&sentinel, "written").await;
    sentinel.admin().await.ban(BANNED).await.unwrap();
    answers(&sentinel, BANNED, OWNER, "key_banned").await;
}

#[tokio::test]
async fn a_restarted_primary_leaves_no_connection_at_its_standby() {
    let mut primary = Postgres::start().await;
    let url = primary.database().await;
    let standby = primary.standby().await;
    let both = url.replace(&primary.address().to_string(), &format!("{},{}", primary.address(), standby.address()));
    let sentinel = replica(&both).start().await;
    assert_eq!(reason(&sentinel, BANNED, OWNER).await, "first_use");
    primary.stop().await;
    for round in 0..5 {
        use_all_connections(&sentinel, &format!("stopped-{round}")).await;
    }
    primary.start_again().await;
    first_uses_pass(&sentinel, "restarted").await;
    sentinel.admin().await.ban(BANNED).await.unwrap();
    answers(&sentinel, BANNED, OWNER, "key_banned").await;
    assert!(is_ready(&sentinel).await);
}

/// The old primary still runs, and a poll that stayed with it would never hear of what happens at the new one.
#[tokio::test]
async fn an_address_that_leads_to_a_promoted_standby_leaves_no_connection_at_the_old_primary() {
    let primary = Postgres::start().await;
    let url = primary.database().await;
    let standby = primary.standby().await;
    let mut address = Cut::before(primary.address()).await;
    let sentinel = replica(&address.through(&url)).start().await;
    assert_eq!(reason(&sentinel, BANNED, OWNER).await, "first_use");
    standby.promote().await;
    address.lead_to(standby.address());

    let polls = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND query NOT LIKE '%clock_timestamp(),%'";
    primary.query(&url, polls).await;
    let used = first_uses_pass(&sentinel, "promoted").await;
    let other = replica(&url.replace(&primary.address().to_string(), &standby.address().to_string())).start().await;
    other.admin().await.ban(BANNED).await.unwrap();
    answers(&sentinel, BANNED, OWNER, "key_banned").await;
    assert_eq!(reason(&other, &used, ATTACKER).await, "ip_mismatch");
    ready(&sentinel, true).await;

    address.lead_to(primary.address());
    standby.end_sessions(&url).await;
    for round in 0..5 {
        use_all_connections(&sentinel, &format!("former-{round}")).await;
    }
    let claimed = "SELECT count(*) FROM bindings WHERE created_at > now() - interval '1 hour'";
    assert_eq!(primary.query(&url, claimed).await, [["1"]], "only the key that was used before the promotion");
    address.lead_to(standby.address());
    first_uses_pass(&sentinel, "found-again").await;
}

/// A connection attempt to a silent host would leave no time for the next host, and each attempt begins with the silent
/// one.
#[tokio::test]
async fn a_first_host_that_drops_packets_is_passed_over() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let dead = Dead::host().await;
    let both = url.replace(&postgres.address().to_string(), &format!("{},{}", dead.address, postgres.address()));
    let sentinel = replica(&both).set("check_deadline", "\"2s\"").start().await;
    ready(&sentinel, true).await;
    first_uses_pass(&sentinel, "passed-over").await;
    sentinel.admin().await.ban(BANNED).await.unwrap();
    answers(&sentinel, BANNED, OWNER, "key_banned").await;
}

/// An address whose server takes no connection and refuses none.
struct Dead {
    address: SocketAddr,
    _queue: (TcpListener, Vec<TcpStream>),
}

impl Dead {
    async fn host() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let (address, mut waiting) = (listener.local_addr().unwrap(), Vec::new());
        // Until its queue is full.
        while let Ok(connected) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            waiting.push(connected.unwrap());
            assert!(waiting.len() < 100, "the queue has no end");
        }
        Self { address, _queue: (listener, waiting) }
    }
}
