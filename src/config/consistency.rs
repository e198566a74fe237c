//! Consistency between settings of different modules.

use std::{fs, net::SocketAddr, path::Path};

use super::{
    source::{Faults, SecretFile},
    store::Store,
};
use crate::{
    client_ip::{Resolver, Source},
    credential::{CREDENTIAL_HEADERS, Credentials, Place, same_name},
    domain::Peppers,
    net::listen::Address,
};

/// Two listeners cannot have the same address.
pub(super) fn listeners(faults: &mut Faults, grpc: &Address, http: &Address, admin: &Path) {
    match (grpc, http) {
        (Address::Unix(grpc), _) if grpc == admin => {
            faults.push(format!("listen.admin: {} is the address of listen.grpc; use another path", admin.display()));
        }
        (Address::Tcp(grpc), Address::Tcp(http)) if clash(grpc, http) => {
            faults.push(format!("listen.http: {http} is the address of listen.grpc ({grpc}); use another port"));
        }
        _ => {}
    }
}

fn clash(a: &SocketAddr, b: &SocketAddr) -> bool {
    // Port 0 is a different free port each time.
    let (host, other) = (a.ip().to_canonical(), b.ip().to_canonical());
    a.port() == b.port() && a.port() != 0 && (host == other || host.is_unspecified() || other.is_unspecified())
}

/// A pepper must not be the callers' token too: Envoy, and any reader of its configuration, would know the pepper.
pub(super) fn secrets(faults: &mut Faults, files: &[SecretFile]) {
    let (tokens, peppers): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.name == "listen.caller_token_file");
    let real = |file: &&SecretFile| fs::canonicalize(&file.path).ok();
    for pepper in peppers {
        if tokens.iter().any(|token| real(token).is_some_and(|path| real(&pepper).is_some_and(|it| it == path))) {
            faults.push(format!(
                "{}: {} is the file of listen.caller_token_file too; use two secrets",
                pepper.name,
                pepper.path.display()
            ));
        }
    }
}

/// A store for several replicas needs a shared pepper.
pub(super) fn replicas(faults: &mut Faults, store: Option<&Store>, peppers: Option<&Option<Peppers>>) {
    if let (Some(Store::Postgres(_)), Some(None)) = (store, peppers) {
        faults.push(
            "pepper.secrets_file: a postgres:// store needs a configured pepper, the same on every replica; create one with \
             `sentinel pepper new`"
                .to_owned(),
        );
    }
}

/// The header of the client's address must not be one in which clients send keys.
pub(super) fn header(faults: &mut Faults, client_ip: &Resolver, credentials: &Credentials) {
    let Source::Header(name) = &client_ip.source else { return };
    let profiles = std::iter::once(&credentials.profile).chain(&credentials.route_profiles);
    let read = profiles.flat_map(|profile| profile.carriers).filter_map(|carrier| match carrier.place {
        Place::Header(name) => Some(name),
        Place::Query(_) | Place::Cookie(_) | Place::Protocol(_) => None,
    });
    let mut keys = read.chain(CREDENTIAL_HEADERS).chain(["cookie", "sec-websocket-protocol"]);
    if keys.any(|key| same_name(key, name)) {
        faults.push(format!(
            "client_ip.header: clients send keys in {name}; name the header in which your proxy writes the address"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_text;

    #[test]
    fn listeners_with_one_address_are_a_fault() {
        for (text, expected) in [
            ("http = '127.0.0.1:9191'", "listen.http: 127.0.0.1:9191 is the address of listen.grpc"),
            ("http = '[::ffff:127.0.0.1]:9191'", "listen.http: [::ffff:127.0.0.1]:9191 is the address of listen.grpc"),
            ("http = '0.0.0.0:9191'", "listen.http: 0.0.0.0:9191 is the address of listen.grpc"),
            ("grpc = 'unix:/run/s/a.sock'\nadmin = 'unix:/run/s/a.sock'", "listen.admin: /run/s/a.sock is the address"),
        ] {
            let faults = load_text(&format!("[listen]\n{text}"), &[]).unwrap_err();
            assert!(faults.contains(expected) && faults.lines().count() == 1, "{faults}");
        }
        for text in ["http = '127.0.0.2:9191'", "http = '127.0.0.1:0'\ngrpc = '127.0.0.1:0'"] {
            load_text(&format!("[listen]\n{text}"), &[]).unwrap();
        }
    }

    #[test]
    fn the_pepper_and_the_callers_token_are_different_files() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link, other] = ["secret", "link", "other"].map(|name| directory.path().join(name));
        std::fs::write(&file, "0123456789abcdefghijklmnopqrstuv").unwrap();
        std::fs::write(&other, "vutsrqponmlkjihgfedcba9876543210").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let load = |pepper: &std::path::Path| {
            let [pepper, token] = [pepper, &file].map(|path| path.to_str().unwrap().to_owned());
            let listed = format!("pepper.secrets_file = ['{pepper}']\nlisten.caller_token_file = '{token}'");
            let by_name = load_text(
                "",
                &[("SENTINEL_HMAC_SECRET_FILE", &pepper), ("SENTINEL_LISTEN__CALLER_TOKEN_FILE", &token)],
            );
            [load_text(&listed, &[]), by_name]
        };
        for same in [&file, &link] {
            for faults in load(same).map(Result::unwrap_err) {
                assert!(
                    faults.contains("is the file of listen.caller_token_file") && faults.lines().count() == 1,
                    "{faults}"
                );
            }
        }
        assert!(load(&other).iter().all(Result::is_ok));
    }

    #[test]
    fn the_address_header_is_not_a_key_header() {
        const CUSTOM: &str = "[credentials.custom.a]\ncarriers = ['header x-a bare']\n";
        for (header, profile) in [
            ("authorization", "generic"),
            ("X-Api-Key", "openai"),
            ("x_api_key", "openai"),
            ("x.api!key", "openai"),
            ("cookie", "generic"),
            ("Sec-WebSocket-Protocol", "generic"),
            ("x-http-method-override", "gemini"),
            ("x-a", "a"),
        ] {
            let text = |header: &str| {
                format!(
                    "credentials.profile = '{profile}'\n{CUSTOM}[client_ip]\nsource = 'header'\nheader = '{header}'\n\
                     trusted_proxies = ['10.0.0.1']"
                )
            };
            let faults = load_text(&text(header), &[]).unwrap_err();
            assert!(faults.contains("clients send keys in") && faults.lines().count() == 1, "{header}: {faults}");
            load_text(&text("x-real-ip"), &[]).unwrap();
        }
    }
}
