//! `store.url` and `store.connections`: the database.

use std::path::{Path, PathBuf};

use super::{
    source::Source,
    values::{number, utf8},
};
use crate::store::postgres;

/// The database.
#[derive(Clone, Debug)]
pub enum Store {
    /// The file of an SQLite database.
    Sqlite(PathBuf),
    /// A PostgreSQL server, for any number of replicas. Its `Debug` shows no password.
    Postgres(Box<postgres::Options>),
}

pub(super) fn take(source: &mut Source, data_dir: &Path) -> Option<Store> {
    let connections = source.take("store.connections", |text| number(text, 1..=500));
    let connections = usize::from(connections?);
    let from_text = |text: &str| parse(&text.replace("DATA_DIR", &data_dir.to_string_lossy()), connections);
    let from_file = |secret: &[u8]| parse(utf8(secret)?, connections);
    let both = source.is_written("store.url") && source.is_written("store.url_file");
    let (written, in_file) =
        (source.take("store.url", from_text), source.take_secret_file("store.url_file", from_file));
    if both {
        source.faults.push("store.url_file: store.url is set as well; remove one of the two".to_owned());
    }
    in_file?.or(written)
}

/// A fault does not repeat the text, which may hold a password.
fn parse(text: &str, connections: usize) -> Result<Store, String> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return postgres::Options::parse(text, connections)
            .map(Box::new)
            .map(Store::Postgres)
            .map_err(|fault| fault.to_string());
    }
    match text.strip_prefix("sqlite:") {
        // In other programs, `sqlite://x.db` names a file in the working directory; as a path it is in the root directory.
        Some(path) if path.starts_with("//") => {
            Err("write sqlite:/DIRECTORY/FILE, or sqlite:FILE for a file in the working directory".into())
        }
        Some(path) if !path.is_empty() && !path.starts_with(':') && !path.contains(['?', '\0']) => {
            Ok(Store::Sqlite(path.into()))
        }
        Some(_) => Err("sqlite: must be followed by the path of a file, without ? and what follows it".into()),
        None => Err("must be sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::load_text, Store};

    const PEPPER: &str = "\n[pepper]\nsecrets = ['0123456789abcdef0123456789abcdef']";

    #[test]
    fn a_postgres_url_is_read_from_text_or_file_and_needs_a_pepper() {
        let url = "postgres://sentinel:s3cret@db.example:6432/keys";
        let config = load_text(&format!("[store]\nurl = '{url}'{PEPPER}"), &[]).unwrap();
        assert!(matches!(&config.store, Store::Postgres(options) if options.to_string() == "db.example:6432/keys"));
        assert!(!format!("{config:?}").contains("s3cret"));

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("url");
        std::fs::write(&file, format!("{url}\n")).unwrap();
        let text = format!("[store]\nurl_file = '{}'{PEPPER}", file.display());
        assert!(matches!(load_text(&text, &[]).unwrap().store, Store::Postgres(_)));
        let both = load_text(&text, &[("SENTINEL_STORE__URL", "sqlite:a.db")]).unwrap_err();
        assert!(both.contains("store.url_file: store.url is set as well"), "{both}");

        let none = load_text(&format!("[store]\nurl = '{url}'"), &[]).unwrap_err();
        assert!(none.starts_with("pepper.secrets_file: ") && none.lines().count() == 1, "{none}");
    }

    #[test]
    fn a_wrong_url_is_a_fault_without_the_password() {
        for (url, fault) in [
            ("postgres://u:s3cret@h:port/d", "is not a valid postgres://"),
            ("postgres://u:s3cret@h/d?sslmode=prefer", "sslmode=prefer is not supported"),
            ("postgres://u:s3cret@h", "the URL has no database"),
            ("mysql://u:s3cret@h/d", "must be sqlite:PATH or postgres://"),
            ("sqlite://s3cret.db", "write sqlite:/DIRECTORY/FILE, or sqlite:FILE"),
            ("sqlite:///s3cret.db", "write sqlite:/DIRECTORY/FILE, or sqlite:FILE"),
            ("sqlite:s3cret.db?mode=ro", "sqlite: must be followed by the path of a file, without ?"),
        ] {
            let faults = load_text(&format!("[store]\nurl = '{url}'{PEPPER}"), &[]).unwrap_err();
            assert!(faults.starts_with(&format!("FILE: line 2: store.url: {fault}")), "{faults}");
            assert!(!faults.contains("s3cret"), "{faults}");
        }
        for connections in ["0", "501", "many"] {
            let faults = load_text(&format!("[store]\nconnections = '{connections}'"), &[]).unwrap_err();
            assert!(faults.contains("store.connections: "), "{faults}");
        }
    }
}
