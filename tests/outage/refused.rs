//! A store that only an operator can mend ends the start with one error, which names the setting and no password.

use crate::{
    common::{Home, PEPPER, eventually, postgres::PASSWORD, postgres::Postgres, within},
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

/// Exit code and output of `sentinel migrate`.
fn migrate(home: &Home, options: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sentinel"));
    let output = command.env_clear().arg("migrate").args(options).arg("--config").arg(home.config()).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// Without its bindings, every key would belong to the next network that uses it. Sabotage: `prepare` in place of
/// `prepare_existing` in src/app/store.rs.
#[tokio::test]
async fn a_lost_store_until_an_operator_creates_a_new_one() {
    let postgres = Postgres::shared().await;
    let why =
        ["has no store of Sentinel, but a pepper is configured", "restore the backup", "`sentinel migrate --init`"];
    for lose in [
        "",
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION sentinel",
        "DO $$ DECLARE name text; BEGIN
             FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                 AND relname <> 'refinery_schema_history'
             LOOP EXECUTE format('TRUNCATE %I CASCADE', name); END LOOP; END $$",
    ] {
        let url = postgres.database().await;
        if !lose.is_empty() {
            let sentinel = replica(&url).start().await;
            assert_eq!(sentinel.check().key("sk-0123456789").send().await.reason(), "first_use");
            sentinel.stop().await;
            postgres.query(&url, lose).await;
        }
        let tables = async || postgres.query(&url, "SELECT count(*) FROM pg_class").await;
        let before = tables().await;
        assert_refused(&replica(&url), "store.url", &why).await;
        let (code, said) = migrate(&replica(&url), &[]);
        assert!(code == Some(1) && why.iter().all(|words| said.contains(words)), "{said}");
        assert_eq!(tables().await, before, "nothing is created");
        if lose.starts_with("DO") {
            postgres.query(&url, "INSERT INTO revision (value, floor) VALUES (0, 0)").await;
        }
        let created = migrate(&replica(&url), &["--init"]);
        assert!(created.0 == Some(0) && created.1.ends_with(" is up to date.\n"), "{}", created.1);
        let (again, sentinel) = (migrate(&replica(&url), &["--init"]), replica(&url).start().await);
        assert_eq!((again, sentinel.check().key("sk-0123456789").send().await.reason()), (created, "first_use"));
        sentinel.stop().await;
    }
}

/// The same for a store that is empty when it answers at last.
#[tokio::test]
async fn a_store_that_is_empty_when_it_comes_back() {
    let mut postgres = Postgres::start().await;
    let url = postgres.database().await;
    postgres.stop().await;
    let home = replica(&url);
    let mut process = home.spawn();
    let waits = async || process.stderr().contains("cannot connect to the store yet").then_some(());
    eventually("it waits for the store", waits).await;
    postgres.start_again().await;
    assert_eq!(within("sentinel ends", process.wait()).await.code(), Some(1));
    let log = process.stderr();
    assert!(log.lines().last().unwrap().contains("has no store of Sentinel, but a pepper is configured"), "{log}");
}

#[tokio::test]
async fn another_pepper() {
    let url = Postgres::shared().await.database().await;
    replica(&url).start().await.stop().await;
    let home = replica(&url).set("pepper.secrets", "[\"another-pepper-for-tests-0123456789-abc\"]");
    assert_refused(
        &home,
        "pepper.secrets, pepper.secrets_file or DATA_DIR/pepper",
        &["the active pepper of this store is ", "List pepper "],
    )
    .await;
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
    let (code, said) = migrate(&replica(&url), &["--init"]);
    assert!(said.starts_with("error: store.url: ") && said.contains("permission denied for schema public"), "{said}");
    assert_eq!(code, Some(1));
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
