//! Among any number of claimants exactly one becomes the owner, and everybody else is judged against that one.

use std::{collections::HashMap, sync::Arc};

use crate::common::{Answer, Dice, Sentinel, admin::proto::unbind_request::Mode, grpc::Channel, sentinel};
use futures_util::{StreamExt, future::join_all, stream};
use tokio::sync::watch;

const KEYS: usize = 1_000;
const CLAIMANTS: usize = 64;
const CONNECTIONS: usize = 8;
/// Keys that are fought for at the same time.
const KEYS_AT_ONCE: usize = 8;

fn key(index: usize) -> String {
    format!("sk-race-{index:04}-0123456789")
}

/// A network of its own for each claimant: half of them IPv4 addresses, half IPv6 /64s.
fn address(claimant: usize) -> String {
    match claimant % 2 {
        0 => format!("203.0.113.{}", claimant + 1),
        _ => format!("2001:db8:0:{:x}::7", claimant + 1),
    }
}

fn network(claimant: usize) -> String {
    match claimant % 2 {
        0 => format!("{}/32", address(claimant)),
        _ => format!("2001:db8:0:{:x}::/64", claimant + 1),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_racing_claimants_exactly_one_owns_each_of_1000_keys() {
    let sentinel = sentinel().start().await;
    let channels = join_all((0..CONNECTIONS).map(|_| sentinel.connect())).await;
    let fights = stream::iter(0..KEYS).map(|index| fight(&sentinel, &channels, index));
    let winners: HashMap<String, String> = fights.buffer_unordered(KEYS_AT_ONCE).collect().await;
    assert_eq!(winners.len(), KEYS, "each key has a key id of its own");
    assert_one_row_each(&sentinel, &winners).await;
    sentinel.stop().await;
}

/// All claimants at once; the key's id and the winner's network.
async fn fight(sentinel: &Sentinel, channels: &[Channel], index: usize) -> (String, String) {
    let key = key(index);
    // Every fight in another order over other connections: no claimant is first by habit.
    let mut dice = Dice::new(index as u64);
    let mut order: Vec<usize> = (0..CLAIMANTS).collect();
    (1..CLAIMANTS).rev().for_each(|last| order.swap(last, dice.below(last + 1)));
    let claims = order.into_iter().enumerate().map(|(place, claimant)| {
        let check = sentinel.check().key(&key).from(&address(claimant)).over(&channels[place % channels.len()]);
        async move { (claimant, check.send().await) }
    });
    let answers: Vec<(usize, Answer)> = join_all(claims).await;
    let winners: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_allow()).collect();
    let [(winner, answer)] = winners[..] else { panic!("{key}: {} were allowed", winners.len()) };
    assert_eq!(answer.reason(), "first_use");
    let id = answer.key_id().unwrap();
    for (claimant, answer) in &answers {
        assert_eq!(answer.key_id(), Some(id), "{key}");
        assert!(claimant == winner || answer.reason() == "ip_mismatch", "{key}: {}", answer.reason());
    }
    let again = sentinel.check().key(&key).from(&address(*winner)).send().await;
    assert_eq!(again.reason(), "bound", "the winner is the owner");
    (id.to_owned(), network(*winner))
}

async fn assert_one_row_each(sentinel: &Sentinel, winners: &HashMap<String, String>) {
    let rows = sentinel.home().store().query("SELECT key_id, network FROM binding_networks").await;
    let owners: HashMap<_, _> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!((rows.len(), &owners), (KEYS, winners), "one network each, and it is the winner's");
    assert_eq!(sentinel.home().store().number("SELECT count(*) FROM bindings").await, KEYS as i64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_and_bans_of_one_new_key_leave_no_banned_owner_unseen() {
    let sentinel = sentinel().start().await;
    let admin = sentinel.admin().await;
    for index in 0..100 {
        let key = key(index);
        let claim = sentinel.check().key(&key).from("203.0.113.7").send();
        let (answer, banned) = tokio::join!(claim, admin.ban(&key));
        banned.unwrap();
        assert!(matches!(answer.reason(), "first_use" | "key_banned"), "{}", answer.reason());
        // Whoever was first, once the ban is answered nobody passes.
        for address in ["203.0.113.7", "198.51.100.9"] {
            assert_eq!(sentinel.check().key(&key).from(address).send().await.reason(), "key_banned");
        }
        let has_owner = admin.unban(&key).await.unwrap().key.unwrap().binding.is_some();
        assert_eq!(has_owner, answer.reason() == "first_use", "a banned claimant owns nothing");
    }
}

/// 1,000 keys are taken from their owners while a thief asks for them without a pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thief_who_hammers_during_unbind_and_unbind_to_never_gets_the_key() {
    const OWNER: &str = "203.0.113.7";
    const THIEF: &str = "198.51.100.66";
    const HEIR: &str = "192.0.2.200";
    let sentinel = Arc::new(sentinel().start().await);
    let admin = sentinel.admin().await;
    for index in 0..KEYS {
        let key = key(index);
        assert_eq!(sentinel.check().key(&key).from(OWNER).send().await.reason(), "first_use");
        let (stop, stopped) = watch::channel(false);
        let thief = tokio::spawn(hammer(Arc::clone(&sentinel), key.clone(), THIEF, stopped));
        admin.unbind(&key, None).await.unwrap();
        assert_eq!(sentinel.check().key(&key).from(OWNER).send().await.reason(), "not_claimed");
        admin.unbind(&key, Some(Mode::To(HEIR.to_owned()))).await.unwrap();
        assert_eq!(sentinel.check().key(&key).from(HEIR).send().await.reason(), "bound");
        stop.send(true).unwrap();
        let told = thief.await.unwrap();
        assert!(!told.is_empty(), "the thief was there");
        assert!(told.iter().all(|reason| reason == "ip_mismatch" || reason == "not_claimed"), "{key}: {told:?}");
    }
}

/// Asks until it is stopped; every reason that was told, once each.
async fn hammer(sentinel: Arc<Sentinel>, key: String, ip: &str, stop: watch::Receiver<bool>) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let answer = sentinel.check().key(&key).from(ip).send().await;
        let reason = answer.reason().to_owned();
        if answer.is_allow() || !told.contains(&reason) {
            told.push(reason);
        }
        if *stop.borrow() {
            return told;
        }
    }
}
