//! What an attacker changes: random bytes, and meaningful pieces.

use crate::{
    common::Dice,
    frame::{Encoding, Input, Parts},
    keys::CREDENTIAL_HEADERS,
    scene::Scene,
};

/// In addition to those that exist only to carry credentials.
const OTHER_HEADERS: &[&str] = &[
    "sec-websocket-protocol",
    "cookie",
    "x-acme-key",
    "x-acme-auth",
    "x-desk-login",
    "x-desk-user",
    "apikey",
    "authorization-x",
    "x-original-url",
    "x-forwarded-for",
    "cf-connecting-ip",
    "x-real-ip",
    "upgrade",
    "x-http-method-override",
    ":path",
    "x-other",
];

const PARAMETERS: &[&str] = &[
    "key",
    "KEY",
    "k%65y",
    "%24key",
    "$key",
    "api-key",
    "API-Key",
    "api%2dkey",
    "subscription-key",
    "ocp-apim-subscription-key",
    "access_token",
    "oauth_token",
    "bearer_token",
    "$httpHeaders",
    "%24httpmethod",
    "token",
    "to%6ben",
    "%74oken",
    "api_key",
    "k%6",
    "key+",
    "keys",
    "",
];

const PIECES: &[&str] = &[
    "Bearer ",
    "bearer ",
    "BEARER ",
    "Bearer",
    " ",
    "  ",
    "\t",
    "sk-",
    "token=",
    "|",
    "12|",
    "SK-",
    "acme_",
    "ACME_",
    "-",
    "-1",
    "-12",
    "-x",
    ",",
    ", ",
    ";",
    "; ",
    "=",
    "&",
    "?",
    "#",
    "midjourney-proxy",
    "%20",
    "%2D",
    "%",
    "%4",
    "%00",
    "+",
    "!",
    "\"",
    "é",
    "\u{a0}",
    "x",
    "Basic ",
    "Token ",
    "token ",
    "ApiKey ",
    "Token",
    "Og==",
    "AWS4-HMAC-SHA256 Credential=Bearer ",
    "/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "undefined",
    "null",
    " null",
    " none",
    " undefined",
    "Credential=",
    "AWS4-HMAC-SHA256",
    "YOUR_API_KEY",
    "sk-no-key-required",
    "$OPENAI_API_KEY",
    "${",
    "openai-insecure-api-key.",
    "OpenAI-Insecure-Api-Key.",
    "realtime",
    "acme_token=",
    "ACME_TOKEN=",
    "php.key=",
    "a=1",
    "0123456789abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    ".",
    "\0",
    "\u{212a}",
];

/// What may stand before a cookie's name, so that some parser finds one there.
const BEFORE_A_COOKIE: &[&[u8]] = &[
    b"",
    b"a=1; ",
    b"a=1;",
    b"a=1, ",
    b"a=1 ",
    b"a=1",
    b"a=1\xa0",
    b"a=1;\x85",
    b"a=1\xc2\xa0",
    b"a=\"1\"",
    b"a=1[",
    b"a=[1]",
    b"a=1\\",
    b"a[",
    b"a=b=1\x0b",
    b"acme_token",
    b"acme_token=fedcba9876543210 ",
    b"php.key ",
    b"$Version=1; ",
];

const ADDRESSES: &[&str] = &[
    "203.0.113.7",
    "203.0.113.8",
    "::ffff:203.0.113.7",
    "64:ff9b::203.0.113.7",
    "2001:db8:64::cb00:7107",
    "2001:db8:1:2::10",
    "2001:db8:1:2:ffff::1",
    "2001:db8:1:3::10",
    "10.0.0.1",
    "10.255.0.9",
    "127.0.0.1",
    "127.0.0.2",
    "::1",
    "::2",
    "::",
    "0.0.0.0",
    "224.0.0.1",
    "169.254.1.1",
    "fe80::1",
    "fe80::1%eth0",
    "2001::1",
    "2001:db8:1b::5",
    "192.0.2.33",
    "::ffff:10.0.0.1",
    "1.2.3",
    "01.2.3.4",
    "203.0.113.7:80",
    "203.0.113.7:",
    "203.0.113.7:99999",
    "[2001:db8:1:2::10]",
    "[2001:db8:1:2::10]:443",
    "[::1",
    "unknown",
    "",
    " ",
    " 203.0.113.7\t",
    "203.0.113.7,10.0.0.1",
    "localhost",
    "0x7f000001",
    "10.0.0.1 ",
    "::ffff:0:0",
    "11.0.0.0",
    "9.255.255.255",
];

const EXTENSIONS: &[(&str, &[&str])] = &[
    (
        "sentinel.profile",
        &["generic", "openai", "anthropic", "litellm", "one-api", "new-api", "gemini", "acme", "azure-openai", ""],
    ),
    ("sentinel.missing", &["allow", "deny", "Allow", ""]),
    ("sentinel.mode", &["off", "observe", "enforce", "Off", ""]),
    ("sentinel.", &[""]),
    ("Sentinel.mode", &["off"]),
    ("policy", &["orders"]),
];

fn pick<'a, T: ?Sized>(dice: &mut Dice, from: &[&'a T]) -> &'a T {
    from[dice.below(from.len())]
}

fn header(dice: &mut Dice) -> &'static str {
    match dice.below(CREDENTIAL_HEADERS.len() + OTHER_HEADERS.len()) {
        nth if nth < CREDENTIAL_HEADERS.len() => CREDENTIAL_HEADERS[nth],
        nth => OTHER_HEADERS[nth - CREDENTIAL_HEADERS.len()],
    }
}

/// A case from one of the scene's frames. Most are changed little, so that most parts of most frames stay right.
pub(crate) fn case(dice: &mut Dice, scene: &Scene, corpus: &[Vec<u8>]) -> Input {
    let seed = &corpus[dice.below(corpus.len())];
    let mut metadata = entries(dice, scene);
    let mut parts = Parts::of(seed).unwrap();
    // Where Envoy was recorded everybody came from one address.
    let form = if dice.below(40) == 0 { dice.below(6) } else { 9 };
    let near = if dice.below(3) > 0 { 2 } else { ADDRESSES.len() };
    let ip =
        if scene.rules.trusted.is_empty() || dice.below(4) == 0 { ADDRESSES[dice.below(near)] } else { "10.0.0.1" };
    parts.set_peer(ip, form);
    if !scene.rules.header.is_empty() || scene.rules.source == "xff" {
        let name = if scene.rules.source == "xff" { "x-forwarded-for" } else { scene.rules.header };
        parts.lines.retain(|(found, _)| found != name || dice.below(8) == 0);
        parts.lines.push((name.to_owned(), ADDRESSES[dice.below(near)].as_bytes().to_vec()));
    }
    if dice.below(8) == 0 {
        rename_key(dice, scene, &mut parts);
    }
    let mut changes = 0;
    while changes < 6 && dice.below(5) > 1 {
        change(dice, scene, &mut parts);
        changes += 1;
    }
    let mut frame = parts.frame();
    if dice.below(12) == 0 {
        scramble(dice, &mut frame);
    }
    if dice.below(20) == 0 {
        spoil_entries(dice, &mut metadata);
    }
    Input { frame, metadata }
}

/// A key that has no owner yet in place of the recorded one, wherever that is.
fn rename_key(dice: &mut Dice, scene: &Scene, parts: &mut Parts) {
    let old = scene.keys[0].as_bytes();
    let new = [&old[..old.len() - 3], format!("{:03}", dice.below(1000)).as_bytes()].concat();
    let target = replaced(&parts.target(), old, &new);
    parts.set_target(&target);
    parts.lines.iter_mut().for_each(|(_, value)| *value = replaced(value, old, &new));
}

fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    match text.windows(old.len()).position(|part| part == old) {
        Some(at) => [&text[..at], new, &text[at + old.len()..]].concat(),
        None => text.to_vec(),
    }
}

/// The metadata that Envoy is configured to send.
fn entries(dice: &mut Dice, scene: &Scene) -> Vec<(String, String)> {
    let mut entries = Vec::new();
    let near = if dice.below(3) > 0 { 2 } else { ADDRESSES.len() };
    let client = ADDRESSES[dice.below(near)].to_owned();
    let peer = match dice.below(3) {
        0 => client.clone(),
        1 => "10.0.0.1".to_owned(),
        _ => ADDRESSES[dice.below(near)].to_owned(),
    };
    if scene.rules.source == "metadata" || dice.below(10) == 0 {
        entries.extend([("x-client-ip".to_owned(), client), ("x-peer-ip".to_owned(), peer)]);
    }
    if let Some(token) = scene.rules.token {
        entries.push(("x-sentinel-token".to_owned(), token.to_owned()));
    }
    entries
}

fn spoil_entries(dice: &mut Dice, entries: &mut Vec<(String, String)>) {
    if entries.is_empty() {
        return;
    }
    let nth = dice.below(entries.len());
    match dice.below(4) {
        0 => drop(entries.remove(nth)),
        1 => entries.push(entries[nth].clone()),
        2 => entries[nth].1.push_str(pick(dice, &["x", ",", "\t", "caf\u{e9}"])),
        _ => entries[nth].1.clear(),
    }
}

/// A text that is nearly a key.
fn text(dice: &mut Dice, scene: &Scene) -> Vec<u8> {
    let key = scene.keys[usize::from(dice.below(3) == 0)];
    let key = match dice.below(12) {
        0 => key.to_ascii_lowercase(),
        1 => key.to_ascii_uppercase(),
        2 => key[..dice.below(key.len())].to_owned(),
        3 => flip_case(dice, key),
        _ => key.to_owned(),
    };
    match dice.below(6) {
        0 | 1 => key.into_bytes(),
        2 | 3 => format!("Bearer {key}").into_bytes(),
        4 => [pick(dice, PIECES), &key, pick(dice, PIECES)].concat().into_bytes(),
        _ => (0..dice.below(5))
            .flat_map(|_| if dice.below(3) == 0 { key.as_bytes() } else { pick(dice, PIECES).as_bytes() }.to_vec())
            .collect(),
    }
}

fn flip_case(dice: &mut Dice, text: &str) -> String {
    let at = dice.below(text.len());
    let flip = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    text.char_indices().map(|(nth, c)| if nth == at { flip(c) } else { c }).collect()
}

fn spelled(dice: &mut Dice, name: &str) -> String {
    match dice.below(8) {
        0 => name.replace('-', "_"),
        1 => name.replace('_', "-"),
        2 => name.replacen('-', "_", 1),
        3 => flip_case(dice, name),
        4 => name.replace(['-', '_'], pick(dice, &[".", "!", "~", "$", "'", "+", ":", " ", ""])),
        _ => name.to_owned(),
    }
}

/// A name that some framework may reduce to `name`, or that none does.
fn lookalike(dice: &mut Dice, name: &str) -> Vec<u8> {
    let mut name = name.to_owned();
    for _ in 0..dice.below(4) {
        let at = dice.below(name.len() + 1);
        let at = if name.is_char_boundary(at) { at } else { name.len() };
        match dice.below(8) {
            0 if !name.is_empty() && name.is_ascii() => name = flip_case(dice, &name),
            1 => name = name.replace(['_', '.', '-'], pick(dice, &["_", ".", "-", "+", "%20", "[", "%5B", "%2e", " "])),
            2 => name.insert_str(0, pick(dice, &["[", "]", "?", "+", " ", "%5b", "%09", "\u{a0}", "!", ".", "_", "x"])),
            3 => name
                .push_str(pick(dice, &["[]", "[0]", "]", "[", "%5B%5D", "%00", "%00x", "+", " ", "!", "\u{85}", ".x"])),
            4 => name.insert_str(at, pick(dice, &["%", "%u", "%zz", "%00", "%00e9", "[", "=", ";", "!", "\u{212a}"])),
            5 | 6 if at < name.len() && name.is_ascii() => {
                let code = name.as_bytes()[at];
                let escape = if dice.below(3) == 0 { format!("%u{code:04x}") } else { format!("%{code:02X}") };
                name.replace_range(at..=at, &escape);
            }
            _ => {}
        }
    }
    match dice.below(12) {
        // As a framework of one byte a character would be shown it.
        0 => name.chars().map(|c| c as u8).collect(),
        _ => name.into_bytes(),
    }
}

fn change(dice: &mut Dice, scene: &Scene, parts: &mut Parts) {
    let lines = parts.lines.len();
    let nth = dice.below(lines);
    // The lines that were put in last are the interesting ones.
    let nth = if dice.below(2) == 0 { nth } else { lines.saturating_sub(1 + dice.below(4)) };
    match dice.below(20) {
        0 if lines > 0 => parts.lines[nth].1 = text(dice, scene),
        1 if lines > 0 => {
            let value = &mut parts.lines[nth].1;
            let at = dice.below(value.len() + 1);
            let piece = pick(dice, PIECES).as_bytes();
            value.splice(at..at, piece.iter().copied());
        }
        2 if lines > 0 => {
            let (name, value) = parts.lines[nth].clone();
            let value = if dice.below(2) == 0 { value } else { text(dice, scene) };
            parts.lines.push((spelled(dice, &name), value));
        }
        3 if lines > 0 => {
            let other = dice.below(lines);
            parts.lines.swap(nth, other);
        }
        4 if lines > 0 => {
            let name = header(dice);
            parts.lines[nth].0 = spelled(dice, name);
        }
        5..=7 => {
            let name = header(dice);
            parts.lines.push((spelled(dice, name), text(dice, scene)));
        }
        8 if lines > 0 => drop(parts.lines.remove(nth)),
        9 | 10 => {
            let mut target = parts.target();
            let between = if dice.below(8) == 0 { b';' } else { b'&' };
            target.push(if target.contains(&b'?') && dice.below(5) > 0 { between } else { b'?' });
            let name = pick(dice, PARAMETERS);
            target.extend(lookalike(dice, name));
            target.push(b'=');
            let value =
                if dice.below(3) > 0 { scene.keys[dice.below(2)].as_bytes().to_vec() } else { text(dice, scene) };
            target.extend(value);
            parts.set_target(&target);
        }
        11 => {
            let mut target = parts.target();
            let at = dice.below(target.len().max(1));
            if at < target.len() {
                let escaped = match dice.below(3) {
                    0 => format!("%{:02x}", target[at]),
                    1 => format!("%{:02X}", target[at]),
                    _ => pick(dice, PIECES).to_owned(),
                };
                target.splice(at..=at, escaped.into_bytes());
            }
            parts.set_target(&target);
        }
        12 => {
            let path = pick(dice, &["/v1/messages", "/v1/messages/count_tokens", "/key/info", "/v1/messages/", "/"]);
            let target = String::from_utf8_lossy(&parts.target()).into_owned();
            let query = target.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
            parts.set_target(format!("{path}{query}").as_bytes());
        }
        13 => {
            let name = pick(dice, &["acme_token", "php.key"]);
            let cookie = [&lookalike(dice, name)[..], b"=", &text(dice, scene)[..]].concat();
            let before = pick(dice, BEFORE_A_COOKIE);
            parts.lines.push((spelled(dice, "cookie"), [before, &cookie].concat()));
        }
        14 => {
            let mark = pick(dice, &["openai-insecure-api-key.", "openai-insecure-api-key", "x.", ""]).as_bytes();
            let before = pick(dice, &["", "realtime, ", "realtime,", "realtime ", "\u{a0}"]).as_bytes();
            let after = pick(dice, &["", "", "-", "-x", ",x", ", openai-beta.realtime-v1"]).as_bytes();
            // One of several without a mark is what some upstream may read, and one with a mark what others do.
            let other = format!("openai-insecure-api-key.{},", scene.keys[0]);
            let other = if dice.below(4) == 0 { other.as_bytes() } else { b"" };
            let value = [other, before, mark, &text(dice, scene), after].concat();
            parts.lines.push((spelled(dice, "sec-websocket-protocol"), value));
        }
        15 => {
            use Encoding::{Both, Double, Joined, Raw, Text};
            parts.encoding = [Raw, Joined, Raw, Joined, Text, Both, Double][dice.below(7)];
        }
        16 => {
            let (name, values) = EXTENSIONS[if dice.below(3) > 0 { 0 } else { dice.below(EXTENSIONS.len()) }];
            parts.extensions.push((name.to_owned(), pick(dice, values).as_bytes().to_vec()));
        }
        17 => {
            let (ip, form) = (pick(dice, ADDRESSES), dice.below(16));
            parts.set_peer(ip, form);
        }
        18 => {
            let name = pick(dice, &["x-forwarded-for", "cf-connecting-ip", "x-real-ip"]);
            let hops: Vec<&str> = (0..1 + dice.below(3)).map(|_| pick(dice, ADDRESSES)).collect();
            parts.lines.push((spelled(dice, name), hops.join(pick(dice, &[",", ", ", " ,"])).into_bytes()));
        }
        // The field alone, not the pseudo-header.
        19 => parts.path = format!("/?key={}", scene.keys[dice.below(2)]),
        _ => {}
    }
}

/// Changes random bytes.
fn scramble(dice: &mut Dice, frame: &mut Vec<u8>) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(frame.len());
        let end = (at + 1 + dice.below(16)).min(frame.len());
        match dice.below(5) {
            0 if at < end => frame[at] ^= 1 << dice.below(8),
            1 => frame.insert(at, dice.next() as u8),
            2 => drop(frame.drain(at..end)),
            3 => frame.truncate(at),
            _ => {
                let piece = frame[at..end].to_vec();
                frame.splice(at..at, piece);
            }
        }
    }
}
