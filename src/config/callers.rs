//! `listen.caller_token_file` and `listen.allow_unauthenticated_callers`: the authentication of callers.

use super::{source::Source, values::word};
use crate::net::{
    caller::{CallerToken, Callers},
    listen::Address,
};

/// Any host that reaches the port can claim any client address, so an address other than loopback needs an explicit
/// setting.
pub(super) fn take(source: &mut Source, grpc: Option<&Address>) -> Option<Callers> {
    let token = source.take_secret_file("listen.caller_token_file", CallerToken::new);
    let unauthenticated =
        source.take("listen.allow_unauthenticated_callers", word(&[("false", false), ("true", true)]));
    let (token, unauthenticated) = (token?, unauthenticated?);
    let remote = match grpc? {
        // An IPv4-mapped loopback address is loopback too.
        Address::Tcp(address) if !address.ip().to_canonical().is_loopback() => Some(address),
        _ => None,
    };
    match (token, unauthenticated, remote) {
        (Some(token), false, _) => Some(Callers::ByToken(token)),
        (Some(_), true, _) => {
            let why = "listen.caller_token_file is set as well; remove one of the two";
            source.faults.push(format!("listen.allow_unauthenticated_callers: {why}"));
            None
        }
        (None, true, Some(_)) => Some(Callers::Unauthenticated),
        (None, _, None) => Some(Callers::Local),
        (None, false, Some(address)) => {
            source.faults.push(format!(
                "listen.grpc: {address} is not loopback: any host that reaches it can claim any client address; give Envoy \
                 a token (listen.caller_token_file), use 127.0.0.1 or unix:/path, or, if the network admits only Envoy, set \
                 listen.allow_unauthenticated_callers = true"
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_text;
    use crate::net::caller::Callers;

    const TOKEN: &str = "a-token-of-32-bytes-or-more-0123456789";

    fn with_file(text: &str, content: &str) -> Result<Callers, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, content).unwrap();
        let text = text.replace("FILE", &file.display().to_string());
        let config = load_text(&format!("[listen]\n{text}"), &[]);
        assert!(!format!("{config:?}").contains("a-token-of"), "the secret is shown: {config:?}");
        config.map(|config| config.listen.callers)
    }

    #[test]
    fn a_remote_address_needs_a_setting_for_callers() {
        for grpc in ["0.0.0.0:9191", "10.0.0.5:9191", "[::]:9191", "[2001:db8::1]:9191"] {
            let faults = with_file(&format!("grpc = '{grpc}'"), "").unwrap_err();
            assert!(faults.contains(&format!("listen.grpc: {grpc} is not loopback")), "{faults}");
            assert!(faults.contains("listen.caller_token_file") && faults.lines().count() == 1, "{faults}");
            let token = with_file(&format!("grpc = '{grpc}'\ncaller_token_file = 'FILE'"), TOKEN).unwrap();
            assert!(matches!(token, Callers::ByToken(token) if token.is(TOKEN.as_bytes())));
            let anyone = format!("grpc = '{grpc}'\nallow_unauthenticated_callers = true");
            assert_eq!(with_file(&anyone, "").unwrap(), Callers::Unauthenticated);
        }
    }

    #[test]
    fn a_local_address_needs_no_token_but_may_have_one() {
        for grpc in ["127.0.0.1:9191", "127.0.0.2:9191", "[::1]:9191", "[::ffff:127.0.0.1]:9191", "unix:/run/x.sock"] {
            for anyone in ["false", "true"] {
                let text = format!("grpc = '{grpc}'\nallow_unauthenticated_callers = {anyone}");
                assert_eq!(with_file(&text, "").unwrap(), Callers::Local, "{grpc}");
            }
            let text = format!("grpc = '{grpc}'\ncaller_token_file = 'FILE'");
            assert!(matches!(with_file(&text, &format!("{TOKEN}\n")).unwrap(), Callers::ByToken(_)), "{grpc}");
        }
    }

    #[test]
    fn an_invalid_token_is_rejected() {
        for (content, expected) in [
            ("short", "a caller token needs at least 32 bytes, this one has 5"),
            ("", "a caller token needs at least 32 bytes, this one has 0"),
            ("a-token-of-two words-and-many-more-characters", "visible ASCII"),
            ("a-token-of-caf\u{e9}-and-many-more-characters", "visible ASCII"),
        ] {
            let faults = with_file("caller_token_file = 'FILE'", content).unwrap_err();
            assert!(faults.contains("listen.caller_token_file: ") && faults.contains(expected), "{faults}");
        }
        let absent = with_file("caller_token_file = '/nonexistent/token'", "").unwrap_err();
        assert!(absent.contains("/nonexistent/token: No such file"), "{absent}");
        let both = with_file("caller_token_file = 'FILE'\nallow_unauthenticated_callers = true", TOKEN).unwrap_err();
        assert!(both.contains("remove one of the two"), "{both}");
    }
}
