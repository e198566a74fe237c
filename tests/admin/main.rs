//! The admin API on the wire, and its command line: a real unix socket, a store in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a test that fails")]

mod command_line;
mod fake;

use std::{sync::Arc, time::Duration};

use fake::{Fake, KEY, NOW, id_of, learned};
use key_ip_sentinel::{
    admin::{
        self, Operations,
        api::{
            BanRequest, GetKeyRequest, GetStatusRequest, KeyReference, ListAuditRequest, ListKeysRequest, UnbanRequest,
            UnbindRequest, admin_client::AdminClient, key_reference::Reference, unbind_request::Mode,
        },
    },
    domain::{KeyId, Timestamp, event::EventKind},
    store::Revision,
};
use tonic::{Code, Status, transport::Server};

fn by_id(text: impl ToString) -> Option<KeyReference> {
    Some(KeyReference { reference: Some(Reference::KeyId(text.to_string())) })
}

fn by_key(text: &str) -> Option<KeyReference> {
    Some(KeyReference { reference: Some(Reference::ApiKey(text.to_owned())) })
}

fn my_uid() -> String {
    format!("uid:{}", nix::unistd::Uid::effective())
}

/// The refusal's field, which the message begins with.
fn field(status: Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    status.message().split_once(": ").expect("field: why").0.to_owned()
}

#[tokio::test]
async fn a_change_answers_when_it_is_recorded_published_and_in_effect() {
    let id = id_of(KEY);
    let fake = Fake::start(vec![learned(id, "203.0.113.7/32")]).await;
    let request = UnbindRequest { key: by_key(KEY), mode: Some(Mode::To("10.0.0.0/8".into())) };
    let answer = fake.client().await.unbind(request).await.unwrap().into_inner();

    let (before, after) = (answer.before.unwrap(), answer.key.unwrap());
    assert_eq!(before.binding.unwrap().networks, ["203.0.113.7/32"]);
    assert_eq!(after.key_id, id.to_string());
    assert_eq!(after.hint, "sk-l…cdef");
    let binding = after.binding.unwrap();
    assert_eq!((binding.state.as_str(), binding.networks), ("pinned", vec!["10.0.0.0/8".to_owned()]));
    assert_eq!((answer.revision, answer.in_effect, answer.now_ms), (7, true, NOW.as_millis()));
    assert_eq!((answer.refused[0].network.as_str(), answer.refused[0].count), ("198.51.100.9/32", 12));

    assert_eq!(*fake.published.lock().unwrap(), [Revision(7)]);
    let recorded = fake.recorded.lock().unwrap();
    assert_eq!((recorded.len(), recorded[0].kind), (1, EventKind::Unbind));
    assert_eq!(recorded[0].actor.as_deref(), Some(my_uid().as_str()));
}

#[tokio::test]
async fn a_key_never_seen_can_be_banned_and_the_ban_ends_on_the_stores_clock() {
    let fake = Fake::start(vec![]).await;
    let mut client = fake.client().await;
    let request = BanRequest { key: by_key("sk-never-seen"), lasting_ms: 7_200_000, reason: "leaked".into() };
    let key = client.ban(request).await.unwrap().into_inner().key.unwrap();
    assert_eq!((key.key_id.as_str(), key.binding), (id_of("sk-never-seen").to_string().as_str(), None));
    let ban = key.ban.unwrap();
    assert_eq!(ban.until_ms, Some(NOW.as_millis() + 7_200_000));
    assert_eq!((ban.reason.as_str(), ban.actor, ban.in_force), ("leaked", my_uid(), true));

    *fake.clock.lock().unwrap() = Some(Timestamp::from_millis(NOW.as_millis() + 7_200_000));
    let shown = client.get_key(GetKeyRequest { key: by_key("sk-never-seen") }).await.unwrap().into_inner();
    assert!(!shown.key.unwrap().ban.unwrap().in_force, "the end is exclusive");
}

#[tokio::test]
async fn what_the_store_refuses_has_its_own_status_and_changes_nothing() {
    let one: KeyId = "k_0a1b2c3d000000000000000000000001".parse().unwrap();
    let two: KeyId = "k_0a1b2c3d000000000000000000000002".parse().unwrap();
    let fake = Fake::start(vec![learned(one, "203.0.113.7"), learned(two, "203.0.113.8")]).await;
    let mut client = fake.client().await;

    let missing = client.unban(UnbanRequest { key: by_id("ffffffff") }).await.unwrap_err();
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "no such key"));
    let not_banned = client.unban(UnbanRequest { key: by_id(one) }).await.unwrap_err();
    assert_eq!(not_banned.code(), Code::FailedPrecondition);
    assert_eq!(not_banned.message(), format!("{one} is not banned"));
    let ambiguous = client.unbind(UnbindRequest { key: by_id("0a1b2c3d"), mode: None }).await.unwrap_err();
    assert_eq!(ambiguous.code(), Code::FailedPrecondition);
    assert_eq!(ambiguous.message(), format!("ambiguous: 2 keys begin so; give more digits: {one}, {two}"));
    assert!(fake.recorded.lock().unwrap().is_empty() && fake.published.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_refused_request_names_its_field_and_repeats_nothing() {
    let fake = Fake::start(vec![learned(id_of(KEY), "203.0.113.7")]).await;
    let mut client = fake.client().await;
    let key = || by_key(KEY);
    let ban = |lasting_ms, reason: &str| BanRequest { key: key(), lasting_ms, reason: reason.into() };
    let unbind = |mode| UnbindRequest { key: key(), mode: Some(mode) };
    let keys = ListKeysRequest::default;
    let audit = ListAuditRequest::default;

    let refusals = [
        ("key", client.unban(UnbanRequest { key: None }).await.unwrap_err()),
        ("key", client.unban(UnbanRequest { key: Some(KeyReference { reference: None }) }).await.unwrap_err()),
        ("key.key_id", client.unban(UnbanRequest { key: by_id(KEY) }).await.unwrap_err()),
        ("key.api_key", client.unban(UnbanRequest { key: by_key("Bearer sk-live-") }).await.unwrap_err()),
        ("to", client.unbind(unbind(Mode::To(KEY.into()))).await.unwrap_err()),
        ("to", client.unbind(unbind(Mode::To("10.0.0.1/8".into()))).await.unwrap_err()),
        ("to", client.unbind(unbind(Mode::To(String::new()))).await.unwrap_err()),
        ("open", client.unbind(unbind(Mode::Open(false))).await.unwrap_err()),
        ("lasting_ms", client.ban(ban(-1, "")).await.unwrap_err()),
        ("lasting_ms", client.ban(ban(i64::MAX, "")).await.unwrap_err()),
        ("reason", client.ban(ban(0, &"x".repeat(201))).await.unwrap_err()),
        ("reason", client.ban(ban(0, "a\u{1b}[31mb")).await.unwrap_err()),
        ("limit", client.list_keys(ListKeysRequest { limit: 1001, ..keys() }).await.unwrap_err()),
        ("state", client.list_keys(ListKeysRequest { state: "owned".into(), ..keys() }).await.unwrap_err()),
        ("network", client.list_keys(ListKeysRequest { network: KEY.into(), ..keys() }).await.unwrap_err()),
        ("kind", client.list_audit(ListAuditRequest { kind: KEY.into(), ..audit() }).await.unwrap_err()),
        ("key_id", client.list_audit(ListAuditRequest { key_id: "0a1b".into(), ..audit() }).await.unwrap_err()),
        ("since_ms", client.list_audit(ListAuditRequest { since_ms: -1, ..audit() }).await.unwrap_err()),
        ("within_ms", client.list_audit(ListAuditRequest { within_ms: -1, ..audit() }).await.unwrap_err()),
    ];
    for (name, status) in refusals {
        assert!(!status.message().contains("sk-"), "{}", status.message());
        assert_eq!(field(status), name);
    }
    assert!(fake.recorded.lock().unwrap().is_empty());
}

#[tokio::test]
async fn limits_of_what_is_accepted() {
    let fake = Fake::start(vec![learned(id_of(KEY), "203.0.113.7")]).await;
    let mut client = fake.client().await;
    let century = 100 * 365 * 24 * 60 * 60 * 1000;
    let reason = "\u{e9}".repeat(200);
    let request = BanRequest { key: by_key(KEY), lasting_ms: century, reason: reason.clone() };
    let ban = client.ban(request).await.unwrap().into_inner().key.unwrap().ban.unwrap();
    assert_eq!((ban.until_ms, ban.reason), (Some(NOW.as_millis() + century), reason));
    client.list_keys(ListKeysRequest { limit: 1000, offset: u32::MAX, ..Default::default() }).await.unwrap();

    let long = client.unban(UnbanRequest { key: by_key(&"sk-".repeat(30_000)) }).await.unwrap_err();
    assert_eq!(long.code(), Code::OutOfRange, "{long:?}");
}

#[tokio::test]
async fn the_later_of_two_audit_bounds_applies() {
    let fake = Fake::start(vec![]).await;
    let mut client = fake.client().await;
    for (since_ms, within_ms) in [(0, 0), (5, 0), (0, 1000), (5, 1000), (NOW.as_millis() - 10, 1000), (0, i64::MAX)] {
        client.list_audit(ListAuditRequest { since_ms, within_ms, ..Default::default() }).await.unwrap();
    }
    let queries = fake.store.audit_queries.lock().unwrap();
    let since: Vec<_> =
        queries.iter().map(|query| query.since.map(|since| since.as_millis() - NOW.as_millis())).collect();
    let five = 5 - NOW.as_millis();
    assert_eq!(since[..5], [None, Some(five), Some(-1000), Some(-1000), Some(-10)]);
    assert!(since[5].is_some());
    assert!(queries.iter().all(|query| query.limit == 100));
}

#[tokio::test]
async fn a_lost_store_is_unavailable_and_its_details_stay_in_the_log() {
    let fake = Fake::start(vec![]).await;
    let mut client = fake.client().await;
    *fake.store.lost.lock().unwrap() = true;
    let status = client.ban(BanRequest { key: by_key(KEY), ..Default::default() }).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!status.message().contains("/secret"), "{status:?}");

    let answer = client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((answer.mode.as_str(), answer.pid, answer.learned), ("enforce", 42, None));
}

#[tokio::test]
async fn before_the_first_poll_there_is_no_clock_and_no_change() {
    let fake = Fake::start(vec![]).await;
    *fake.clock.lock().unwrap() = None;
    let mut client = fake.client().await;
    for status in [
        client.ban(BanRequest { key: by_key(KEY), ..Default::default() }).await.unwrap_err(),
        client.list_keys(ListKeysRequest::default()).await.unwrap_err(),
        client.list_audit(ListAuditRequest::default()).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
    assert_eq!(client.get_status(GetStatusRequest {}).await.unwrap().into_inner().reserved, Some(1));
}

#[tokio::test]
async fn a_change_that_is_not_read_back_says_so() {
    let fake = Fake::start(vec![]).await;
    let mut deps = fake.deps();
    deps.publish = Arc::new(|_| Box::pin(std::future::pending()));
    let mut client = fake.serve_also(deps).await;
    let request = BanRequest { key: by_key(KEY), ..Default::default() };
    assert!(!client.ban(request).await.unwrap().into_inner().in_effect);
}

#[tokio::test]
async fn a_client_that_hangs_up_after_the_commit_costs_neither_record_nor_hint() {
    let fake = Fake::start(vec![]).await;
    *fake.store.slow.lock().unwrap() = Duration::from_millis(300);
    let mut client = fake.client().await;
    let request = BanRequest { key: by_key(KEY), ..Default::default() };
    tokio::time::timeout(Duration::from_millis(100), client.ban(request)).await.expect_err("still waiting");
    drop(client);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!((fake.recorded.lock().unwrap().len(), fake.published.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_peer_without_credentials_is_refused() {
    let fake = Fake::start(vec![]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let service = admin::grpc::service(Operations::new(fake.deps()));
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    let mut client = AdminClient::connect(address).await.unwrap();
    for status in [
        client.get_status(GetStatusRequest {}).await.unwrap_err(),
        client.ban(BanRequest { key: by_key(KEY), ..Default::default() }).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    assert!(fake.recorded.lock().unwrap().is_empty());
}

#[test]
fn no_debug_text_shows_a_key() {
    let request = BanRequest { key: by_key(KEY), ..Default::default() };
    let shown = format!("{request:?} {:?} {:?}", request.key, request.key.as_ref().unwrap().reference);
    assert!(!shown.contains("sk-"), "{shown}");
}
