//! A store that only an operator can mend ends the start with one error, which names the setting and no password.

use crate::{
    common::{Home, PEPPER, postgres::PASSWORD, postgres::Postgres, within},
    replica,
};

/// The one line of its end.
async fn refusal(home: &Home) -> String {
    let mut process = home.spawn();
    let status = within("sentinel ends", process.wait()).await;
    let log = process.stderr();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(!log.contains(PASSWORD) && !log.contains("panicked") && !log.contains(PEPPER), "{log}");
    let errors: Vec<_> = log.lines().filter(|line| line.starts_with("error") || line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "{log}");
    assert_eq!(log.lines().last(), Some(errors[0]), "{log}");
    errors[0].to_owned()
}

async fn assert_refused(home: &Home, setting: &str, why: &[&str]) {
    let line = refusal(home).await;
    assert!(line.starts_with(&format!("error: {setting}: ")), "{line}");
    for words in why {
        assert!(line.contains(words), "{words}: {line}");
    }
}

#[tokio::test]
async fn another_pepper() {
    let url = Postgres::shared().await.database().await;
    replica(&url).start().await.stop().await;
    let home = replica(&url).set("pepper.secrets", "[\"another-pepper-for-tests-0123456789-abc\"]");
    assert_refused(&home, "pepper.secrets", &["the active pepper of this store is ", "List pepper "]).await;
}

#[tokio::test]
async fn a_newer_schema() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    replica(&url).start().await.stop().await;
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
        VALUES (99, 'newer', '2027-01-01T00:00:00Z', '1')";
    postgres.query(&url, newer).await;
    assert_refused(&replica(&url), "store.url", &["has schema version 99", "use a newer version"]).await;
}

#[tokio::test]
async fn a_wrong_password() {
    let url = Postgres::shared().await.database().await.replace(PASSWORD, "secret-but-wrong");
    let line = refusal(&replica(&url)).await;
    assert!(line.starts_with("error: store.url: ") && line.contains("password authentication failed"), "{line}");
    assert!(!line.contains("secret-but-wrong"), "{line}");
}

#[tokio::test]
async fn a_database_that_does_not_exist() {
    let url = format!("{}_gone", Postgres::shared().await.database().await);
    assert_refused(&replica(&url), "store.url", &["_gone\" does not exist (3D000)"]).await;
}

#[tokio::test]
async fn a_database_that_is_read_only() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    postgres.read_only(&url, true).await;
    let why = ["is read-only (default_transaction_read_only is on)", "the primary"];
    assert_refused(&replica(&url), "store.url", &why).await;
}

#[tokio::test]
async fn a_database_where_nothing_may_be_made() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    postgres.query(&url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC; ALTER SCHEMA public OWNER TO postgres").await;
    assert_refused(&replica(&url), "store.url", &["permission denied for schema public"]).await;
}

#[tokio::test]
async fn a_server_of_another_authority_or_another_name() {
    let postgres = Postgres::with_tls().await;
    let files = postgres.certificates();
    let url = postgres.database().await;
    let verified = |url: &str, ca: &std::path::Path| {
        url.replace("sslmode=require", &format!("sslmode=verify-full&sslrootcert={}", ca.display()))
    };
    replica(&verified(&url, &files.ca)).start().await.stop().await;
    let other_ca = replica(&verified(&url, &files.other_ca));
    assert_refused(&other_ca, "store.url", &["invalid peer certificate"]).await;
    let by_name = replica(&verified(&url.replace("127.0.0.1", "localhost"), &files.ca));
    assert_refused(&by_name, "store.url", &["invalid peer certificate", "not valid for name"]).await;
    let plain = replica(&url.replace("sslmode=require", "sslmode=disable"));
    assert_refused(&plain, "store.url", &["no pg_hba.conf entry", "no encryption"]).await;
    let no_ca = replica(&verified(&url, std::path::Path::new("/nowhere/ca.pem")));
    assert_refused(&no_ca, "store.url", &["sslrootcert /nowhere/ca.pem", "No such file"]).await;
}

#[tokio::test]
async fn an_address_that_is_none() {
    for (url, why) in [
        ("postgres://u:s3cret@h:port/d", "is not a valid postgres://"),
        ("postgres://u:s3cret@h/d?sslmode=prefer", "sslmode=prefer is not supported"),
    ] {
        let home = replica(url);
        let mut process = home.spawn();
        assert!(!within("sentinel ends", process.wait()).await.success());
        let log = process.stderr();
        assert!(log.contains("store.url: ") && log.contains(why) && !log.contains("s3cret"), "{log}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let latin = "CREATE DATABASE latin OWNER sentinel ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    postgres.query(&url, latin).await;
    let place = url.rsplit_once('/').unwrap().0;
    assert_refused(&replica(&format!("{place}/latin")), "store.url", &["has the encoding LATIN1; UTF8 is required"])
        .await;
}
