//! What is refused, how, and without a change.

use key_ip_sentinel::admin::api::{
    BanRequest, ClaimKeyRequest, ExplainRequest, GetKeyRequest, KeyReference, ListAuditRequest, ListKeysRequest,
    NoteRequest, SetNetworksRequest, UnbanRequest, UnbindRequest, UndoRequest, note_request::Note,
    unbind_request::Mode,
};
use tonic::{Code, Status};

use crate::{
    KEY, OWNER, ago, audit, bind, by_id, by_key, by_key_as, client_of, common::sentinel, crafted, decide, hours, id_of,
};
use crate::{seeded, unbind};

fn assert_refused(status: Status, code: Code, message: &str) {
    assert_eq!((status.code(), status.message()), (code, message));
}

#[tokio::test]
async fn what_the_store_refuses_has_its_own_status_and_changes_nothing() {
    let sentinel = sentinel().start().await;
    let mut api = client_of(&sentinel).await;
    decide(&sentinel, KEY, OWNER).await;
    let (id, other) = (id_of(KEY), "sk-another-0123456789");
    let ban = BanRequest { key: by_key(other), ..Default::default() };
    api.ban(ban).await.unwrap();
    let before = audit(&mut api, "").await;

    let no_such = [
        api.get_key(GetKeyRequest { key: by_id("00000000") }).await.unwrap_err(),
        api.get_key(GetKeyRequest { key: by_key("sk-never-seen") }).await.unwrap_err(),
        api.unbind(unbind("sk-never-seen", None)).await.unwrap_err(),
        api.unban(UnbanRequest { key: by_key("sk-never-seen") }).await.unwrap_err(),
        api.ban(BanRequest { key: by_id("00000000"), ..Default::default() }).await.unwrap_err(),
    ];
    let text = "no such key; `sentinel bindings list` shows the keys";
    no_such.into_iter().for_each(|status| assert_refused(status, Code::NotFound, text));
    let not_banned = api.unban(UnbanRequest { key: by_id(&id) }).await.unwrap_err();
    assert_refused(not_banned, Code::FailedPrecondition, &format!("{id} is not banned"));
    for mode in [None, Some(Mode::To("10.0.0.0/8".to_owned())), Some(Mode::Open(true))] {
        let not_bound = api.unbind(unbind(other, mode)).await.unwrap_err();
        assert_refused(not_bound, Code::FailedPrecondition, &format!("{} has no binding", id_of(other)));
    }
    assert_eq!(audit(&mut api, "").await, before);
}

#[tokio::test]
async fn an_ambiguous_reference_lists_its_candidates_and_changes_nothing() {
    let keys: Vec<_> = (0..25).map(|n| crafted((0x0a1b_2c3d << 96) + n)).collect();
    let sentinel = seeded(async |store| {
        for key in &keys {
            bind(store, key.clone(), OWNER, ago(hours(1))).await;
        }
    })
    .await;
    let mut api = client_of(&sentinel).await;
    let ids: Vec<_> = keys.iter().map(|key| key.digest.new_id().to_string()).collect();
    let listed =
        |ids: &[String]| format!("ambiguous: more than one key has this prefix; give more digits: {}", ids.join(", "));
    let prefix = || by_id("k_0a1b2c3d");

    for status in [
        api.get_key(GetKeyRequest { key: prefix() }).await.unwrap_err(),
        api.unbind(UnbindRequest { key: prefix(), mode: None }).await.unwrap_err(),
        api.ban(BanRequest { key: prefix(), ..Default::default() }).await.unwrap_err(),
        api.unban(UnbanRequest { key: prefix() }).await.unwrap_err(),
    ] {
        assert_refused(status, Code::FailedPrecondition, &listed(&ids[..20]));
    }
    let fewer = by_id(&ids[16][..33]);
    let status = api.ban(BanRequest { key: fewer, ..Default::default() }).await.unwrap_err();
    assert_refused(status, Code::FailedPrecondition, &listed(&ids[16..]));
    assert!(audit(&mut api, "").await.iter().all(|record| record.kind == "first_use"));
    assert_eq!(api.get_key(GetKeyRequest { key: by_id(&ids[3]) }).await.unwrap().into_inner().key.unwrap().ban, None);
}

#[tokio::test]
async fn a_refused_request_names_its_field_and_repeats_nothing() {
    let sentinel = sentinel().start().await;
    let mut api = client_of(&sentinel).await;
    decide(&sentinel, KEY, OWNER).await;
    let ban =
        |lasting_ms, reason: &str| BanRequest { key: by_key(KEY), lasting_ms, reason: reason.into(), until_ms: 0 };
    let unban = |key| UnbanRequest { key };
    let to = |text: &str| unbind(KEY, Some(Mode::To(text.to_owned())));
    let keys = ListKeysRequest::default;
    let records = ListAuditRequest::default;

    let with_id = by_id("0a1b2c3d").map(|key| KeyReference { profile: "generic".to_owned(), ..key });

    let refusals = [
        ("key", api.unban(unban(None)).await.unwrap_err()),
        ("key", api.unban(unban(Some(KeyReference::default()))).await.unwrap_err()),
        ("key.key_id", api.unban(unban(by_id(KEY))).await.unwrap_err()),
        ("key.key_id", api.unban(unban(by_id("0a1b2c3"))).await.unwrap_err()),
        ("key.api_key", api.unban(unban(by_key("Bearer sk-live-"))).await.unwrap_err()),
        ("key.api_key", api.unban(unban(by_key("sk-"))).await.unwrap_err()),
        ("key.profile", api.unban(unban(by_key_as(KEY, KEY))).await.unwrap_err()),
        ("key.profile", api.unban(unban(by_key_as("one-api", KEY))).await.unwrap_err()),
        ("key.profile", api.unban(unban(with_id)).await.unwrap_err()),
        ("to", api.unbind(to(KEY)).await.unwrap_err()),
        ("to", api.unbind(to("10.0.0.1/8")).await.unwrap_err()),
        ("to", api.unbind(to("")).await.unwrap_err()),
        ("open", api.unbind(unbind(KEY, Some(Mode::Open(false)))).await.unwrap_err()),
        ("lasting_ms", api.ban(ban(-1, "")).await.unwrap_err()),
        ("lasting_ms", api.ban(ban(i64::MAX, "")).await.unwrap_err()),
        ("reason", api.ban(ban(0, &"x".repeat(201))).await.unwrap_err()),
        ("reason", api.ban(ban(0, "a\u{1b}[31mb")).await.unwrap_err()),
        ("reason", api.ban(ban(0, "a\u{2028}b")).await.unwrap_err()),
        ("reason", api.ban(ban(0, "a\u{202e}b")).await.unwrap_err()),
        ("limit", api.list_keys(ListKeysRequest { limit: 1001, ..keys() }).await.unwrap_err()),
        ("state", api.list_keys(ListKeysRequest { state: KEY.into(), ..keys() }).await.unwrap_err()),
        ("network", api.list_keys(ListKeysRequest { network: KEY.into(), ..keys() }).await.unwrap_err()),
        ("kind", api.list_audit(ListAuditRequest { kind: KEY.into(), ..records() }).await.unwrap_err()),
        ("key.key_id", api.list_audit(ListAuditRequest { key: by_id(KEY), ..records() }).await.unwrap_err()),
        ("decision_id", api.list_audit(ListAuditRequest { decision_id: KEY.into(), ..records() }).await.unwrap_err()),
        ("hint", api.list_keys(ListKeysRequest { hint: KEY.into(), ..keys() }).await.unwrap_err()),
        ("limit", api.list_audit(ListAuditRequest { limit: 1001, ..records() }).await.unwrap_err()),
        ("since_ms", api.list_audit(ListAuditRequest { since_ms: -1, ..records() }).await.unwrap_err()),
        ("within_ms", api.list_audit(ListAuditRequest { within_ms: -1, ..records() }).await.unwrap_err()),
    ];
    let set = |networks: &[&str], reserve| SetNetworksRequest {
        key: by_key(KEY),
        networks: networks.iter().map(ToString::to_string).collect(),
        reserve,
    };
    let claim = |networks: &[&str]| ClaimKeyRequest { key: by_key(KEY), networks: set(networks, false).networks };
    let note = |note| NoteRequest { key: by_key(KEY), note };
    let text = |text: &str| note(Some(Note::Text(text.to_owned())));
    let until = |until_ms, lasting_ms| BanRequest { until_ms, ..ban(lasting_ms, "") };
    let explain = ExplainRequest { head: b"GET / HTTP/1.1\n\n".to_vec(), mode: KEY.into(), ..Default::default() };
    let further = [
        ("networks", api.set_networks(set(&[], false)).await.unwrap_err()),
        ("networks", api.set_networks(set(&["10.0.0.0/8", KEY], false)).await.unwrap_err()),
        ("networks", api.set_networks(set(&["10.0.0.1/8"], false)).await.unwrap_err()),
        ("networks", api.set_networks(set(&["10.0.0.0/8"; 257], false)).await.unwrap_err()),
        ("reserve", api.set_networks(set(&["10.0.0.0/8"], true)).await.unwrap_err()),
        ("key", api.set_networks(SetNetworksRequest { key: None, ..set(&[OWNER], false) }).await.unwrap_err()),
        ("networks", api.claim_key(claim(&[])).await.unwrap_err()),
        ("networks", api.claim_key(claim(&[KEY])).await.unwrap_err()),
        ("key", api.claim_key(ClaimKeyRequest { key: None, ..claim(&[OWNER]) }).await.unwrap_err()),
        ("note", api.note(note(None)).await.unwrap_err()),
        ("remove", api.note(note(Some(Note::Remove(false)))).await.unwrap_err()),
        ("text", api.note(text("")).await.unwrap_err()),
        ("text", api.note(text(&"x".repeat(201))).await.unwrap_err()),
        ("text", api.note(text("a\u{9b}31mb")).await.unwrap_err()),
        ("record", api.undo(UndoRequest { record: 0 }).await.unwrap_err()),
        ("record", api.undo(UndoRequest { record: -1 }).await.unwrap_err()),
        ("record", api.list_audit(ListAuditRequest { record: -1, ..records() }).await.unwrap_err()),
        ("until_ms", api.ban(until(1, 0)).await.unwrap_err()),
        ("until_ms", api.ban(until(-1, 0)).await.unwrap_err()),
        ("until_ms", api.ban(until(i64::MIN, 0)).await.unwrap_err()),
        ("until_ms", api.ban(until(i64::MAX, 0)).await.unwrap_err()),
        ("until_ms", api.ban(until(i64::MAX, 1)).await.unwrap_err()),
        ("mode", api.explain(explain).await.unwrap_err()),
    ];
    for (field, status) in refusals.into_iter().chain(further) {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().starts_with(&format!("{field}: ")), "{field}: {status:?}");
        assert!(!status.message().contains("sk-"), "{status:?}");
    }
    assert_eq!(audit(&mut api, "").await.len(), 1, "the first use alone");
}

#[tokio::test]
async fn the_longest_the_farthest_and_the_largest_that_is_accepted() {
    let sentinel = sentinel().start().await;
    let mut api = client_of(&sentinel).await;
    let (century, reason) = (100 * 365 * 24 * 60 * 60 * 1000, "é".repeat(200));
    let request = BanRequest { key: by_key(KEY), lasting_ms: century, reason: reason.clone(), until_ms: 0 };
    let answer = api.ban(request).await.unwrap().into_inner();
    let ban = answer.key.unwrap().ban.unwrap();
    assert_eq!((ban.until_ms, ban.reason), (Some(answer.now_ms + century), reason));
    let far = ListKeysRequest { limit: 1000, offset: u32::MAX, ..Default::default() };
    assert!(api.list_keys(far).await.unwrap().into_inner().keys.is_empty());
    let all = ListAuditRequest { within_ms: i64::MAX, ..Default::default() };
    assert_eq!(api.list_audit(all).await.unwrap().into_inner().records.len(), 1);

    let long = api.unban(UnbanRequest { key: by_key(&"sk-".repeat(30_000)) }).await.unwrap_err();
    assert_eq!(long.code(), Code::OutOfRange, "{long:?}");
}

#[test]
fn no_debug_text_shows_a_key() {
    let request = BanRequest { key: by_key(KEY), ..Default::default() };
    let shown = format!("{request:?} {:?} {:?}", request.key, request.key.as_ref().unwrap().reference);
    assert!(!shown.contains("sk-"), "{shown}");
}
