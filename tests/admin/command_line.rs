//! The real binary against a server on a real socket: what people and scripts see.

use std::process::{Output, Stdio};

use key_ip_sentinel::domain::{Ban, KeyId, Reason, event::EventKind};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::fake::{Fake, KEY, NOW, id_of, learned, record};

const ONE: &str = "k_0a1b2c3d000000000000000000000001";

async fn sentinel(fake: &Fake, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.env_clear().arg("--admin").arg(format!("unix:{}", fake.socket.display())).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{KEY}\n").as_bytes()).await.unwrap();
    child.wait_with_output().await.unwrap()
}

fn seen(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

async fn says(fake: &Fake, args: &[&str]) -> String {
    let (code, out, err) = seen(&sentinel(fake, args).await);
    assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
    out
}

async fn json(fake: &Fake, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&says(fake, &[args, &["--output", "json"]].concat()).await).unwrap()
}

fn one() -> KeyId {
    ONE.parse().unwrap()
}

#[tokio::test]
async fn bindings_are_listed_in_columns() {
    let mut banned = learned("k_ffffffff000000000000000000000002".parse().unwrap(), "2001:db8::/64");
    let id = banned.key_id;
    let until = Some(NOW.after(std::time::Duration::from_secs(7199)));
    banned.facts.ban =
        Some(Ban { id, hint: None, until, reason: Some("leaked".into()), actor: "uid:0".into(), created_at: NOW });
    banned.facts.binding.as_mut().unwrap().hint = None;
    let fake = Fake::start(vec![learned(one(), "203.0.113.7/32"), banned]).await;
    assert_eq!(
        says(&fake, &["bindings", "list"]).await,
        "\
KEY                                 HINT       STATE    NETWORKS        SINCE   BAN
k_0a1b2c3d000000000000000000000001  sk-l…cdef  learned  203.0.113.7/32  3m ago  -
k_ffffffff000000000000000000000002  -          learned  2001:db8::/64   3m ago  1h 59m left
"
    );
    assert_eq!(
        says(&fake, &["bindings", "show", "ffffffff"]).await,
        "\
key       k_ffffffff000000000000000000000002
hint      -
state     learned
networks  2001:db8::/64
since     2026-02-02T02:37:00Z (3m ago)
ban       until 2026-02-02T04:39:59Z (1h 59m left)
banned    2026-02-02T02:40:00Z (just now) by uid:0
reason    leaked
"
    );
    let document = json(&fake, &["bindings", "list"]).await;
    assert_eq!(document["keys"][0]["key_id"], ONE);
    assert_eq!(document["keys"][0]["ban"], serde_json::Value::Null);
    assert_eq!(document["keys"][1]["ban"]["until"], "2026-02-02T04:39:59.000Z");
    assert_eq!(document["keys"][1]["binding"]["networks"][0], "2001:db8::/64");
}

#[tokio::test]
async fn nothing_to_list_is_said_in_words() {
    let fake = Fake::start(vec![]).await;
    assert_eq!(says(&fake, &["bindings", "list"]).await, "No bindings yet.\n");
    assert_eq!(says(&fake, &["bindings", "list", "--banned"]).await, "No key matches.\n");
    assert_eq!(says(&fake, &["audit", "list"]).await, "No audit records yet.\n");
    assert_eq!(json(&fake, &["bindings", "list"]).await["keys"], serde_json::json!([]));
}

#[tokio::test]
async fn a_full_page_says_how_to_see_the_rest() {
    let fake = Fake::start(vec![learned(one(), "203.0.113.7/32")]).await;
    let (code, _, err) = seen(&sentinel(&fake, &["bindings", "list", "--limit", "1"]).await);
    assert_eq!((code, err.contains("--offset 1")), (0, true), "{err}");
}

#[tokio::test]
async fn unbind_shows_what_changed_and_who_was_refused() {
    let fake = Fake::start(vec![learned(one(), "203.0.113.7/32")]).await;
    assert_eq!(
        says(&fake, &["unbind", ONE]).await,
        "\
k_0a1b2c3d000000000000000000000001 is reserved: nobody can use it.
  before  learned, 203.0.113.7/32
  now     reserved, no network
Refused this key in the last 24 hours:
  NETWORK          TIMES  LAST
  198.51.100.9/32     12  just now
Next: sentinel unbind k_0a1b2c3d000000000000000000000001 --to CIDR
"
    );
    let handed = says(&fake, &["unbind", "0a1b2c3d", "--to", "10.2.0.0/16"]).await;
    assert!(
        handed.starts_with(&format!("{ONE} belongs to 10.2.0.0/16.\n  before  reserved, no network\n")),
        "{handed}"
    );
    let (code, out, err) = seen(&sentinel(&fake, &["unbind", "0a1b2c3d", "--open"]).await);
    assert!(out.starts_with(&format!("{ONE} has no owner now: the next first use wins.\n")), "{out}");
    assert!(code == 0 && err.starts_with("warning: whoever uses this key next owns it, a thief too"), "{err}");
}

#[tokio::test]
async fn a_key_from_standard_input_is_banned_shown_and_unbanned() {
    let fake = Fake::start(vec![]).await;
    let id = id_of(KEY).to_string();
    let banned = says(&fake, &["ban", "--key-file", "-", "--for", "2h", "--reason", "leaked"]).await;
    assert_eq!(
        banned,
        format!(
            "{id} is banned until 2026-02-02T04:40:00Z (2h left).\n  owner   no owner\n  undo    sentinel unban {id}\n"
        )
    );
    let shown = json(&fake, &["bindings", "show", "--key-file", "-"]).await;
    assert_eq!((&shown["key"]["ban"]["reason"], &shown["key"]["binding"]), (&"leaked".into(), &().into()));
    let again = says(&fake, &["ban", "--key-file", "-"]).await;
    assert!(again.starts_with(&format!("{id} is banned for ever. An earlier ban was replaced.\n")), "{again}");
    assert!(says(&fake, &["unban", "--key-file", "-"]).await.starts_with(&format!("{id} is no longer banned.\n")));
    assert!(!says(&fake, &["audit", "list", "--output", "json"]).await.contains(KEY));
}

#[tokio::test]
async fn what_is_refused_exits_1_and_says_what_to_do() {
    let two: KeyId = "k_0a1b2c3d000000000000000000000002".parse().unwrap();
    let fake = Fake::start(vec![learned(one(), "203.0.113.7"), learned(two, "203.0.113.8")]).await;
    for (args, said) in [
        (&["unban", "ffffffff"][..], "error: no such key; `sentinel bindings list` shows the keys\n".to_owned()),
        (&["unban", ONE], format!("error: {ONE} is not banned\n")),
        (&["unbind", "0a1b2c3d"], format!("error: ambiguous: 2 keys begin so; give more digits: {ONE}, {two}\n")),
    ] {
        assert_eq!(seen(&sentinel(&fake, args).await), (1, String::new(), said), "{args:?}");
    }
    let (code, _, err) = seen(&sentinel(&fake, &["ban", ONE, "--for", "1000y"]).await);
    assert_eq!((code, err.as_str()), (2, "error: lasting_ms: must be 0 (for ever) to 100 years\n"));
    *fake.store.lost.lock().unwrap() = true;
    let (code, _, err) = seen(&sentinel(&fake, &["ban", ONE]).await);
    assert!(code == 3 && err.starts_with("error: the store did not answer (a change was made or not)"), "{err}");
}

#[tokio::test]
async fn the_audit_is_readable_and_says_how_to_reverse_a_change() {
    let fake = Fake::start(vec![]).await;
    let mut denied = record(EventKind::Denied, one(), None);
    denied.reason = Some(Reason::IpMismatch);
    denied.network = Some("198.51.100.9/32".parse().unwrap());
    denied.count = 1234;
    let mut unbind = record(EventKind::Unbind, one(), Some("uid:0"));
    unbind.detail = Some("networks 203.0.113.7/32 -> reserved".into());
    fake.store.log.lock().unwrap().extend([denied, unbind]);
    assert_eq!(
        says(&fake, &["audit", "list", "--since", "24h"]).await,
        "\
TIME                  KIND    KEY                                 NETWORK          TIMES  BY     WHAT
2026-02-02T02:40:00Z  unbind  k_0a1b2c3d000000000000000000000001  -                    1  uid:0  networks 203.0.113.7/32 -> reserved
  undo: sentinel unbind k_0a1b2c3d000000000000000000000001 --to 203.0.113.7/32
2026-02-02T02:40:00Z  denied  k_0a1b2c3d000000000000000000000001  198.51.100.9/32   1234  -      ip_mismatch
"
    );
    let document = json(&fake, &["audit", "list", "--key", "0a1b2c3d", "--kind", "denied"]).await;
    assert_eq!(
        (&document["records"][1]["reason"], &document["records"][1]["count"]),
        (&"ip_mismatch".into(), &1234.into())
    );
    let queries = fake.store.audit_queries.lock().unwrap();
    assert_eq!(queries[0].since.map(|since| NOW.as_millis() - since.as_millis()), Some(86_400_000));
    assert_eq!((queries[1].kind, queries[1].key.as_ref().unwrap().as_str()), (Some(EventKind::Denied), "k_0a1b2c3d"));
}

#[tokio::test]
async fn status_works_with_a_lost_store() {
    let fake = Fake::start(vec![]).await;
    *fake.store.lost.lock().unwrap() = true;
    assert_eq!(
        says(&fake, &["status"]).await,
        "\
serving    yes
version    0.1.0
process    42, up 1h 1m
mode       enforce
realm      default
store      sqlite:sentinel.db
last poll  just now
revision   0
pepper     PEPPER
learned    ? (the store did not answer)
pinned     ? (the store did not answer)
reserved   ? (the store did not answer)
banned     ? (the store did not answer)
"
        .replace("PEPPER", crate::fake::hasher().pepper().id().as_str())
    );
    assert_eq!(json(&fake, &["status"]).await["learned"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_server_that_breaks_off_is_exit_3() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    let output = Command::new(env!("CARGO_BIN_EXE_sentinel"))
        .env_clear()
        .args(["status", "--admin", &format!("unix:{}", socket.display())])
        .output()
        .await
        .unwrap();
    let (code, out, err) = seen(&output);
    assert!((code, out.as_str()) == (3, "") && err.lines().count() == 1 && err.contains("broke off"), "{code} {err}");
}
