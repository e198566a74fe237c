//! What a change does, to the decisions and to the store, and what it answers.

use std::time::Duration;

use key_ip_sentinel::admin::api::{
    BanRequest, ChangeResponse, GetKeyRequest, GetStatusRequest, ListKeysRequest, UnbanRequest, unbind_request::Mode,
};
use tokio::time::sleep;
use tonic::{Code, Response};

use crate::{
    ATTACKER, Client, KEY, OWNER, Sentinel, ask, audit, by_key, client_of,
    common::{database::Database, eventually, sentinel},
    decide, id_of, my_uid, slow_down, unbind,
};

/// Each kind of change to a new key, and what is seen of it; nothing if a busy server was too slow to read one back.
async fn each_binds(sentinel: &Sentinel, api: &mut Client, key: &str) -> Option<()> {
    let binds = |answer: Response<ChangeResponse>| answer.into_inner().in_effect.then_some(());
    assert_eq!(decide(sentinel, key, OWNER).await, "first_use");

    binds(api.ban(BanRequest { key: by_key(key), ..Default::default() }).await.unwrap())?;
    assert_eq!(decide(sentinel, key, OWNER).await, "key_banned");

    binds(api.unban(UnbanRequest { key: by_key(key) }).await.unwrap())?;
    assert_eq!(decide(sentinel, key, OWNER).await, "bound");

    binds(api.unbind(unbind(key, None)).await.unwrap())?;
    assert_eq!(decide(sentinel, key, OWNER).await, "not_claimed");

    binds(api.unbind(unbind(key, Some(Mode::To("10.0.0.0/8".to_owned())))).await.unwrap())?;
    assert_eq!(decide(sentinel, key, "10.255.0.1").await, "bound");
    assert_eq!(decide(sentinel, key, OWNER).await, "ip_mismatch");

    binds(api.unbind(unbind(key, Some(Mode::Open(true)))).await.unwrap())?;
    assert_eq!(decide(sentinel, key, ATTACKER).await, "first_use");
    assert_eq!(decide(sentinel, key, OWNER).await, "ip_mismatch");
    Some(())
}

#[tokio::test]
async fn a_change_binds_before_it_is_answered() {
    let sentinel = sentinel().start().await;
    let mut api = client_of(&sentinel).await;
    let (mut tries, rounds) = (0, 20);
    for _ in 0..rounds {
        eventually("each change binds", async || {
            tries += 1;
            each_binds(&sentinel, &mut api, &format!("{KEY}{tries}")).await
        })
        .await;
    }
    assert!(tries < 2 * rounds, "{tries} tries: it is no exception");
}

#[tokio::test]
async fn a_change_tells_what_was_what_is_and_who_was_refused() {
    let sentinel = sentinel().start().await;
    let mut api = client_of(&sentinel).await;
    decide(&sentinel, KEY, OWNER).await;
    for from in [ATTACKER, "2001:db8:0:1::7", ATTACKER] {
        assert_eq!(decide(&sentinel, KEY, from).await, "ip_mismatch");
    }
    eventually("the denials are in the audit", async || {
        let denied = audit(&mut api, "denied").await;
        (denied.iter().map(|record| record.count).sum::<u64>() == 3).then_some(())
    })
    .await;

    let answer = api.unbind(unbind(KEY, Some(Mode::To("10.0.0.0/8".to_owned())))).await.unwrap().into_inner();
    let (before, after) = (answer.before.unwrap(), answer.key.unwrap());
    assert_eq!((after.key_id.clone(), after.hint.as_str()), (id_of(KEY), "sk-l…cdef"));
    let (was, is) = (before.binding.unwrap(), after.binding.unwrap());
    assert_eq!((was.state.as_str(), was.networks), ("learned", vec![format!("{OWNER}/32")]));
    assert_eq!((is.state.as_str(), is.networks), ("pinned", vec!["10.0.0.0/8".to_owned()]));
    let refused: Vec<_> = answer.refused.iter().map(|refused| (refused.network.as_str(), refused.count)).collect();
    assert_eq!(refused, [("198.51.100.9/32", 2), ("2001:db8:0:1::/64", 1)]);

    sentinel.catches_up().await;
    let status = api.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((answer.revision, status.applied_revision), (1, 1));
    let [record] = &audit(&mut api, "unbind").await[..] else { panic!("not one record") };
    assert_eq!((record.actor.clone(), record.key_id.clone()), (my_uid(), id_of(KEY)));
    assert_eq!(record.detail, "networks 203.0.113.7/32 -> 10.0.0.0/8");
}

#[tokio::test]
async fn a_key_never_seen_can_be_banned_and_its_ban_ends() {
    let sentinel = sentinel().start().await;
    let mut api = client_of(&sentinel).await;
    let ban = |lasting_ms| BanRequest { key: by_key(KEY), lasting_ms, reason: "leaked".to_owned(), until_ms: 0 };
    let answer = api.ban(ban(7_200_000)).await.unwrap().into_inner();
    let (key, now) = (answer.key.unwrap(), answer.now_ms);
    assert_eq!((key.key_id, key.hint.as_str(), key.binding), (id_of(KEY), "sk-l…cdef", None));
    let stored = key.ban.unwrap();
    assert_eq!((stored.until_ms, stored.in_force), (Some(now + 7_200_000), true));
    assert_eq!((stored.reason.as_str(), stored.actor), ("leaked", my_uid()));
    sentinel.catches_up().await;
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "key_banned");

    api.ban(ban(1)).await.unwrap();
    eventually("the ban ends on the store's clock", async || {
        let shown = api.get_key(GetKeyRequest { key: by_key(KEY) }).await.unwrap().into_inner();
        (!shown.key.unwrap().ban.unwrap().in_force).then_some(())
    })
    .await;
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "first_use");
}

#[tokio::test]
async fn a_lost_store_is_unavailable_and_nothing_is_changed() {
    let sentinel = sentinel().start().await;
    let mut api = client_of(&sentinel).await;
    decide(&sentinel, KEY, OWNER).await;
    let other = || by_key("sk-other-0123456789abcdef");
    api.ban(BanRequest { key: other(), ..Default::default() }).await.unwrap();
    let keys = api.list_keys(ListKeysRequest::default()).await.unwrap().into_inner().keys;
    let records = audit(&mut api, "").await;

    let lock = sentinel.lock_store().await;
    for status in [
        api.ban(BanRequest { key: by_key(KEY), ..Default::default() }).await.unwrap_err(),
        api.unban(UnbanRequest { key: other() }).await.unwrap_err(),
        api.unbind(unbind(KEY, None)).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().starts_with("the store did not answer"), "{status:?}");
        assert!(!status.message().contains("locked"), "the driver's words are for the log: {status:?}");
    }
    let seen = ask(&sentinel, &["ban", "--key-file", "-"]);
    assert!(seen.code == 3 && seen.err.starts_with("error: the store did not answer"), "{seen:?}");
    assert_eq!(ask(&sentinel, &["status"]).code, 0);
    drop(lock);

    assert_eq!(api.list_keys(ListKeysRequest::default()).await.unwrap().into_inner().keys, keys);
    assert_eq!(audit(&mut api, "").await, records);
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "bound");
    assert_eq!(ask(&sentinel, &["ban", "--key-file", "-"]).code, 0);
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "key_banned");
}

/// Whether the store hears of this ban within a few seconds, which is far longer than one takes that is under way.
async fn is_made(store: &Database, id: &str) -> bool {
    let sql = format!("SELECT count(*) FROM audit WHERE kind = 'ban' AND key_id = '{id}'");
    for _ in 0..50 {
        if store.number(&sql).await > 0 {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cost_the_change_its_log_line() {
    let sentinel = sentinel().start().await;
    let store = sentinel.home().store();
    slow_down(&store, "ban", 500).await;
    let api = client_of(&sentinel).await;
    for number in 0..20 {
        let key = format!("sk-slow-{number:03}-0123456789abcdef");
        let (mut first, mut second) = (api.clone(), api.clone());
        let mut ban = Box::pin(first.ban(BanRequest { key: by_key(&key), ..Default::default() }));
        let hung_up = tokio::select! {
            biased;
            _ = &mut ban => false,
            // Sent after the change and over the same connection, so that it is answered when the change is under way.
            _ = second.get_status(GetStatusRequest {}) => true,
        };
        if !hung_up {
            continue;
        }
        drop(ban);
        let id = id_of(&key);
        if !is_made(&store, &id).await {
            // It was still on its way, and ended there with its client.
            continue;
        }
        let line = format!(r#""key_id":"{id}""#);
        eventually("the ban is in the log", async || {
            sentinel.log().lines().any(|entry| entry.contains(r#""kind":"ban""#) && entry.contains(&line)).then_some(())
        })
        .await;
        let bound = async || (decide(&sentinel, &key, OWNER).await == "key_banned").then_some(());
        return eventually("the ban binds", bound).await;
    }
    panic!("no change was slow enough to hang up on");
}
