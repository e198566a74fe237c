//! Properties of every text and every request.

use key_ip_sentinel::{
    credential::{Credentials, Fault, Header, Place, Profile},
    domain::ApiKey,
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{oracle, realms::Realm};

/// Realms of one profile each and without options.
const PLAIN: [&str; 12] = [
    "generic",
    "openai",
    "anthropic",
    "azure-openai",
    "gemini",
    "one-api",
    "new-api",
    "litellm",
    "acme",
    "php",
    "sanctum",
    "desk",
];

/// Texts that are nearly keys: pieces of what gateways cut, around the realm's own keys.
fn texts(realm: &'static Realm) -> impl Strategy<Value = String> {
    let pieces = [
        "Bearer ",
        "bearer ",
        "BEARER ",
        "Bearer",
        " ",
        "\t",
        "sk-",
        "token=",
        "|",
        "12|",
        "=",
        "SK-",
        "acme_",
        "-",
        "-1",
        "-12",
        "-x",
        ",",
        ", ",
        ";",
        "midjourney-proxy",
        "%20",
        "%2D",
        "%",
        "+",
        "!",
        "é",
        "\u{a0}",
        "x",
        "Basic ",
        "Token ",
        "token",
        "ApiKey ",
        "apikey",
        "OnVzZXI6",
        "undefined",
        "not-needed",
        "YOUR_API_KEY",
        "sk-no-key-required",
        "xxxxxxxx",
        "$OPENAI_API_KEY",
        "${",
        "<",
        "openai-insecure-api-key.",
        "OpenAI-Insecure-Api-Key.",
        "realtime",
        "acme_token=",
        " acme_token=",
        "\u{a0}acme_token ",
        "\"",
        "\\acme_token=",
        "1[acme_token=",
        "acme.token=",
        "acme%5ftoken[]=",
        "php.key=",
        "php_key=",
        "a=1",
        "0123456789abcdef",
    ];
    let keys = [realm.k.to_owned(), realm.l.to_owned(), realm.k.to_lowercase(), realm.k.to_uppercase()];
    let piece = prop_oneof![
        3 => select(keys.to_vec()),
        5 => select(pieces.to_vec()).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
    ];
    // One in three is plain, so that pairs of good keys are common.
    prop_oneof![
        2 => vec(piece, 0..5).prop_map(|pieces| pieces.concat()),
        1 => select(keys.to_vec()),
        1 => select(keys.to_vec()).prop_map(|key| format!("Bearer {key}")),
        1 => select(keys.to_vec()).prop_map(|key| format!("Token {key}")),
        1 => (select(keys.to_vec()), select(vec!["{K}:", ":{K}", "api:{K}", "a:b:{K}", "\u{1}:{K}", "{K}:{K}"]))
            .prop_map(|(key, form)| format!("Basic {}", oracle::base64(form.replace("{K}", &key).as_bytes()))),
    ]
}

fn requests(realm: &'static Realm) -> impl Strategy<Value = (Vec<(String, Vec<u8>)>, Vec<u8>)> {
    let names = [
        "x_api_key",
        "x.api.key",
        "api!key",
        "x~acme'key",
        "sec-websocket-protocol",
        "cookie",
        "x-acme-key",
        "x-acme-auth",
        "x-desk-login",
        "x.desk-user",
        "x-other",
    ];
    let parameters = [
        "key",
        "KEY",
        "k%65y",
        "%24key",
        "$key",
        "api-key",
        "subscription-key",
        "access_token",
        "%24httpHeaders",
        "token",
        "to%6ben",
        "Token",
        "token[]",
        "[token]",
        "a;token",
        "%c2%a0token",
        "+token",
        "%u0074oken",
        "api_key",
        "api.key",
        "api[key",
        "api%20key%00",
        "k%6",
        "keys",
        "x",
    ];
    let names = [&names[..], &oracle::CREDENTIAL_HEADERS].concat();
    let header = (select(names), texts(realm)).prop_map(|(name, value)| (name.to_owned(), value.into_bytes()));
    let parameter = (select(parameters.to_vec()), texts(realm), any::<bool>())
        .prop_map(|(name, value, bare)| if bare { name.to_owned() } else { format!("{name}={value}") });
    let path = vec(parameter, 0..3).prop_map(|pairs| format!("/v1/x?{}", pairs.join("&")).into_bytes());
    (vec(header, 0..4), prop_oneof![2 => Just(b"/v1/x".to_vec()), 1 => path])
}

fn realm_and<T: Strategy>(of: fn(&'static Realm) -> T) -> impl Strategy<Value = (&'static Realm, T::Value)> {
    select(PLAIN.to_vec()).prop_map(Realm::named).prop_flat_map(move |realm| (Just(realm), of(realm)))
}

fn read(
    credentials: &Credentials,
    profile: &Profile,
    headers: &[(String, Vec<u8>)],
    path: &[u8],
) -> Result<Option<ApiKey>, Fault> {
    credentials.key(profile, headers.iter().map(|(name, value)| Header { name, value }), path)
}

/// Who changes what a profile reads changes what its allows remove, and must mean both.
#[test]
fn what_a_profile_does_not_read_it_removes() {
    for realm in PLAIN {
        let read = oracle::header_names(realm);
        let mut wanted = oracle::CREDENTIAL_HEADERS.to_vec();
        wanted.retain(|name| !read.contains(&name.replace('_', "-").as_str()));
        let mut removed = Realm::named(realm).credentials().profile.unread.to_vec();
        wanted.sort_unstable();
        removed.sort_unstable();
        assert_eq!(removed, wanted, "{realm}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    /// The canonical key of a canonical key is itself, and is what the slow reading says.
    #[test]
    fn canonicalisation_is_idempotent((realm, text) in realm_and(texts)) {
        let credentials = realm.credentials();
        let wanted = oracle::canonical(realm.name, &text);
        let found = credentials.bare_key(&credentials.profile, &text);
        prop_assert_eq!(&found, &wanted.clone().map(ApiKey::new));
        if let Some(canonical) = wanted {
            prop_assert_eq!(credentials.bare_key(&credentials.profile, &canonical), found);
            prop_assert_eq!(oracle::canonical(realm.name, &canonical), Some(canonical));
        }
    }

    /// Whatever place of a realm shows a text, in whichever of its profiles: it is one key, or none.
    #[test]
    fn a_text_is_one_key_in_every_place((realm, text) in realm_and(texts)) {
        let credentials = realm.credentials();
        let listed = key_ip_sentinel::credential::PROFILES.into_iter();
        let alike = listed.filter(|it| it.grammar.canonical == credentials.profile.grammar.canonical);
        let mut keys: Vec<ApiKey> = Vec::new();
        for profile in alike.chain([credentials.profile]) {
            for carrier in profile.carriers {
                let (headers, path) = match carrier.place {
                    Place::Header(name) => (vec![(name.to_owned(), text.clone())], "/".to_owned()),
                    Place::Cookie(name) => (vec![("cookie".to_owned(), format!("{name}={text}"))], "/".to_owned()),
                    Place::Query(name) => (Vec::new(), format!("/?{name}={text}")),
                    Place::Protocol(_) => {
                        let entry = format!("realtime, openai-insecure-api-key.{text}");
                        (vec![("sec-websocket-protocol".to_owned(), entry)], "/".to_owned())
                    }
                };
                let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
                if let Ok(Some(key)) = read(&credentials, &profile, &headers, path.as_bytes()) {
                    keys.push(key);
                }
            }
        }
        prop_assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    }

    /// Every request is read as the slow reading reads it.
    #[test]
    fn requests_are_read_as_the_rules_say((realm, (headers, path)) in realm_and(requests)) {
        let credentials = realm.credentials();
        let found = read(&credentials, &credentials.profile, &headers, &path);
        let wanted = oracle::key(realm.name, &headers, &path).map(|key| key.map(ApiKey::new));
        prop_assert_eq!(found, wanted, "{:?} {:?}", headers, String::from_utf8_lossy(&path));
    }

    /// No bytes at all make it panic.
    #[test]
    fn any_bytes_get_a_verdict(value in vec(any::<u8>(), 0..40), path in vec(any::<u8>(), 0..40)) {
        for profile in key_ip_sentinel::credential::PROFILES {
            let credentials = Credentials { profile, route_profiles: Vec::new(), options: Default::default() };
            for name in ["authorization", "x-api-key", "cookie", "sec-websocket-protocol"] {
                let _ = read(&credentials, &profile, &[(name.to_owned(), value.clone())], &path);
            }
        }
    }
}
