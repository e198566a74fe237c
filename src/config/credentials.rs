//! `credentials.*`: the profiles in use, and custom profiles.

use super::{
    source::Source,
    values::{flag, number, word},
};
use crate::{
    credential::{
        Alphabet, Carrier, Credentials, Custom, Dialect, Foreign, NO_CARRIER, Options, PROFILES, Plus, Profile,
    },
    domain::MAX_KEY,
};

/// Custom profiles by name; `None` if a profile has faults, which are already in the list of faults.
type Customs = Vec<(String, Option<Profile>)>;

/// Takes every setting of the profiles; `None` after a fault.
pub(super) fn take(source: &mut Source) -> Option<Credentials> {
    let customs: Customs = source.custom_names().into_iter().map(|name| (name.clone(), custom(source, name))).collect();
    let profile = source.take("credentials.profile", |text| by_name(&customs, text)).flatten();
    let route_profiles: Vec<Profile> = source
        .take_list("credentials.route_profiles", |text| {
            let named = by_name(&customs, text)?;
            profile.zip(named).map_or(Ok(()), |(main, named)| canonicalises_like(&main, &named))?;
            Ok(named)
        })
        .into_iter()
        .flatten()
        .collect();
    let opaque_jwt = source.take("credentials.jwt", word(&[("refuse", false), ("opaque", true)]));
    let mut profiles = profile.iter().chain(&route_profiles);
    if opaque_jwt == Some(true) && profile.is_some() && !profiles.any(|profile| profile.grammar.may_be_jwt) {
        let fault = "credentials.jwt: no upstream of the configured profiles reads JSON Web Tokens; remove the setting";
        source.faults.push(fault.to_owned());
    }
    let entries = source.take_list("credentials.passthrough", |text| {
        let configured: Vec<&Profile> = profile.iter().chain(&route_profiles).collect();
        if text.contains(' ') && !text.starts_with("cookie ") || text.contains(" beside ") {
            let mut entry = Foreign::parse(text).map_err(|fault| format!("{fault}; {}", possible(&configured)))?;
            let allow = |profile: &&Profile| entry.allow(profile, opaque_jwt == Some(true)).err();
            let refusals: Vec<String> = configured.iter().filter_map(allow).collect();
            // An entry for one of several profiles is not used for the others. Without a valid profile there is nothing
            // to check against.
            let nowhere = profile.is_some() && refusals.len() > route_profiles.len();
            return match nowhere {
                true => Err(format!("{}; {}", refusals.join("; "), possible(&configured))),
                false => Ok(Entry::Foreign(entry)),
            };
        }
        if profile.is_none() || configured.iter().any(|profile| labels(profile).any(|label| label == text)) {
            return Ok(Entry::Label(text.to_owned()));
        }
        Err(no_label(text, &configured))
    });
    let mut options = Options { opaque_jwt: opaque_jwt?, ..Options::default() };
    for entry in entries {
        match entry {
            Entry::Label(label) => options.passthrough.push(label),
            Entry::Foreign(entry) => options.foreign.push(entry),
        }
    }
    Some(Credentials { profile: profile?, route_profiles, options })
}

/// An entry of `credentials.passthrough`.
enum Entry {
    Label(String),
    Foreign(Foreign),
}

/// The carriers that `credentials.passthrough` exempts by their labels alone.
fn labels(profile: &Profile) -> impl Iterator<Item = &'static str> + use<> {
    profile.ignored.iter().filter(|row| row.by_label).map(|row| row.carrier)
}

/// Why the label `text` alone exempts no carrier.
fn no_label(text: &str, configured: &[&Profile]) -> String {
    let lower = text.to_ascii_lowercase();
    if configured.iter().any(|profile| labels(profile).any(|label| label == lower)) {
        return format!("{text:?} must be in lower case: {lower:?}");
    }
    if text.starts_with('/') {
        return format!(
            "{text:?} is a path, but the list takes carriers of a second credential; to serve a path without a key, disable \
             ext_authz on its route in Envoy: docs/deploy.md"
        );
    }
    format!("{text:?} alone exempts no carrier; {}", possible(configured))
}

/// The entries of `credentials.passthrough` that these profiles allow.
fn possible(configured: &[&Profile]) -> String {
    let of = |profile: &&Profile| {
        let by_label = labels(profile).map(|label| format!("{label:?}"));
        let by_path = profile.ignored.iter().filter(|row| !row.by_label).map(|row| format!("{:?}", row.example()));
        let mut entries: Vec<String> = by_label.chain(by_path).collect();
        if Profile::by_name(profile.name).is_none() {
            let form =
                "\"HEADER beside OWN-CARRIER on PATH … source TEXT\" for a header that the profile does not read";
            entries.push(form.to_owned());
        }
        let entries = if entries.is_empty() { "none, so remove the entry".to_owned() } else { entries.join(", ") };
        format!("possible with {}: {entries}", profile.name)
    };
    configured.iter().map(of).collect::<Vec<_>>().join("; ")
}

fn by_name(customs: &Customs, text: &str) -> Result<Option<Profile>, String> {
    let custom = customs.iter().find(|(name, _)| name == text).map(|(_, profile)| *profile);
    custom.or_else(|| Profile::by_name(text).map(Some)).ok_or_else(|| {
        let built_in = PROFILES.iter().map(|profile| profile.name);
        let all: Vec<_> = built_in.chain(customs.iter().map(|(name, _)| name.as_str())).collect();
        format!("unknown profile {text:?}; the profiles are {}", all.join(", "))
    })
}

/// All profiles of a realm must have the same canonical keys; otherwise one key would have two owners.
fn canonicalises_like(main: &Profile, other: &Profile) -> Result<(), String> {
    if main.grammar.canonical == other.grammar.canonical {
        return Ok(());
    }
    Err(format!(
        "{} and credentials.profile = {} have different canonical keys, so one key would have two owners; use a second \
         server with its own credentials.realm",
        other.name, main.name
    ))
}

fn custom(source: &mut Source, name: String) -> Option<Profile> {
    let key = |field: &str| format!("credentials.custom.{name}.{field}");
    let length = |text: &str| number(text, 8..=MAX_KEY as u16).map(usize::from);
    let before = source.faults.clone();
    let carriers = source.take_list_or(&key("carriers"), NO_CARRIER, Carrier::parse);
    let prefixes = source.take_list(&key("prefixes"), |text| Ok(text.to_owned()));
    let strip_through = source.take(&key("strip_through"), separator);
    let strip = source.take(&key("strip"), |text| Ok(text.to_owned()));
    let fold = source.take(&key("fold_case"), flag);
    let alphabet = source.take(&key("alphabet"), word(&ALPHABETS));
    let min = source.take(&key("min_length"), length);
    let max = source.take(&key("max_length"), length);
    let plus = source.take(&key("query_plus"), word(&[("space", Plus::Space), ("literal", Plus::Literal)]));
    let dialect = source.take(&key("dialect"), word(&DIALECTS));
    if source.faults != before {
        return None;
    }
    let length = (min?, max?);
    let table = format!("credentials.custom.{name}");
    let (strip_through, strip, fold, alphabet) = (strip_through?, strip?, fold?, alphabet?);
    let (plus, dialect) = (plus?, dialect?);
    let custom = Custom { name, carriers, strip_through, strip, fold, prefixes, alphabet, length, plus, dialect };
    custom
        .build()
        .map_err(|faults| faults.iter().for_each(|fault| source.faults.push(format!("{table}: {fault}"))))
        .ok()
}

/// Excludes characters that may occur before the separator, and those that other rules read: the comma of joined lines,
/// `%` and `+` of queries, and the padding of keys.
fn separator(text: &str) -> Result<Option<char>, String> {
    const SEPARATORS: &str = "|:.~/@$*#";
    match text.chars().next() {
        None => Ok(None),
        Some(end) if text.len() == 1 && SEPARATORS.contains(end) => Ok(Some(end)),
        Some(_) => Err(format!("{text:?} is not one of {SEPARATORS}")),
    }
}

const ALPHABETS: [(&str, Alphabet); 4] = [
    ("token", Alphabet::TOKEN),
    ("base64url", Alphabet::BASE64URL),
    ("alnum", Alphabet::ALNUM),
    ("hex", Alphabet::HEX),
];

const DIALECTS: [(&str, Dialect); 4] = [
    ("generic", Dialect::Generic),
    ("openai", Dialect::OpenAi),
    ("anthropic", Dialect::Anthropic),
    ("google", Dialect::Google),
];
