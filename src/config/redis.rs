//! `redis.*`: the shared cache and the notifications of the replicas.

use std::path::Path;

use super::{
    Store,
    source::Source,
    values::{name, utf8},
};
use crate::{files, net::redis_link::Options};

/// `Some(None)` without Redis.
pub(super) fn take(source: &mut Source, store: Option<&Store>) -> Option<Option<Options>> {
    let both = source.is_written("redis.url") && source.is_written("redis.url_file");
    let needs_url = source.is_written("redis.ca_file") || source.is_written("redis.prefix");
    let url = source.take_if_written("redis.url", |text| Ok(text.to_owned()));
    let from_file = source.take_secret_file("redis.url_file", |secret| utf8(secret).map(str::to_owned));
    let ca = source.take_if_written("redis.ca_file", |file| {
        files::read(Path::new(file), files::CONFIG).map_err(|cause| format!("{file}: {cause}"))
    });
    let prefix = source.take("redis.prefix", name);
    if both {
        source.faults.push("redis.url_file: redis.url is set as well; remove one of the two".to_owned());
    }
    let (url, ca, prefix) = (from_file?.or(url?), ca?, prefix?);
    let Some(url) = url else {
        if needs_url {
            source.faults.push("redis.ca_file and redis.prefix need redis.url or redis.url_file".to_owned());
        }
        return Some(None);
    };
    if let Some(Store::Sqlite(_)) = store {
        let fault = "redis.url: needs a postgres:// store; a sqlite: store has one process, which needs no Redis";
        source.faults.push(fault.to_owned());
    }
    match Options::new(&url, ca.as_ref().map(|pem| pem.as_slice()), &prefix) {
        Ok(options) => Some(Some(options)),
        Err(fault) => {
            let setting = if fault.concerns_ca() { "redis.ca_file" } else { "redis.url" };
            source.faults.push(format!("{setting}: {fault}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_text;

    const STORE: &str = "[pepper]\nsecrets = ['0123456789abcdef0123456789abcdef']\n[store]\nurl = 'postgres://u@h/d'\n";

    #[test]
    fn redis_needs_a_postgres_store_and_debug_shows_no_password() {
        let config = load_text(&format!("{STORE}[redis]\nurl = 'redis://:s3cret@h:1'\nprefix = 'a'"), &[]).unwrap();
        assert!(config.redis.is_some());
        assert!(!format!("{config:?}").contains("s3cret"));
        assert!(load_text(STORE, &[]).unwrap().redis.is_none());
    }

    #[test]
    fn a_setting_without_effect_is_a_fault() {
        for (redis, fault) in [
            ("url = 'http://:s3cret@h'", "redis.url: redis://"),
            ("url = 'redis://:s3cret@h'\nca_file = '/etc/hostname'", "redis.ca_file: is used only with rediss://"),
            ("ca_file = '/nonexistent'\nurl = 'rediss://h'", "FILE: line 6: redis.ca_file: /nonexistent: "),
            ("prefix = 'a b'\nurl = 'redis://h'", "FILE: line 6: redis.prefix: "),
            ("prefix = 'a'", "redis.ca_file and redis.prefix need redis.url"),
        ] {
            let faults = load_text(&format!("{STORE}[redis]\n{redis}"), &[]).unwrap_err();
            assert!(faults.starts_with(fault) && !faults.contains("s3cret"), "{faults}");
        }
        let faults = load_text("[redis]\nurl = 'redis://h'", &[]).unwrap_err();
        assert!(faults.starts_with("redis.url: needs a postgres:// store"), "{faults}");
        let both = load_text("[redis]\nurl = 'h:6379'", &[]).unwrap_err();
        assert!(
            both.contains("redis.url: needs a postgres:// store") && both.contains("redis.url: redis://"),
            "{both}"
        );
    }
}
