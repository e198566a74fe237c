//! A second implementation of the rules, written from the manual and not from the code: slow, with a copy of
//! everything. Longer than 500 lines in one file, because it is compared with one page of the manual from top to bottom.

use key_ip_sentinel::credential::Fault;

/// Where a profile reads: `h` header, `q` parameter, `c` cookie; the name; the form.
type Place = (char, &'static str, &'static str);

fn places(profile: &str) -> Vec<Place> {
    match profile {
        "generic" => vec![('h', "authorization", "both"), ('h', "x-api-key", "bare"), ('h', "api-key", "bare")],
        "openai" => vec![('h', "authorization", "bearer")],
        "anthropic" => vec![('h', "x-api-key", "bare"), ('h', "authorization", "bearer")],
        "azure-openai" => vec![
            ('h', "api-key", "bare"),
            ('h', "x-api-key", "bare"),
            ('h', "ocp-apim-subscription-key", "bare"),
            ('h', "authorization", "bearer"),
            ('q', "api-key", "bare"),
            ('q', "subscription-key", "bare"),
            ('q', "ocp-apim-subscription-key", "bare"),
        ],
        "gemini" => vec![
            ('h', "x-goog-api-key", "bare"),
            ('h', "authorization", "bearer"),
            ('q', "key", "bare"),
            ('q', "$key", "bare"),
            ('q', "access_token", "bare"),
            ('q', "oauth_token", "bare"),
            ('q', "bearer_token", "never"),
            ('q', "$httpHeaders", "never"),
            ('q', "$httpMethod", "never"),
            ('h', "x-http-method-override", "never"),
        ],
        "one-api" => vec![('h', "authorization", "both")],
        "new-api" => vec![
            ('h', "authorization", "both"),
            ('h', "x-api-key", "bare"),
            ('h', "x-goog-api-key", "bare"),
            ('h', "mj-api-secret", "both"),
            ('q', "key", "bare"),
        ],
        "litellm" => vec![
            ('h', "x-litellm-api-key", "both"),
            ('h', "authorization", "litellm"),
            ('h', "api-key", "bare"),
            ('h', "x-api-key", "bare"),
            ('h', "x-goog-api-key", "bare"),
            ('h', "ocp-apim-subscription-key", "bare"),
            ('h', "litellm-user-api-key", "bare"),
            ('q', "key", "bare"),
        ],
        "acme" => vec![
            ('h', "x-acme-key", "bare"),
            ('h', "x-acme-auth", "bearer"),
            ('q', "token", "bare"),
            ('c', "acme_token", "bare"),
        ],
        "sanctum" => vec![('h', "authorization", "bearer"), ('h', "x-api-key", "bare"), ('q', "token", "bare")],
        "php" => vec![('q', "api_key", "bare"), ('c', "php.key", "bare")],
        "supa" => vec![('h', "apikey", "bare"), ('q', "apikey", "bare")],
        "desk" => vec![
            ('h', "authorization", "token or apikey"),
            ('h', "x-desk-login", "basic password"),
            ('h', "x-desk-user", "basic user"),
            ('q', "token", "bare"),
        ],
        _ => panic!("{profile}"),
    }
}

/// The list of headers in docs/keys-and-profiles.md that exist only to carry credentials: the tests' one copy of it.
pub(crate) const CREDENTIAL_HEADERS: [&str; 9] = [
    "authorization",
    "x-api-key",
    "api-key",
    "ocp-apim-subscription-key",
    "x-goog-api-key",
    "x-litellm-api-key",
    "mj-api-secret",
    "litellm_user_api_key",
    "proxy-authorization",
];

/// The headers that a profile reads, with dashes.
pub(crate) fn header_names(profile: &str) -> Vec<&'static str> {
    places(profile).into_iter().filter(|(kind, ..)| *kind == 'h').map(|(_, name, _)| name).collect()
}

/// What an operator allows in addition to the profile.
#[derive(Default)]
pub(crate) struct Allowed {
    /// `credentials.jwt = "opaque"`.
    pub(crate) jwt: bool,
    /// `credentials.passthrough`.
    pub(crate) passthrough: &'static [&'static str],
    /// The same, of the entries with paths.
    pub(crate) foreign: &'static [Foreign],
}

/// An entry of `credentials.passthrough`: the carrier, the own one beside it, and the paths.
pub(crate) type Foreign = (&'static str, &'static str, &'static [&'static str]);

/// The entries of the realms in `realms.rs` and the scenes of the fuzzer.
pub(crate) const LITELLM_FOREIGN: &[Foreign] = &[
    ("authorization", "x-litellm-api-key", &["/github_mcp/mcp", "/vertex_ai/*", "/anthropic/v1/messages"]),
    ("x-api-key", "x-litellm-api-key", &["/anthropic/v1/messages"]),
];
pub(crate) const AZURE_FOREIGN: &[Foreign] = &[("authorization", "ocp-apim-subscription-key", &["/apim/*"])];
pub(crate) const SUPA_FOREIGN: &[Foreign] = &[("authorization", "apikey", &["/rest/v1/*", "/auth/v1/user"])];

/// The canonical key of a text, if it is one.
#[allow(dead_code, reason = "the fuzzer checks whole requests")]
pub(crate) fn canonical(profile: &str, text: &str) -> Option<String> {
    canonical_with(profile, text, false)
}

/// A character of a token of RFC 9110, or of one that real generators use.
fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~+/=:@$*".contains(c)
}

/// Three or five segments, the first of them Base64 of something that begins with a brace.
fn is_jwt(text: &str) -> bool {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let segments: Vec<&str> = text.split('.').collect();
    if segments.len() != 3 && segments.len() != 5 {
        return false;
    }
    let mut bits = String::new();
    for c in segments[0].chars() {
        match c {
            '+' | '-' => bits.push_str("111110"),
            '/' | '_' => bits.push_str("111111"),
            _ => match DIGITS.find(c) {
                Some(value) => bits.push_str(&format!("{value:06b}")),
                None => break,
            },
        }
    }
    let bytes = bits.as_bytes().chunks_exact(8);
    let decoded: Vec<u8> = bytes.map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | (bit - b'0'))).collect();
    decoded.into_iter().find(|byte| !b" \t\r\n".contains(byte)) == Some(b'{')
}

fn canonical_with(profile: &str, text: &str, jwt: bool) -> Option<String> {
    let found = |text: &str| placeholder(text).is_some();
    canonical_of(profile, text, jwt).filter(|_| !found(text) && !found(&bared(profile, text)))
}

fn canonical_of(profile: &str, text: &str, jwt: bool) -> Option<String> {
    // Sanctum's keys have a number and a bar in front, or not.
    let parts: Vec<&str> = text.split('|').collect();
    let text = match parts[..] {
        [number, key] if profile == "sanctum" => {
            number.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)).then_some(key)?
        }
        _ => text,
    };
    if text.split('=').skip(1).any(|rest| !rest.is_empty()) {
        return None;
    }
    if is_jwt(text) {
        let reads = matches!(profile, "generic" | "azure-openai" | "litellm");
        let plain = text.chars().all(is_token_character);
        let key = if profile == "azure-openai" { text.to_ascii_lowercase() } else { text.to_owned() };
        let lower = key.to_ascii_lowercase();
        let bearer = lower.starts_with("bearer") || lower.ends_with("bearer");
        return (jwt && reads && plain && text.len() <= 61_440 && !bearer).then_some(key);
    }
    let all = |text: &str, extra: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c));
    let long = |text: &str, min, max| text.len() >= min && text.len() <= max;
    let lower = text.to_lowercase();
    let key = match profile {
        "one-api" | "new-api" => {
            let (key, channel) = match text.strip_prefix("sk-").unwrap_or(text).split_once('-') {
                Some((key, channel)) => (key, channel),
                None => (text.strip_prefix("sk-").unwrap_or(text), "0"),
            };
            let number = long(channel, 1, 18) && channel.chars().all(|c| c.is_ascii_digit());
            (number && key.len() == 48 && all(key, "")).then(|| key.to_ascii_lowercase())
        }
        "acme" => {
            let key = text.strip_prefix("acme_").unwrap_or(text).to_ascii_lowercase();
            (long(&key, 16, 64) && all(&key, "-_") && !key.starts_with("acme_")).then_some(key)
        }
        "azure-openai" => {
            (long(text, 32, 128) && all(text, "") || text.len() == 88 && all(text, "+/=")).then(|| lower.clone())
        }
        "generic" | "php" => (long(text, 8, 61_440) && all(text, "-._~+/=:@$*")).then(|| text.to_owned()),
        "sanctum" => (long(text, 40, 128) && all(text, "-_")).then(|| text.to_owned()),
        "supa" => (text.starts_with("sb_") && long(text, 20, 128) && all(text, "-_")).then(|| text.to_owned()),
        "desk" => {
            let scheme = ["token", "apikey", "basic"].iter().any(|scheme| lower.starts_with(scheme));
            (!scheme && long(text, 32, 128) && all(text, "-_")).then(|| text.to_owned())
        }
        "openai" => {
            let begins = text.starts_with("sk-") || text.starts_with("ek_");
            (begins && long(text, 20, 61_440) && all(text, "-_")).then(|| text.to_owned())
        }
        "anthropic" => {
            (text.starts_with("sk-ant-") && long(text, 20, 61_440) && all(text, "-_")).then(|| text.to_owned())
        }
        "gemini" => {
            let old = text.starts_with("AIza") && text.len() == 39 && all(text, "-_");
            let new = text.starts_with("AQ.") && long(text, 20, 61_440) && all(text, "-_.");
            (old || new).then(|| text.to_owned())
        }
        "litellm" => (text.starts_with("sk-") && long(text, 16, 61_440) && all(text, "-_")).then(|| text.to_owned()),
        _ => panic!("{profile}"),
    }?;
    (!key.to_lowercase().starts_with("bearer") && !key.to_lowercase().ends_with("bearer")).then_some(key)
}

/// What one carrier shows: nothing, a placeholder, a key, or a fault.
enum Shown {
    Placeholder,
    Template,
    Key(String),
    Fault(Fault),
}

/// The one canonical key of a request.
#[allow(dead_code, reason = "the fuzzer allows more")]
pub(crate) fn key(profile: &str, headers: &[(String, Vec<u8>)], path: &[u8]) -> Result<Option<String>, Fault> {
    key_with(profile, headers, path, &Allowed::default())
}

/// Whether the upstream ignores this place in this request, and the operator lets it pass.
fn passes(
    profile: &str,
    (kind, name, _): Place,
    headers: &[(String, Vec<u8>)],
    path: &[u8],
    allowed: &Allowed,
) -> bool {
    let (Allowed { passthrough, .. }, false) = (allowed, is_prevented(headers)) else { return false };
    let beside = |own: &str| is_own(profile, own, headers, path, allowed);
    // The tokens of Azure only.
    let shape = profile != "azure-openai" || holds_token(headers, name);
    if kind == 'h' && shape && foreign(allowed, name, path).iter().any(|own| beside(own)) {
        return true;
    }
    let label = if kind == 'q' { format!("?{name}") } else { name.to_owned() };
    let text = String::from_utf8_lossy(path).into_owned();
    let route = text.split('?').next().unwrap();
    let messages = ["/v1/messages", "/v1/messages/count_tokens"].contains(&route);
    let overridden_by: &[&str] = match (profile, label.as_str()) {
        ("new-api", "authorization") if route == "/v1/messages" => &["x-api-key"],
        ("litellm", "authorization") if messages => &["x-litellm-api-key"],
        ("litellm", "x-api-key") if messages => &["x-litellm-api-key", "authorization"],
        ("litellm", "?key") if route == "/key/info" => &["x-litellm-api-key", "authorization"],
        _ => return false,
    };
    passthrough.contains(&label.as_str()) && overridden_by.iter().any(|own| beside(own))
}

/// Whether the request has a header with which nothing is exempt.
fn is_prevented(headers: &[(String, Vec<u8>)]) -> bool {
    ["upgrade", "x-original-url", "x-rewrite-url"].iter().any(|name| !lines(headers, name).is_empty())
}

/// The own carriers of the entries for this header and path.
fn foreign(allowed: &Allowed, name: &str, target: &[u8]) -> Vec<&'static str> {
    let target = String::from_utf8_lossy(target).into_owned();
    let path = target.split('?').next().unwrap();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:@+".contains(c);
    let segments: Vec<&str> = path.split('/').collect();
    let odd = |segment: &&str| segment.trim_matches('.').is_empty() || !segment.chars().all(plain);
    if segments.len() < 2 || !segments[0].is_empty() || segments[1..].iter().any(odd) {
        return Vec::new();
    }
    let names = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start) && path.len() > start.len(),
        None => path == *pattern,
    };
    let entries = allowed.foreign.iter().filter(|(carrier, _, paths)| *carrier == name && paths.iter().any(names));
    entries.map(|(_, own, _)| *own).collect()
}

/// Whether the carrier holds an own key, once, by its exact name, and is judged.
fn is_own(profile: &str, own: &str, headers: &[(String, Vec<u8>)], path: &[u8], allowed: &Allowed) -> bool {
    let exact = headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(own));
    let at = places(profile).into_iter().find(|(kind, name, _)| *kind == 'h' && *name == own).unwrap();
    exact
        && matches!(show(profile, at, headers, path, allowed.jwt), Some(Shown::Key(_)))
        && !passes(profile, at, headers, path, allowed)
}

fn holds_token(headers: &[(String, Vec<u8>)], name: &str) -> bool {
    let exact = headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
    let [line] = &lines(headers, name)[..] else { return false };
    let text = String::from_utf8_lossy(line).into_owned();
    let (scheme, token) = text.trim_matches([' ', '\t']).split_once(' ').unwrap_or(("", ""));
    let plain = token.chars().all(is_token_character);
    exact && is_word(scheme, &["bearer"]) && plain && is_jwt(token)
}

/// The headers that the profile does not read and that reach the upstream all the same, of a request with one key.
pub(crate) fn kept(profile: &str, headers: &[(String, Vec<u8>)], path: &[u8], allowed: &Allowed) -> Vec<&'static str> {
    let read = header_names(profile);
    let unread = CREDENTIAL_HEADERS.into_iter().filter(|name| !read.contains(name));
    let is_kept = |name: &&'static str| {
        let values = headers.iter().filter(|(found, _)| found == name).map(|(_, value)| String::from_utf8_lossy(value));
        let own = |value: &str| {
            profile == "supa"
                && value.match_indices(['s', 'S']).any(|(at, _)| {
                    let rest = value[at..].to_ascii_lowercase();
                    let inside = |c: &char| c.is_ascii_alphanumeric() || "-_".contains(*c);
                    rest.starts_with("sb_") && rest.chars().take_while(inside).count() >= 20
                })
        };
        let bearer = |value: &str| match value.trim_matches([' ', '\t']).split_once(' ') {
            Some((scheme, rest)) => {
                is_word(scheme, &["bearer"]) && !rest.is_empty() && rest.chars().all(is_token_character)
            }
            None => false,
        };
        let values: Vec<_> = values.collect();
        !is_prevented(headers)
            && foreign(allowed, name, path).iter().any(|own| is_own(profile, own, headers, path, allowed))
            && !values.is_empty()
            && values.iter().all(|value| !own(value) && (*name != "authorization" || bearer(value)))
    };
    unread.filter(is_kept).collect()
}

/// The one canonical key of a request, by what the operator allows.
pub(crate) fn key_with(
    profile: &str,
    headers: &[(String, Vec<u8>)],
    path: &[u8],
    allowed: &Allowed,
) -> Result<Option<String>, Fault> {
    let checked = places(profile).into_iter().filter(|at| !passes(profile, *at, headers, path, allowed));
    let mut shown: Vec<Shown> = checked.filter_map(|at| show(profile, at, headers, path, allowed.jwt)).collect();
    shown.extend(show_protocol(profile, headers, allowed.jwt));
    let has = |wanted: Fault| shown.iter().any(|it| matches!(it, Shown::Fault(fault) if *fault == wanted));
    let mut keys: Vec<&String> =
        shown.iter().filter_map(|it| if let Shown::Key(key) = it { Some(key) } else { None }).collect();
    keys.sort();
    keys.dedup();
    let template = shown.iter().any(|it| matches!(it, Shown::Template));
    match keys[..] {
        _ if has(Fault::Conflicting) || keys.len() > 1 => Err(Fault::Conflicting),
        _ if has(Fault::Malformed) => Err(Fault::Malformed),
        [_] if template => Err(Fault::Malformed),
        [key] => Ok(Some(key.clone())),
        _ if shown.is_empty() => Ok(None),
        _ => Err(Fault::Placeholder),
    }
}

fn show(
    profile: &str,
    (kind, name, form): Place,
    headers: &[(String, Vec<u8>)],
    path: &[u8],
    jwt: bool,
) -> Option<Shown> {
    let values: Vec<Result<Vec<u8>, Fault>> = match kind {
        'h' => lines(headers, name)
            .into_iter()
            .map(|line| {
                let signed = form == "litellm" && signed(&String::from_utf8_lossy(&line)).is_some();
                if line.contains(&b',') && !signed { Err(Fault::Conflicting) } else { Ok(line) }
            })
            .collect(),
        'q' => parameters(path, name, matches!(profile, "acme" | "php" | "sanctum" | "desk" | "supa")),
        _ => lines(headers, "cookie").iter().flat_map(|line| cookies(line, name)).collect(),
    };
    let value = match &values[..] {
        [] => return None,
        [Ok(value)] if kind == 'c' && value.contains(&b'+') => return Some(Shown::Fault(Fault::Malformed)),
        [Ok(value)] => value,
        [Err(fault)] => return Some(Shown::Fault(*fault)),
        _ => return Some(Shown::Fault(Fault::Conflicting)),
    };
    let text = String::from_utf8_lossy(value).into_owned();
    let text = if kind == 'q' { text } else { text.trim_matches([' ', '\t']).to_owned() };
    let is_bearer = text.to_lowercase().starts_with("bearer ");
    let text = match form {
        "bare" => Some(text.as_str()),
        "never" => None,
        "litellm" if text.starts_with("Basic ") => {
            let part = basic(profile, &text, false, jwt);
            return Some(judge(profile, part.as_deref(), &text, jwt));
        }
        "litellm" if text.starts_with("Bearer ") || text.starts_with("bearer ") => Some(&text[7..]),
        "litellm" => signed(&text),
        "bearer" => is_bearer.then(|| &text[7..]),
        "token or apikey" => {
            text.split_once(' ').filter(|(scheme, _)| is_word(scheme, &["token", "apikey"])).map(|it| it.1)
        }
        "basic password" | "basic user" => {
            let part = basic(profile, &text, form == "basic user", jwt);
            return Some(judge(profile, part.as_deref(), &text, jwt));
        }
        _ => Some(if is_bearer { &text[7..] } else { text.as_str() }),
    };
    if text == Some("midjourney-proxy") && profile == "new-api" && name == "authorization" {
        return Some(Shown::Placeholder);
    }
    let whole = String::from_utf8_lossy(value).into_owned();
    // A text that is not even read is no placeholder.
    let whole = if form == "never" { "" } else { whole.trim_matches([' ', '\t']) };
    Some(judge(profile, text, whole, jwt))
}

/// What a carrier shows that has this text, and this text around it.
fn judge(profile: &str, text: Option<&str>, whole: &str, jwt: bool) -> Shown {
    // Only these words are not part of the text: behind anything else, the upstream may see a key.
    let behind = match whole.split_once(' ') {
        Some((scheme, rest)) if is_word(scheme, &["bearer", "basic", "token", "apikey", "key"]) => rest,
        _ => "",
    };
    let texts = [text.unwrap_or(""), &text.map_or(String::new(), |text| bared(profile, text)), whole, behind];
    match text.and_then(|text| canonical_with(profile, text, jwt)) {
        Some(key) => Shown::Key(key),
        None => match texts.iter().find_map(|text| placeholder(text)) {
            Some(true) => Shown::Placeholder,
            Some(false) => Shown::Template,
            None => Shown::Fault(Fault::Malformed),
        },
    }
}

/// The text as the upstream would look it up, whether or not it is a key; nothing where the profile cannot tell.
fn bared(profile: &str, text: &str) -> String {
    let parts: Vec<&str> = text.split('|').collect();
    let number = |number: &str| number.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    match (profile, &parts[..]) {
        ("sanctum", &[before, key]) if number(before) => key.to_owned(),
        ("sanctum", &[_]) => text.to_owned(),
        ("sanctum", _) => String::new(),
        ("acme", _) => {
            let key = text.strip_prefix("acme_").unwrap_or(text);
            if key.to_lowercase().starts_with("acme_") { String::new() } else { key.to_owned() }
        }
        ("one-api" | "new-api", _) => {
            let key = text.strip_prefix("sk-").unwrap_or(text);
            let (before, channel) = key.split_once('-').unwrap_or((key, "0"));
            let is_channel = (1..=18).contains(&channel.len()) && channel.chars().all(|c| c.is_ascii_digit());
            let twice = key.to_lowercase().starts_with("sk-");
            if is_channel && !twice { before.to_owned() } else { String::new() }
        }
        _ => text.to_owned(),
    }
}

/// What clients send without a key, as docs/keys-and-profiles.md has it: `true` for words only, `false` for a template.
pub(crate) fn placeholder(text: &str) -> Option<bool> {
    const SAY: &str = "undefined null none dummy placeholder example changeme your here no not needed required used \
                       unused any empty fake needs ollama lmstudio studio add insert enter replace change openai \
                       anthropic claude gemini azure";
    const FILL: &str = "lm one api key keys apikey token secret a the my me with is sk ant proj api03";
    let lower = text.to_ascii_lowercase();
    let words: Vec<String> = lower.split(['-', '_', '.', ' ']).map(str::to_owned).collect();
    let spelled: Vec<&str> = text.split(['-', '_', '.', ' ']).collect();
    let row = |word: &&str| word.len() >= 3 && ["x", "X", "*", "1"].iter().any(|c| **word == *c.repeat(word.len()));
    let says = |nth: usize| SAY.split(' ').any(|it| it == words[nth]) || row(&spelled[nth]);
    let known = |nth: usize| says(nth) || FILL.split(' ').any(|it| it == words[nth]);
    let all = 0..words.len();
    if lower == "[object object]" || text.len() <= 64 && all.clone().all(known) && all.clone().any(says) {
        return Some(true);
    }
    let name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let variable = text.strip_prefix('$').is_some_and(|rest| {
        let one_case = rest == rest.to_ascii_lowercase() || rest == rest.to_ascii_uppercase();
        let scoped = lower.strip_prefix("$env:").or(lower.strip_prefix("$var:"));
        rest.contains('_') && one_case && name(rest) || scoped.is_some_and(name)
    });
    let around = ["<>", "{}", "[]", "()", "%%"]
        .iter()
        .any(|pair| text.len() > 2 && text.starts_with(&pair[..1]) && text.ends_with(&pair[1..]));
    let open = around || text.starts_with("process.env.");
    (variable || open || text.contains("${")).then_some(false)
}

/// The key in a signature of Bedrock's client.
fn signed(text: &str) -> Option<&str> {
    let words: Vec<&str> = text.trim_matches([' ', '\t']).split(' ').collect();
    let &["AWS4-HMAC-SHA256", "Credential=Bearer", scope, headers, signature] = &words[..] else { return None };
    let parts: Vec<&str> = scope.split('/').collect();
    let &[key, date, region, service, "aws4_request,"] = &parts[..] else { return None };
    let names = headers.strip_prefix("SignedHeaders=")?.strip_suffix(',')?;
    let hex = signature.strip_prefix("Signature=")?;
    let of = |text: &str, extra: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || extra.contains(c))
    };
    let fits =
        of(region, "-") && of(service, "-") && of(names, "-;_") && date.len() == 8 && date.parse::<u32>().is_ok();
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic() && c != ',');
    let digits = date.chars().all(|c| c.is_ascii_digit());
    (fits && digits && plain && hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit())).then_some(key)
}

fn is_word(found: &str, words: &[&str]) -> bool {
    words.iter().any(|word| found.to_ascii_lowercase() == *word)
}

/// The user name or the password of `Basic` credentials that have one spelling, one colon, and a key at most there.
fn basic(profile: &str, text: &str, wants_user: bool, jwt: bool) -> Option<String> {
    let (_, encoded) = text.split_once(' ').filter(|(scheme, _)| is_word(scheme, &["basic"]))?;
    let mut bits = String::new();
    for c in encoded.trim_end_matches('=').chars() {
        bits.push_str(&format!("{:06b}", BASE64.find(c)?));
    }
    let bytes = bits.as_bytes().chunks_exact(8);
    let decoded: Vec<u8> = bytes.map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | (bit - b'0'))).collect();
    let plain = String::from_utf8(decoded.clone()).ok().filter(|_| base64(&decoded) == encoded)?;
    let parts: Vec<&str> = plain.split(':').collect();
    let &[user, password] = &parts[..] else { return None };
    let (key, other) = if wants_user { (user, password) } else { (password, user) };
    let master = profile == "litellm" && other.to_lowercase().contains("sk-");
    let token = jwt && other.split(|c: char| !is_token_character(c)).any(is_jwt);
    let taken = master || token || holds_key(profile, other);
    (!plain.chars().any(char::is_control) && !taken).then(|| key.to_owned())
}

const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 section 4.
pub(crate) fn base64(plain: &[u8]) -> String {
    let mut text = String::new();
    for chunk in plain.chunks(3) {
        let bits: String = chunk.iter().map(|byte| format!("{byte:08b}")).collect();
        for digit in bits.as_bytes().chunks(6) {
            let value = digit.iter().fold(0, |sum, bit| sum << 1 | usize::from(bit - b'0')) << (6 - digit.len());
            text.push_str(&BASE64[value..=value]);
        }
        text.push_str(&"=".repeat(3 - chunk.len()));
    }
    text
}

fn lines(headers: &[(String, Vec<u8>)], name: &str) -> Vec<Vec<u8>> {
    // The length first: millions of requests are read by this.
    let same = |found: &str| found.len() == name.len() && dashes(found) == name;
    headers.iter().filter(|(found, _)| same(found)).map(|(_, value)| value.clone()).collect()
}

/// As an upstream may write it that keeps nothing of a header's name but letters and digits.
pub(crate) fn dashes(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// Of `any` framework, or of an upstream that is known to change nothing but the case of names.
fn parameters(path: &[u8], name: &str, any: bool) -> Vec<Result<Vec<u8>, Fault>> {
    let text: String = path.iter().map(|byte| char::from(*byte)).collect();
    let query = text.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut ours = Vec::new();
    for (found, value) in pairs {
        let decoded = decode(found).unwrap_or_default();
        if decoded == name.as_bytes() || !any && decoded.eq_ignore_ascii_case(name.as_bytes()) {
            ours.push(decode(value).ok_or(Fault::Malformed));
        } else if any && alike(found, name) {
            ours.push(Err(Fault::Malformed));
        }
        let pair = format!("{found}={value}");
        if any && pair.split(';').skip(1).any(|part| alike(part.split('=').next().unwrap(), name)) {
            ours.push(Err(Fault::Malformed));
        }
    }
    ours
}

/// Whether some framework makes `name` of `found`.
fn alike(found: &str, name: &str) -> bool {
    let plain = |text: &str| text.replace([' ', '.', '['], "_").to_ascii_lowercase();
    let unseen = |c: char| c == '!' || !c.is_ascii_graphic();
    let text = leniently(found);
    let text = text.trim_start_matches(|c| unseen(c) || "[]?".contains(c));
    let ends = |rest: &str| rest.starts_with(['[', ']', '\0']) || rest.trim_start_matches(unseen).is_empty();
    text.is_char_boundary(name.len()) && plain(&text[..name.len()]) == plain(name) && ends(&text[name.len()..])
}

/// Decoded like the most lenient decoder.
fn leniently(written: &str) -> String {
    let (mut text, mut rest) = (String::new(), written);
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let digits = match c {
            '%' if rest.starts_with('u') => rest.get(1..5),
            '%' => rest.get(..2),
            _ => None,
        };
        match digits.filter(|digits| digits.chars().all(|digit| digit.is_ascii_hexdigit())) {
            Some(digits) => {
                text.push(u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).unwrap_or('\u{fffd}'));
                rest = &rest[if digits.len() == 4 { 5 } else { 2 }..];
            }
            None => text.push(if c == '+' { ' ' } else { c }),
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let characters: Vec<char> = text.chars().collect();
    let (mut bytes, mut at) = (Vec::new(), 0);
    while at < characters.len() {
        match characters[at] {
            '%' => {
                let digits: String = characters.get(at + 1..at + 3)?.iter().collect();
                let plain = digits.chars().all(|digit| digit.is_ascii_hexdigit());
                bytes.push(u8::from_str_radix(&digits, 16).ok().filter(|_| plain)?);
                at += 2;
            }
            '+' => bytes.push(b' '),
            other => bytes.push(other as u8),
        }
        at += 1;
    }
    Some(bytes)
}

fn cookies(line: &[u8], name: &str) -> Vec<Result<Vec<u8>, Fault>> {
    let line = String::from_utf8_lossy(line).into_owned();
    let mut found = Vec::new();
    for part in line.split(';').map(|part| part.trim_matches([' ', '\t'])) {
        let times = part.split(',').map(|text| readings(text, name)).sum::<usize>();
        found.push(match part.strip_prefix(&format!("{name}=")) {
            _ if times == 0 => continue,
            _ if part.contains(',') => Err(Fault::Conflicting),
            Some(value) if times == 1 => Ok(value.as_bytes().to_vec()),
            None if times == 1 || !alike(part.split('=').next().unwrap(), name) => Err(Fault::Malformed),
            _ => Err(Fault::Conflicting),
        });
    }
    // One suspicious pair is enough.
    if found.contains(&Err(Fault::Conflicting)) { vec![Err(Fault::Conflicting)] } else { found }
}

/// How many names before a `=`, or at the front, some parser would take for `name`.
fn readings(text: &str, name: &str) -> usize {
    let words: Vec<&str> = text.split('=').collect();
    let ends = |c: char| "!\"[]\\".contains(c) || !c.is_ascii_graphic();
    let reads = |word: &str| word.char_indices().any(|(at, c)| ends(c) && alike(&word[at + c.len_utf8()..], name));
    let names = words.iter().take((words.len() - 1).max(1)).enumerate();
    names.filter(|(nth, word)| *nth == 0 && alike(word, name) || reads(word)).count()
}

/// How this profile's keys begin, which characters they have in addition to letters and digits, and how long they are
/// at least; not where an ordinary word would do.
fn telling(profile: &str) -> &'static [(&'static str, &'static str, usize)] {
    match profile {
        "openai" => &[("sk-", "-_", 20), ("ek_", "-_", 20)],
        "anthropic" => &[("sk-ant-", "-_", 20)],
        "azure-openai" => &[("", "", 32), ("", "+/=", 88)],
        "gemini" => &[("aiza", "-_", 39), ("aq.", "-_.", 20)],
        "one-api" | "new-api" => &[("", "", 48)],
        "litellm" => &[("sk-", "-_", 16)],
        "sanctum" => &[("", "-_", 40)],
        "desk" => &[("", "-_", 32)],
        "supa" => &[("sb_", "-_", 20)],
        _ => &[],
    }
}

/// `None` for a protocol's name.
fn entry(profile: &str, entry: &str) -> Option<Result<String, Fault>> {
    const MARK: &str = "openai-insecure-api-key";
    if let Some(key) = entry.strip_prefix(MARK).and_then(|rest| rest.strip_prefix('.')) {
        return Some(Ok(key.to_owned()));
    }
    let lower = entry.to_ascii_lowercase();
    if lower.contains(MARK) || lower.chars().any(|c| !c.is_ascii_graphic()) {
        return Some(Err(Fault::Malformed));
    }
    holds_key(profile, entry).then(|| Ok(entry.to_owned()))
}

/// Whether a text that is like a key of this profile, and unlike a word, is somewhere in `text`.
fn holds_key(profile: &str, text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    telling(profile).iter().any(|&(start, extra, long)| {
        let is_inside = |c: &char| c.is_ascii_alphanumeric() || extra.contains(*c);
        let at = |rest: &str| rest.starts_with(start) && rest.chars().take_while(is_inside).count() >= long;
        lower.char_indices().any(|(from, _)| at(&lower[from..]))
    })
}

fn show_protocol(profile: &str, headers: &[(String, Vec<u8>)], jwt: bool) -> Option<Shown> {
    let mut shown = Vec::new();
    for line in lines(headers, "sec-websocket-protocol") {
        let line: String = line.iter().map(|byte| char::from(*byte)).collect();
        let entries: Vec<&str> = line.split(',').map(|entry| entry.trim_matches([' ', '\t'])).collect();
        let marked = entries.iter().any(|entry| entry.starts_with("openai-insecure-api-key."));
        match entries[..] {
            [only] if profile == "new-api" && !marked => shown.push(Ok(only.to_owned())),
            _ if profile == "new-api" && !marked => shown.push(Err(Fault::Malformed)),
            _ => shown.extend(entries.into_iter().filter_map(|it| entry(profile, it))),
        }
    }
    match &shown[..] {
        [] => None,
        [Ok(text)] => Some(judge(profile, Some(text), text.trim_matches([' ', '\t']), jwt)),
        [Err(fault)] => Some(Shown::Fault(*fault)),
        _ => Some(Shown::Fault(Fault::Conflicting)),
    }
}
