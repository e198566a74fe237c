//! Whatever Sentinel judges is what the upstream authenticates by. Holds the profiles against small models of the real
//! parsers, each written from the upstream's source and not from the manual: a rule that is wrong in the code, the manual
//! and the oracle alike shows itself here.

use key_ip_sentinel::{credential::Header, domain::ApiKey};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};

use crate::{oracle, properties, realms::Realm};

/// A request as an upstream's framework shows it.
struct Seen<'a> {
    headers: &'a [(String, Vec<u8>)],
    query: &'a str,
}

impl Seen<'_> {
    /// The first line of a header; empty if there is none. Frameworks compare names exactly, but for their case.
    fn header(&self, name: &str) -> String {
        let line = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        // Servers remove outer white space; Starlette decodes ISO 8859-1.
        let text: String =
            line.map(|(_, value)| value.iter().map(|byte| char::from(*byte)).collect()).unwrap_or_default();
        text.trim_matches([' ', '\t']).to_owned()
    }

    /// Each value of `?key`, decoded.
    fn parameters(&self) -> Vec<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| decoded(name) == "key").map(|(_, value)| decoded(value)).collect()
    }
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap().replace('+', " ");
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => decoded += &format!("{}{}", char::from(byte), part[2..].replace('+', " ")),
            None => decoded += &format!("%{}", part.replace('+', " ")),
        }
    }
    decoded
}

/// LiteLLM 1.110.2: the text after a key's scheme, by litellm/proxy/auth/user_api_key_auth.py get_bearer_token, which has
/// nothing for a text without one, and _get_bearer_token_or_received_api_key, which has the text itself.
fn litellm_token(text: &str, without: &str) -> String {
    for scheme in ["Bearer ", "Basic ", "bearer "] {
        if text.starts_with(scheme) {
            return text.replace(scheme, "");
        }
    }
    if !text.starts_with("AWS4-HMAC-SHA256") {
        return without.to_owned();
    }
    // re.search: r"Credential=Bearer\s+([^/\s,]+)", else r"Credential=([^/\s,]+)".
    let word = |rest: &str| rest.chars().take_while(|c| !c.is_whitespace() && !"/,".contains(*c)).collect::<String>();
    let after = |mark: &str| text.match_indices(mark).map(|(at, _)| &text[at + mark.len()..]).collect::<Vec<_>>();
    let spaced = |rest: &&str| rest.starts_with(char::is_whitespace);
    let bearers = after("Credential=Bearer").into_iter().filter(spaced).map(|rest| word(rest.trim_start()));
    let mut words = bearers.chain(after("Credential=").into_iter().map(word)).filter(|word| !word.is_empty());
    words.next().unwrap_or_else(|| without.to_owned())
}

/// Python's b64decode without `validate`: skips what is not in the alphabet, and ends at complete padding. `None` if it
/// raises, or if the result is not UTF-8.
fn python_base64(text: &str) -> Option<String> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut held, mut count, mut padding) = (Vec::new(), 0_u32, 0, 0);
    if !text.is_ascii() {
        return None;
    }
    for c in text.chars() {
        if c == '=' {
            padding += 1;
            if count >= 2 && count + padding >= 4 {
                return String::from_utf8(bytes).ok();
            }
            continue;
        }
        let Some(digit) = DIGITS.find(c) else { continue };
        padding = 0;
        held = held << 6 | digit as u32;
        count = (count + 1) % 4;
        if count != 1 {
            bytes.push((held >> (2 * (3 - (count + 3) % 4)) & 0xff) as u8);
        }
    }
    (count == 0).then(|| String::from_utf8(bytes).ok())?
}

/// The keys by which the functions of LiteLLM 1.110.2 authenticate the request, whichever path leads to each.
fn litellm(seen: &Seen) -> Vec<String> {
    let names = ["api-key", "x-api-key", "x-goog-api-key", "ocp-apim-subscription-key"];
    let (custom, authorization) = (seen.header("x-litellm-api-key"), seen.header("authorization"));
    // user_api_key_auth.py get_api_key.
    let others = names.map(|name| seen.header(name)).into_iter().chain(seen.parameters().pop());
    let main = match (custom.as_str(), authorization.as_str()) {
        ("", "") => others.into_iter().find(|text| !text.is_empty()).unwrap_or_default(),
        ("", text) => litellm_token(text, ""),
        (text, _) => litellm_token(text, text),
    };
    // pass_through_endpoints/common_utils.py get_litellm_virtual_key.
    let virtual_key = if custom.is_empty() { authorization.clone() } else { format!("Bearer {custom}") };
    // check_api_key_for_custom_headers_or_pass_through_endpoints with custom_auth_parser: langfuse.
    let parsed = python_base64(main.replace("Basic ", "").trim());
    // vertex_ai_endpoints/langfuse_endpoints.py langfuse_proxy_route.
    let fuse = python_base64(&authorization.replace("Basic ", ""));
    let fuse = fuse.and_then(|text| text.split(':').nth(1).map(|key| litellm_token(&format!("Bearer {key}"), "")));
    // user_api_key_auth_websocket_for_model.
    let protocols = seen.header("sec-websocket-protocol");
    let mut marked = protocols.split(',').filter_map(|it| it.trim().strip_prefix("openai-insecure-api-key."));
    let socket = match authorization.strip_prefix("Bearer ") {
        Some(text) => text.trim().to_owned(),
        None if authorization.is_empty() && !seen.header("api-key").is_empty() => seen.header("api-key"),
        None if authorization.is_empty() => marked.next().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let socket = litellm_token(&format!("Bearer {socket}"), "");
    let parsed = parsed.and_then(|text| text.split(':').next().map(str::to_owned));
    let keys = [main, litellm_token(&virtual_key, ""), socket, seen.header("litellm_user_api_key")];
    let keys = keys.into_iter().chain(parsed).chain(fuse);
    // Its own keys begin with `sk-`, the operator's master key included.
    keys.filter(|key| key.starts_with("sk-")).collect()
}

/// What New API and one-api look up: without `sk-`, up to the first `-`.
fn looked_up(text: &str) -> String {
    text.strip_prefix("sk-").unwrap_or(text).split('-').next().unwrap().to_owned()
}

/// The keys by which QuantumNous/new-api@040b46a middleware/auth.go TokenAuth, and @691a804 for sockets, authenticates the
/// request, whichever path it has.
fn new_api(seen: &Seen) -> Vec<String> {
    let bare = |text: &str| {
        let rest = text.strip_prefix("Bearer ").or_else(|| text.strip_prefix("bearer "));
        rest.map_or(text, str::trim).to_owned()
    };
    let protocols = seen.header("sec-websocket-protocol");
    let mut marked = protocols.split(',').filter_map(|it| it.trim().strip_prefix("openai-insecure-api-key."));
    let socket = marked.next().unwrap_or(&protocols).to_owned();
    let mut keys = Vec::new();
    for path in 0..8 {
        let mut authorization = seen.header("authorization");
        let parameter = seen.parameters().into_iter().next().unwrap_or_default();
        let (anthropic, gemini) = (seen.header("x-api-key"), [parameter, seen.header("x-goog-api-key")]);
        let socket = [socket.clone()].into_iter().filter(|_| path & 1 != 0);
        let anthropic = [anthropic].into_iter().filter(|_| path & 2 != 0);
        let gemini = gemini.into_iter().filter(|_| path & 4 != 0);
        for text in socket.chain(anthropic).chain(gemini).filter(|text| !text.is_empty()) {
            authorization = format!("Bearer {text}");
        }
        let key = bare(&authorization);
        let key = if key.is_empty() || key == "midjourney-proxy" { bare(&seen.header("mj-api-secret")) } else { key };
        keys.push(looked_up(&key));
    }
    keys.iter().filter_map(|key| stored(key)).collect()
}

/// The key by which songquanpeng/one-api@8df4a26 middleware/auth.go TokenAuth authenticates the request.
fn one_api(seen: &Seen) -> Vec<String> {
    let authorization = seen.header("authorization");
    let key = looked_up(authorization.strip_prefix("Bearer ").unwrap_or(&authorization));
    stored(&key).into_iter().collect()
}

/// The key of the table that MySQL finds for a text: its default collation ignores case and spaces at the end.
fn stored(key: &str) -> Option<String> {
    let key = key.trim_end_matches(' ').to_lowercase();
    (key.len() == 48 && key.chars().all(|c| c.is_ascii_alphanumeric())).then_some(key)
}

/// A key where some parser would find it, with words around it that make it look like something else.
fn hidden(realm: &'static Realm) -> impl Strategy<Value = String> {
    let front = select(vec![
        "",
        "",
        "Bearer ",
        "bearer ",
        "BEARER ",
        "Basic ",
        "Token ",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "sk-",
        "null ",
        "none ",
        "openai-insecure-api-key.",
    ]);
    let mark = select(vec!["", "", "", "Credential=", ";Credential=", ";Credential=Bearer ", "-", "x-"]);
    let encoded = |text: &str| oracle::base64(text.replace("{L}", realm.l).replace("{K}", realm.k).as_bytes());
    let key = select(vec![
        realm.l.to_owned(),
        realm.k.to_owned(),
        encoded("xx:{L}"),
        encoded("{L}:x"),
        encoded("sk-1234:{K}"),
        encoded("SK-1:{K}"),
        encoded("xx:{K}"),
        "null".to_owned(),
    ]);
    let behind =
        select(vec!["", "", " null", " none", " undefined", "-1", "-1- null", "/x null", ":x none", ", null", " ${A}"]);
    (front, mark, key, behind).prop_map(|(front, mark, key, behind)| format!("{front}{mark}{key}{behind}"))
}

/// A request that often has an own key, and another text beside it.
fn requests(realm: &'static Realm) -> impl Strategy<Value = properties::Request> {
    let names = oracle::header_names(realm.name).into_iter().map(|name| match name {
        "litellm-user-api-key" => "litellm_user_api_key",
        name => name,
    });
    let names: Vec<&'static str> = names.chain(["sec-websocket-protocol"]).collect();
    let value = prop_oneof![3 => hidden(realm), 1 => properties::texts(realm)];
    let own = select(names.clone()).prop_map(|name| match name {
        "authorization" => (name, format!("Bearer {}", realm.k)),
        "sec-websocket-protocol" => (name, format!("openai-insecure-api-key.{}", realm.k)),
        _ => (name, realm.k.to_owned()),
    });
    let others = vec((prop_oneof![2 => Just("authorization"), 3 => select(names)], value), 1..3);
    let path = prop_oneof![3 => Just(String::new()), 1 => hidden(realm).prop_map(|text| format!("?key={text}"))];
    (own, others, path).prop_map(|(own, others, query)| {
        let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, value) in [own].into_iter().chain(others) {
            // A carrier that is there twice is refused in any case.
            if headers.iter().all(|(found, _)| found != name) {
                headers.push((name.to_owned(), value.into_bytes()));
            }
        }
        (headers, format!("/x{query}").into_bytes())
    })
}

fn the_upstream_authenticates_by_what_is_judged(name: &str, model: fn(&Seen) -> Vec<String>) {
    let realm = Realm::named(name);
    let credentials = realm.credentials();
    let config = Config { cases: 20_000, failure_persistence: None, ..Config::default() };
    let judged = std::cell::Cell::new(0);
    let outcome = TestRunner::new(config).run(&requests(realm), |(headers, path)| {
        let lines = headers.iter().map(|(name, value)| Header { name, value });
        let Ok(key) = credentials.key(&credentials.profile, lines, &path) else { return Ok(()) };
        judged.set(judged.get() + 1);
        let path = String::from_utf8(path).unwrap();
        let seen = Seen { headers: &headers, query: path.split_once('?').map_or("", |(_, query)| query) };
        // Everybody knows the placeholders, so no upstream should have such a key.
        for read in model(&seen).into_iter().filter(|read| oracle::placeholder(read) != Some(true)) {
            let text: Vec<_> = headers.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
            prop_assert!(key == Some(ApiKey::new(read.clone())), "{} by {:?} {}", read, text, path);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    assert!(judged.get() > 500, "{name}: only {} requests have a key", judged.get());
}

#[test]
fn litellm_authenticates_by_what_is_judged() {
    the_upstream_authenticates_by_what_is_judged("litellm", litellm);
}

#[test]
fn new_api_authenticates_by_what_is_judged() {
    the_upstream_authenticates_by_what_is_judged("new-api", new_api);
}

#[test]
fn one_api_authenticates_by_what_is_judged() {
    the_upstream_authenticates_by_what_is_judged("one-api", one_api);
}

/// The models find a key where the upstream does: otherwise the properties above would hold for nothing.
#[test]
fn the_models_read_what_the_upstreams_read() {
    let (k, s) = (Realm::named("litellm").k, Realm::named("new-api").k);
    let encoded = oracle::base64(format!("xx:{k}").as_bytes());
    type Model = fn(&Seen) -> Vec<String>;
    let cases: [(Model, &str, String); 11] = [
        (litellm, "authorization", format!("Bearer {k}")),
        (litellm, "authorization", format!("AWS4-HMAC-SHA256;Credential={k} undefined")),
        (litellm, "authorization", format!("AWS4-HMAC-SHA256 Credential=Bearer  {k}/x")),
        (litellm, "x-litellm-api-key", k.to_owned()),
        (litellm, "authorization", format!("Basic {encoded}")),
        (litellm, "authorization", format!("{encoded} null")),
        (litellm, "authorization", format!("Basic {}", oracle::base64(format!("{k}:x").as_bytes()))),
        (litellm, "sec-websocket-protocol", format!("realtime, openai-insecure-api-key.{k}")),
        (new_api, "authorization", format!("sk-{s}-1- null")),
        (new_api, "sec-websocket-protocol", format!("sk-{s}-1- null")),
        (one_api, "authorization", format!("Bearer sk-{s}-1- null")),
    ];
    for (model, name, value) in cases {
        let headers = [(name.to_owned(), value.clone().into_bytes())];
        let keys = model(&Seen { headers: &headers, query: "" });
        assert!(keys.iter().any(|key| *key == k || *key == s.to_lowercase()), "{value}: {keys:?}");
    }
}
