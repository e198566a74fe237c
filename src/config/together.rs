//! Settings of different rooms that do not fit together.

use std::{net::SocketAddr, path::Path};

use super::source::Faults;
use crate::{
    client_ip::{Resolver, Source},
    credential::{CREDENTIAL_HEADERS, Credentials, Place, same_name},
    listen::Address,
};

/// Two listeners on one address: the second would be refused it at the start.
pub(super) fn listeners(faults: &mut Faults, grpc: &Address, http: &Address, admin: &Path) {
    match (grpc, http) {
        (Address::Unix(grpc), _) if grpc == admin => {
            faults.push(format!("listen.admin: {} is the address of listen.grpc", admin.display()));
        }
        (Address::Tcp(grpc), Address::Tcp(http)) if clash(grpc, http) => {
            faults.push(format!("listen.http: {http} is the address of listen.grpc ({grpc})"));
        }
        _ => {}
    }
}

fn clash(a: &SocketAddr, b: &SocketAddr) -> bool {
    // Port 0 is another one each time.
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

/// A header with both an address and a key: the client would write its own address.
pub(super) fn header(faults: &mut Faults, client_ip: &Resolver, credentials: &Credentials) {
    let Source::Header(name) = &client_ip.source else { return };
    let profiles = std::iter::once(&credentials.profile).chain(&credentials.route_profiles);
    let read = profiles.flat_map(|profile| profile.carriers).filter_map(|carrier| match carrier.place {
        Place::Header(name) => Some(name),
        Place::Query(_) | Place::Cookie(_) | Place::Protocol(_) => None,
    });
    let mut keys = read.chain(CREDENTIAL_HEADERS).chain(["cookie", "sec-websocket-protocol"]);
    if keys.any(|key| same_name(key, name)) {
        faults.push(format!("client_ip.header: {name} is where clients send keys, so no proxy writes addresses there"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_text;

    #[test]
    fn two_listeners_have_two_addresses() {
        for (text, expected) in [
            ("http = '127.0.0.1:9191'", "listen.http: 127.0.0.1:9191 is the address of listen.grpc"),
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
    fn a_header_with_keys_has_no_addresses() {
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
            assert!(faults.contains("is where clients send keys") && faults.lines().count() == 1, "{header}: {faults}");
            load_text(&text("x-real-ip"), &[]).unwrap();
        }
    }
}
