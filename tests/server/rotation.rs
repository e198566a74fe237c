//! Another pepper, on the real server: no owner and no ban is lost on the way, and nothing starts that would lose one.

use std::{collections::HashMap, process::Output};

use crate::common::{Home, PEPPER, Sentinel, admin::proto::Pepper as Row, eventually, grpc::Channel, sentinel, within};
use futures_util::{StreamExt, future::join_all, stream};
use key_ip_sentinel::domain::Pepper;
use tokio::task::JoinHandle;

const NEW: &str = "another-pepper-for-tests-0123456789-abcd";
const THIRD: &str = "a-third-pepper-for-tests-0123456789-abcd";
const OWNER: &str = "203.0.113.7";
const THIEF: &str = "198.51.100.9";

fn id(secret: &str) -> String {
    Pepper::new(secret.as_bytes()).unwrap().id().to_string()
}

fn listing(home: Home, secrets: &[&str]) -> Home {
    home.set("pepper.secrets", &format!("{secrets:?}"))
}

async fn decide(sentinel: &Sentinel, key: &str, from: &str) -> String {
    sentinel.check().key(key).from(from).send().await.reason().to_owned()
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// What it changed is in effect then, which the answer of a busy server does not wait for.
async fn pepper(sentinel: &Sentinel, arguments: &[&str]) -> (Option<i32>, String) {
    let said = said(&sentinel.home().cli(&[&["pepper"], arguments].concat()));
    if said.1.contains("the next poll applies it") {
        sentinel.catches_up().await;
    }
    said
}

async fn row(sentinel: &Sentinel, secret: &str) -> Row {
    let peppers = sentinel.admin().await.peppers().await.unwrap().peppers;
    peppers.into_iter().find(|row| row.id == id(secret)).unwrap()
}

/// Waits until the batch has moved every key away from this pepper.
async fn moved(sentinel: &Sentinel, secret: &str) {
    eventually("every key has moved", async || {
        let left = row(sentinel, secret).await.left.unwrap();
        (left.bindings + left.bans + left.observed == 0).then_some(())
    })
    .await;
}

/// A start that must fail, and why it did.
async fn refused(home: &Home) -> String {
    let mut process = home.spawn();
    let status = within("the start fails", process.wait()).await;
    assert_eq!(status.code(), Some(1));
    process.stderr().lines().last().unwrap().to_owned()
}

const KEYS: usize = 300;
const CLAIMANTS: usize = 16;

fn address(claimant: usize) -> String {
    format!("203.0.113.{}", claimant + 1)
}

/// All claimants of one key at once; who won.
async fn fight(sentinel: &Sentinel, channels: &[Channel], key: String) -> (String, usize) {
    let claims = (0..CLAIMANTS).map(|claimant| {
        let claimant = (claimant + key.len() + usize::from(key.as_bytes()[9])) % CLAIMANTS;
        let check = sentinel.check().key(&key).from(&address(claimant)).over(&channels[claimant % channels.len()]);
        async move { (claimant, check.send().await) }
    });
    let answers = join_all(claims).await;
    let winners: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_allow()).collect();
    let [(winner, answer)] = winners[..] else { panic!("{key}: {} were allowed", winners.len()) };
    assert_eq!(answer.reason(), "first_use");
    assert!(answers.iter().all(|(it, answer)| it == winner || answer.reason() == "ip_mismatch"), "{key}");
    (key, *winner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activation_in_the_middle_of_a_race_leaves_one_owner_of_each_key() {
    let sentinel = listing(sentinel(), &[PEPPER, NEW]).start().await;
    let admin = sentinel.admin().await;
    let channels = join_all((0..4).map(|_| sentinel.connect())).await;
    let fights =
        stream::iter(0..KEYS).map(|number| fight(&sentinel, &channels, format!("sk-race-{number:04}-0123456789")));
    let mut fights = fights.buffer_unordered(8);
    let mut winners = HashMap::new();
    let (mut turning, mut later) = (None::<JoinHandle<_>>, 0);
    while let Some((key, winner)) = fights.next().await {
        winners.insert(key, winner);
        later += usize::from(turning.as_ref().is_some_and(JoinHandle::is_finished));
        if winners.len() == KEYS / 3 {
            let (admin, new) = (admin.clone(), id(NEW));
            turning = Some(tokio::spawn(async move { admin.activate(&new).await.unwrap() }));
        }
    }
    drop(fights);
    assert!(turning.unwrap().await.unwrap().in_effect);
    let rows = sentinel.home().store().number("SELECT count(*) FROM bindings").await;
    assert_eq!((winners.len(), rows), (KEYS, KEYS as i64), "one row each");
    assert!(later > 0, "the activation came in the middle");
    // Either order of the list, after a death.
    let mut home = sentinel.kill();
    for secrets in [[NEW, PEPPER], [PEPPER, NEW]] {
        let sentinel = listing(home, &secrets).start().await;
        for (key, winner) in &winners {
            assert_eq!(decide(&sentinel, key, &address(*winner)).await, "bound", "{key}");
            assert_eq!(decide(&sentinel, key, THIEF).await, "ip_mismatch", "{key}");
        }
        home = sentinel.kill();
    }
}

#[tokio::test]
async fn owners_and_bans_outlive_a_whole_rotation() {
    let sentinel = sentinel().start().await;
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", OWNER).await, "first_use");
    sentinel.admin().await.ban("sk-banned-0123456789").await.unwrap();
    let unlisted = pepper(&sentinel, &["activate", &id(NEW)]).await;
    assert!(unlisted.0 == Some(1) && unlisted.1.contains("is not listed by this server"), "{unlisted:?}");
    let home = sentinel.stop().await;

    let sentinel = listing(home, &[PEPPER, NEW]).start().await;
    assert_eq!(row(&sentinel, NEW).await.state, "verify-only");
    let (code, text) = pepper(&sentinel, &["activate", &id(NEW)]).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(
        (row(&sentinel, NEW).await.state, row(&sentinel, PEPPER).await.state),
        ("active".into(), "verify-only".into())
    );
    let (code, text) = pepper(&sentinel, &["retire", &id(PEPPER)]).await;
    assert!(
        code == Some(1) && text.contains("is still in use: 1 binding, 1 ban, 0 observed keys and 0 archived keys"),
        "{text}"
    );
    assert_eq!(decide(&sentinel, "sk-banned-0123456789", OWNER).await, "key_banned");
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", THIEF).await, "ip_mismatch");
    moved(&sentinel, PEPPER).await;
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", OWNER).await, "bound");
    let (code, text) = pepper(&sentinel, &["retire", &id(PEPPER)]).await;
    assert!(code == Some(0) && text.contains("is retired. Remove its secret"), "{text}");
    let home = sentinel.stop().await;

    let sentinel = listing(home, &[NEW]).start().await;
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", OWNER).await, "bound");
    for (key, reason) in [("sk-owned-0123456789", "ip_mismatch"), ("sk-banned-0123456789", "key_banned")] {
        assert_eq!(decide(&sentinel, key, THIEF).await, reason);
    }
    let audit = sentinel.admin().await.audit("pepper_retired").await.unwrap().records;
    assert_eq!((audit.len(), audit[0].actor.starts_with("uid:")), (1, true));
    sentinel.stop().await;
}

#[tokio::test]
async fn a_start_that_would_take_known_keys_for_new_ones_is_refused() {
    let sentinel = sentinel().start().await;
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", OWNER).await, "first_use");
    let home = listing(sentinel.stop().await, &[NEW]);
    let why = refused(&home).await;
    assert!(
        why.contains(&format!("the active pepper of this store is {}, but only {} is listed", id(PEPPER), id(NEW))),
        "{why}"
    );

    let sentinel = listing(home, &[NEW, PEPPER]).start().await;
    assert_eq!(row(&sentinel, PEPPER).await.state, "active", "the order of the list says nothing");
    assert_eq!(pepper(&sentinel, &["activate", &id(NEW)]).await.0, Some(0));
    let home = listing(sentinel.stop().await, &[NEW, THIRD]);
    let why = refused(&home).await;
    assert!(
        why.contains(&format!(
            "pepper {} is still in use (1 binding, 0 bans, 0 observed keys and 0 archived keys)",
            id(PEPPER)
        )),
        "{why}"
    );
    let home = listing(home, &[PEPPER, THIRD]);
    let why = refused(&home).await;
    assert!(why.contains(&format!("the active pepper of this store is {}", id(NEW))), "{why}");
    let sentinel = listing(home, &[THIRD, PEPPER, NEW]).start().await;
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", THIEF).await, "ip_mismatch");
    sentinel.stop().await;
}

#[tokio::test]
async fn who_began_on_the_embedded_default_can_rotate_to_a_configured_pepper() {
    // Replicas are given theirs.
    let sentinel = sentinel().on_sqlite().unset("pepper.secrets").start().await;
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", OWNER).await, "first_use");
    let home = sentinel.stop().await;
    let file = home.data_dir().join("pepper");
    let generated = std::fs::read_to_string(&file).unwrap().trim().to_owned();

    let sentinel = listing(home, &[NEW]).start().await;
    assert_eq!(row(&sentinel, &generated).await.state, "active");
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", THIEF).await, "ip_mismatch");
    assert_eq!(pepper(&sentinel, &["activate", &id(NEW)]).await.0, Some(0));
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", OWNER).await, "bound");
    moved(&sentinel, &generated).await;
    assert_eq!(pepper(&sentinel, &["retire", &id(&generated)]).await.0, Some(0));
    let home = sentinel.stop().await;

    std::fs::remove_file(&file).unwrap();
    let sentinel = home.start().await;
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", OWNER).await, "bound");
    assert!(!file.exists(), "none is made where one is configured");
    sentinel.stop().await;
}

#[tokio::test]
async fn what_is_forgotten_is_asked_for_twice_and_named() {
    let sentinel = listing(sentinel(), &[PEPPER, NEW]).start().await;
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", OWNER).await, "first_use");
    sentinel.admin().await.ban("sk-banned-0123456789").await.unwrap();
    assert_eq!(pepper(&sentinel, &["activate", &id(NEW)]).await.0, Some(0));
    let (code, text) = pepper(&sentinel, &["retire", &id(PEPPER), "--forget"]).await;
    assert!(code == Some(2) && text.contains("; use --yes"), "{text}");
    assert_eq!(decide(&sentinel, "sk-banned-0123456789", OWNER).await, "key_banned");
    let (code, text) = pepper(&sentinel, &["retire", &id(PEPPER), "--forget", "--yes"]).await;
    assert!(code == Some(0) && text.contains("2 keys were forgotten"), "{text}");
    // The command returns when it binds: a cached owner is a stranger's equal.
    assert_eq!(decide(&sentinel, "sk-owned-0123456789", THIEF).await, "first_use");
    let audit = sentinel.admin().await.audit("forgotten").await.unwrap().records;
    let told: Vec<_> = audit.iter().map(|record| (record.key_id.len(), record.detail.as_str())).collect();
    assert!(
        told.iter().any(|it| *it == (34, &*format!("pepper {} retired; networks {OWNER}/32", id(PEPPER)))),
        "{told:?}"
    );
    assert!(told.iter().any(|it| it.1.ends_with("banned indefinitely")), "{told:?}");
    sentinel.stop().await;
}

#[tokio::test]
async fn peppers_are_listed_by_name_and_never_by_secret() {
    let sentinel = listing(sentinel(), &[PEPPER, NEW]).start().await;
    let (code, table) = pepper(&sentinel, &["list"]).await;
    assert_eq!(code, Some(0), "{table}");
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let (old, new) = (id(PEPPER), id(NEW));
    assert_eq!(lines[1], [&old, "active", "yes", "0", "0", "0", "0"]);
    assert_eq!(lines[2], [&new, "verify-only", "yes", "0", "0", "0", "0"]);
    let (_, json) = pepper(&sentinel, &["list", "--output", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["peppers"][1]["left"], serde_json::json!({"bindings": 0, "bans": 0, "observed": 0, "archived": 0}));
    for arguments in [["activate", NEW], ["retire", NEW]] {
        let (code, text) = pepper(&sentinel, &arguments).await;
        assert!(code == Some(2) && !text.contains(NEW), "{text}");
    }
    for secret in [PEPPER, NEW] {
        assert!(!sentinel.log().contains(secret) && !table.contains(secret));
    }
    sentinel.stop().await;
}
