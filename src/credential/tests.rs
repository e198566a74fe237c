use super::*;
use crate::domain::{ApiKey, MAX_KEY};

fn credentials(profile: &str) -> Credentials {
    let profile = Profile::by_name(profile).unwrap();
    Credentials { profile, route_profiles: Vec::new(), options: Options::default() }
}

fn read(headers: &[(&str, &[u8])]) -> Result<Option<ApiKey>, Fault> {
    let credentials = credentials("generic");
    credentials.key(&credentials.profile, headers.iter().map(|(name, value)| Header { name, value }), b"/")
}

fn key(text: &str) -> Result<Option<ApiKey>, Fault> {
    Ok(Some(ApiKey::new(text.to_owned())))
}

const K: &str = "sk-0123456789";

#[test]
fn accepted_forms_reduce_to_one_key() {
    for (name, value) in [
        ("authorization", "Bearer sk-0123456789"),
        ("authorization", "bearer sk-0123456789"),
        ("authorization", "BEARER sk-0123456789"),
        ("authorization", "  Bearer sk-0123456789\t "),
        ("authorization", "sk-0123456789"),
        ("x-api-key", "sk-0123456789"),
        ("x-api-key", " sk-0123456789 "),
        ("X-Api-Key", "sk-0123456789"),
        ("x_api_key", "sk-0123456789"),
        ("api-key", "sk-0123456789"),
    ] {
        assert_eq!(read(&[(name, value.as_bytes())]), key(K), "{name}: {value:?}");
    }
}

#[test]
fn everything_else_is_malformed() {
    for value in [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer  sk-0123456789",
        "Bearer\tsk-0123456789",
        "Bearer sk-0123 456789",
        "BearerBearersk-0123456789",
        "Bearersk-0123456789",
        "Bearer Bearer sk-0123456789",
        "Basic dXNlcjpwYXNz",
        "Bearer=sk-0123456789",
        "Token sk-0123456789",
        "Bearer short",
        "Bearer sk-0123456789!",
        "Bearer \"sk-0123456789\"",
        "Bearer sk-0123456789;x",
        "Bearer sk-ключ-0123456789",
    ] {
        assert_eq!(read(&[("authorization", value.as_bytes())]), Err(Fault::Malformed), "{value:?}");
    }
    assert_eq!(read(&[("x-api-key", b"Bearer sk-0123456789")]), Err(Fault::Malformed));
    assert_eq!(read(&[("authorization", b"Bearer sk-\xff0123456789")]), Err(Fault::Malformed));
    let long = "a".repeat(MAX_KEY + 1);
    assert_eq!(read(&[("x-api-key", long.as_bytes())]), Err(Fault::Malformed));
}

/// Keys are hashed, so only what Envoy passes limits their length. Where a generator has a fixed length, that counts.
#[test]
fn a_key_may_be_as_long_as_envoys_headers() {
    let token = format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", "a".repeat(MAX_KEY - 26));
    for (name, prefix) in [
        ("generic", ""),
        ("openai", "sk-"),
        ("openai", "ek_"),
        ("anthropic", "sk-ant-"),
        ("gemini", "AQ."),
        ("litellm", "sk-"),
    ] {
        let credentials = credentials(name);
        let key = |length: usize| {
            let text = format!("{prefix}{}", "a".repeat(length - prefix.len()));
            credentials.bare_key(&credentials.profile, &text)
        };
        assert!(key(4_097).is_some() && key(MAX_KEY).is_some() && key(MAX_KEY + 1).is_none(), "{name}");
    }
    for name in ["generic", "azure-openai", "litellm"] {
        let mut credentials = credentials(name);
        credentials.options.opaque_jwt = true;
        let key = |text: &str| credentials.bare_key(&credentials.profile, text);
        assert_eq!(token.len(), MAX_KEY);
        assert!(key(&token).is_some() && key(&format!("{token}a")).is_none(), "{name}");
    }
}

#[test]
fn two_keys_or_one_key_twice_conflict() {
    let cases: [&[(&str, &[u8])]; 8] = [
        &[("authorization", b"Bearer sk-0123456789,Bearer sk-0123456789")],
        &[("authorization", b"Bearer sk-0123456789,")],
        &[("authorization", b",")],
        &[("authorization", b"Bearer sk-0123456789"), ("authorization", b"Bearer sk-0123456789")],
        &[("x-api-key", b"sk-0123456789"), ("x_api_key", b"sk-0123456789")],
        &[("authorization", b"Bearer sk-0123456789"), ("x-api-key", b"sk-9876543210")],
        &[("x-api-key", b"sk-0123456789"), ("api-key", b"sk-9876543210")],
        &[("authorization", b"Basic x"), ("x-api-key", b"sk-0123456789,x")],
    ];
    for headers in cases {
        assert_eq!(read(headers), Err(Fault::Conflicting), "{headers:?}");
    }
    assert_eq!(read(&[("authorization", b"Bearer sk-0123456789"), ("x-api-key", b"sk-0123456789")]), key(K));
    assert_eq!(
        read(&[("authorization", b"Basic dXNlcg=="), ("x-api-key", b"sk-0123456789")]),
        Err(Fault::Malformed),
        "a malformed carrier is reported although another has a key"
    );
}

#[test]
fn a_request_without_a_carrier_has_no_key() {
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&[("cookie", b"session=1"), ("authorisation", b"Bearer sk-0123456789")]), Ok(None));
    assert_eq!(read(&[("sec-websocket-protocol", b"realtime, openai-beta.realtime-v1")]), Ok(None));
}

/// Never both, never neither.
#[test]
fn every_profile_reads_or_removes_each_credential_header() {
    for profile in PROFILES {
        for header in CREDENTIAL_HEADERS {
            let read =
                profile.carriers.iter().any(|it| matches!(it.place, Place::Header(name) if same_name(name, header)));
            assert!(read != profile.unread.contains(&header), "{}: {header}", profile.name);
        }
        assert!(profile.unread.iter().all(|name| CREDENTIAL_HEADERS.contains(name)), "{}", profile.name);
        for carrier in profile.carriers {
            assert!(!carrier.source.is_empty(), "{}: {}", profile.name, carrier.label());
            if let Place::Header(name) = carrier.place
                && carrier.form != Form::Never
            {
                assert!(CREDENTIAL_HEADERS.contains(&name), "{}: {name}", profile.name);
            }
        }
        assert!(profile.carriers.len() <= MAX_CARRIERS, "{}: a carrier beyond the slots is never read", profile.name);
        assert!(profile.carriers.iter().any(|it| matches!(it.place, Place::Protocol(_))), "{}", profile.name);
        assert!(!profile.grammar.source.is_empty(), "{}", profile.name);
    }
}

#[test]
fn the_passthrough_table_names_carriers_of_its_profile() {
    for profile in PROFILES {
        for ignored in profile.ignored {
            let reads = |label: &str| profile.carriers.iter().any(|it| it.has_label(label));
            assert!(ignored.overridden_by.iter().all(|label| reads(label)), "{}: {ignored:?}", profile.name);
            let is_unread = profile.unread.contains(&ignored.carrier);
            assert!(reads(ignored.carrier) || is_unread && !ignored.by_label, "{}: {ignored:?}", profile.name);
            let in_turn = profile.ignored.iter().filter(|other| ignored.overridden_by.contains(&other.carrier));
            assert!(
                in_turn.flat_map(|other| other.overridden_by).all(|label| *label != ignored.carrier),
                "a cycle: {ignored:?}"
            );
            assert!(!ignored.source.is_empty());
        }
    }
}

#[test]
fn lookalikes_of_removed_headers_are_removed() {
    let profile = Profile::by_name("openai").unwrap();
    let names = [
        "x_api_key",
        "x-api_key",
        "X_Goog_Api_Key",
        "x_name",
        "x.api.key",
        "proxy!authorization",
        "x-api-key",
        "authorization",
        "litellm_user_api_key",
        "litellm-user-api-key",
    ];
    let lookalikes = profile.lookalikes(names.iter().map(|name| Header { name, value: b"" }));
    assert_eq!(
        lookalikes,
        ["x_api_key", "x-api_key", "X_Goog_Api_Key", "x.api.key", "proxy!authorization", "litellm-user-api-key"]
    );
}

/// To CGI and WSGI these are other variables than `HTTP_AUTHORIZATION`, so a second key there reaches no upstream as one.
#[test]
fn a_name_with_one_character_more_is_no_lookalike() {
    for name in ["authorization_", "_authorization", "authorization-", "authorization.", "x--api-key", "x-api-key_"] {
        assert_eq!(read(&[("authorization", K.as_bytes()), (name, b"sk-9876543210")]), key(K), "{name}");
        for profile in PROFILES {
            let lookalikes = profile.lookalikes([Header { name, value: b"" }].into_iter());
            let is_removed = profile.name == "litellm" && name.starts_with("authorization");
            assert_eq!(!lookalikes.is_empty(), is_removed, "{name}: {lookalikes:?}");
        }
    }
}

/// LiteLLM takes any header whose name begins so for `authorization`, which this profile reads itself.
#[test]
fn headers_that_litellm_takes_for_authorization_are_removed() {
    let lookalikes = |profile: &str| {
        let names = ["authorization", "authorization-x", "Authorization2", "authorizatio", "x-authorization"];
        Profile::by_name(profile).unwrap().lookalikes(names.iter().map(|name| Header { name, value: b"" }))
    };
    assert_eq!(lookalikes("litellm"), ["authorization-x", "Authorization2"]);
    assert_eq!(lookalikes("generic"), [""; 0]);
}

/// Its keys have no prefix, but no other text has their length by chance.
#[test]
fn a_kept_header_holds_no_key_of_the_realm() {
    let own = "Ab0Cd1Ef2Gh3Ij4Kl5Mn6Op7Qr8St9Uv0Wx1Yz2A";
    let custom = Custom {
        name: "vault".to_owned(),
        carriers: vec![Carrier::parse("header x-vault-key bare").unwrap()],
        strip_through: None,
        strip: "v-".to_owned(),
        fold: false,
        prefixes: Vec::new(),
        alphabet: Alphabet::TOKEN,
        length: (40, 64),
        plus: Plus::Space,
        dialect: Dialect::Generic,
    };
    let profile = custom.build().unwrap();
    let entries = ["authorization", "x-api-key"].map(|name| {
        let mut entry = Foreign::parse(&format!("{name} beside x-vault-key on /* source its manual")).unwrap();
        entry.allow(&profile, false).unwrap();
        entry
    });
    let options = Options { foreign: entries.to_vec(), ..Options::default() };
    let credentials = Credentials { profile, route_profiles: Vec::new(), options };
    let kept = |name: &str, value: &str| {
        let headers = [("x-vault-key", own), (name, value)];
        let headers = headers.iter().map(|(name, value)| Header { name, value: value.as_bytes() });
        credentials.kept(&profile, headers, b"/a")
    };
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ";
    for (name, value) in
        [("authorization", format!("Bearer {token}")), ("authorization", "bearer ya29.a0Af".to_owned())]
            .into_iter()
            .chain(["ghp_0123456789", "short key", ""].map(|value| ("x-api-key", value.to_owned())))
    {
        assert_eq!(kept(name, &value), [name], "{value}");
    }
    for value in [own.to_lowercase(), format!("v-{own}"), format!("Key {own}"), format!("a\t{own} b")] {
        assert_eq!(kept("x-api-key", &value), [""; 0], "{value}");
    }
    for value in ["Basic YTpi", "Bearer a b", "Bearer ", "ya29.a0Af", "Token a", "Bearer a;b", "Bearer  a", ""] {
        assert_eq!(kept("authorization", value), [""; 0], "{value}");
    }
    assert_eq!(kept("x-other", "a"), [""; 0], "a header that the Check does not have is removed");
}

#[test]
fn explain_names_a_scheme_only_where_one_is() {
    for (profile, name, value, form) in [
        ("generic", "authorization", "bearer sk-0123456789", "bearer"),
        ("generic", "authorization", "sk-0123456789 null", "bare"),
        ("openai", "authorization", "null", "bare"),
        ("litellm", "authorization", "Bearer null", "bearer"),
        ("litellm", "authorization", "AWS4-HMAC-SHA256;Credential=sk-0123456789 null", "bare"),
        ("litellm", "authorization", "Basic x", "basic"),
        ("litellm", "x-litellm-api-key", "a b", "bare"),
    ] {
        let credentials = credentials(profile);
        let headers = [Header { name, value: value.as_bytes() }];
        let (_, carriers) = credentials.explain(&credentials.profile, headers.into_iter(), b"/");
        assert_eq!(carriers[0].form, form, "{profile} {name}: {value}");
    }
}

#[test]
fn strip_through_removes_one_separator() {
    let canonical = Canonicalisation { strip_through: Some(':'), strip: "k_", ..Canonicalisation::IDENTITY };
    let grammar = Grammar { canonical, ..Profile::by_name("generic").unwrap().grammar };
    let key = |text: &str| grammar.key(text, false);
    for text in ["0123456789", "k_0123456789", "7:0123456789", "7:k_0123456789", ":0123456789"] {
        assert_eq!(key(text), Some(ApiKey::new("0123456789".to_owned())), "{text}");
    }
    for text in ["7:8:0123456789", "7:0123456789:", "::0123456789", "k_k_0123456789", "7.8:0123456789"] {
        assert_eq!(key(text), None, "{text}");
    }
}

#[test]
fn a_key_from_a_file_is_the_key_of_a_request() {
    let new_api = credentials("new-api");
    let k = "Ab0".repeat(16);
    let key = |text: &str| new_api.bare_key(&new_api.profile, text);
    assert_eq!(key(&k), key(&format!("sk-{k}-7")));
    assert_eq!(key(&k), key(&k.to_lowercase()));
    assert!(key(&k).is_some() && key("sk-proj-0123456789").is_none() && key(&format!("Bearer {k}")).is_none());
}
