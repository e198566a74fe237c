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
pub(crate) fn texts(realm: &'static Realm) -> impl Strategy<Value = String> {
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
        " undefined",
        " null",
        " none",
        "null ",
        "not-needed",
        "YOUR_API_KEY",
        "sk-no-key-required",
        "xxxxxxxx",
        "AWS4-HMAC-SHA256 Credential=Bearer ",
        "/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "$OPENAI_API_KEY",
        "Credential=",
        "AWS4-HMAC-SHA256",
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

/// Headers and a path.
pub(crate) type Request = (Vec<(String, Vec<u8>)>, Vec<u8>);

fn requests(realm: &'static Realm) -> impl Strategy<Value = Request> {
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

/// Requests that often have the own carrier and a foreign one, on a path near the listed ones.
fn foreign() -> impl Strategy<Value = (&'static Realm, Request, String)> {
    let paths = [
        "/vertex_ai/x",
        "/vertex_ai/x?a=1",
        "/vertex_ai",
        "/vertex_ai/",
        "/vertex_ai/../x",
        "/vertex_ai//x",
        "/vertex_ai/%2e",
        "/github_mcp/mcp",
        "/github_mcp/mcp/",
        "/github_mcp/Mcp",
        "/anthropic/v1/messages",
        "/anthropic/v1/messages;x",
        "/apim/x",
        "/apim/x/y",
        "/apim",
        "/rest/v1/t",
        "/rest/v1/..",
        "/auth/v1/user",
        "/auth/v1/users",
        "/",
        "*",
    ];
    let realms = ["litellm+foreign", "azure-openai+foreign", "supa"].map(Realm::named);
    let own = ["x-litellm-api-key", "ocp-apim-subscription-key", "apikey"];
    let token = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
    select(vec![0, 1, 2]).prop_flat_map(move |nth| {
        let realm = realms[nth];
        let beside = prop_oneof![3 => Just(realm.k.to_owned()), 1 => texts(realm)];
        let other =
            prop_oneof![2 => Just(token.to_owned()), 1 => Just(format!("Bearer {}", realm.l)), 2 => texts(realm)];
        let name = select(vec!["authorization", "Authorization", "x-api-key", "upgrade", "x-rewrite-url", "x-other"]);
        let pair = (beside, name, other, any::<bool>()).prop_map(move |(key, name, value, both)| {
            let own = both.then(|| (own[nth].to_owned(), key.into_bytes()));
            own.into_iter().chain([(name.to_owned(), value.into_bytes())]).collect::<Vec<_>>()
        });
        let requests = (pair, requests(realm))
            .prop_map(|(pair, (more, path))| (pair.into_iter().chain(more.into_iter().take(1)).collect(), path));
        (Just(realm), requests, select(paths.to_vec()).prop_map(str::to_owned))
    })
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

    /// The same beside credentials of another realm, on paths that are listed and on those that only look so.
    #[test]
    fn foreign_credentials_are_read_as_the_rules_say((realm, (headers, _), path) in foreign()) {
        let credentials = realm.credentials();
        let allowed = oracle::Allowed { foreign: realm.foreign(), ..Default::default() };
        let name = credentials.profile.name;
        let found = read(&credentials, &credentials.profile, &headers, path.as_bytes());
        let wanted = oracle::key_with(name, &headers, path.as_bytes(), &allowed).map(|key| key.map(ApiKey::new));
        prop_assert_eq!(found, wanted, "{:?} {:?}", headers, path);
        let lines = headers.iter().map(|(name, value)| Header { name, value });
        let kept = credentials.kept(&credentials.profile, lines, path.as_bytes());
        prop_assert_eq!(kept, oracle::kept(name, &headers, path.as_bytes(), &allowed), "{:?} {:?}", headers, path);
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
