//! `credentials.*`: which profile reads the keys, and the profiles that the operator writes himself.

use super::{
    source::Source,
    values::{flag, number, word},
};
use crate::credential::{Alphabet, Carrier, Credentials, Custom, Dialect, Options, Plus, Profile};

/// A custom profile by its name; `None` if it has faults, which are told already.
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
        let fault =
            "credentials.jwt: no upstream of the configured profiles reads JSON Web Tokens; leave the setting out";
        source.faults.push(fault.to_owned());
    }
    let passthrough = source.take_list("credentials.passthrough", |text| {
        let mut ignored = profile.iter().chain(&route_profiles).flat_map(|profile| profile.ignored);
        match ignored.any(|ignored| ignored.carrier == text) {
            // Without a profile nothing can be said.
            found if found || profile.is_none() => Ok(text.to_owned()),
            _ => Err(format!("{text:?} is not known to be ignored by the upstreams of the configured profiles")),
        }
    });
    let options = Options { opaque_jwt: opaque_jwt?, passthrough };
    Some(Credentials { profile: profile?, route_profiles, options })
}

fn by_name(customs: &Customs, text: &str) -> Result<Option<Profile>, String> {
    let custom = customs.iter().find(|(name, _)| name == text).map(|(_, profile)| *profile);
    custom.or_else(|| Profile::by_name(text).map(Some)).ok_or_else(|| {
        let built_in = crate::credential::PROFILES.iter().map(|profile| profile.name);
        let all: Vec<_> = built_in.chain(customs.iter().map(|(name, _)| name.as_str())).collect();
        format!("there is no profile {text:?}; there are {}", all.join(", "))
    })
}

/// One realm has one canonicalisation, or one key would have two owners.
fn canonicalises_like(main: &Profile, other: &Profile) -> Result<(), String> {
    if main.grammar.canonical == other.grammar.canonical {
        return Ok(());
    }
    Err(format!(
        "{} reduces keys otherwise than credentials.profile = {}: one key would have two owners; keys of another \
         upstream belong to another realm, in a process of its own",
        other.name, main.name
    ))
}

fn custom(source: &mut Source, name: String) -> Option<Profile> {
    let key = |field: &str| format!("credentials.custom.{name}.{field}");
    let length = |text: &str| number(text, 8..=8192).map(usize::from);
    let before = source.faults.clone();
    let carriers = source.take_list(&key("carriers"), Carrier::parse);
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

/// Not what may be in front of it, nor what another rule reads: the comma of joined lines, `%` and `+` of queries, the
/// padding of keys.
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
