//! Entries of `credentials.passthrough` that name their paths.

use super::{
    passthrough::{matches, plain_path},
    profile::Profile,
};

/// An entry of `credentials.passthrough` that names its paths: a credential of another realm.
#[derive(Clone, Debug)]
pub struct Foreign {
    carrier: String,
    beside: String,
    paths: Vec<String>,
    /// The profiles for which it holds, and whether only with a JSON Web Token.
    profiles: Vec<(&'static str, bool)>,
}

impl Foreign {
    /// Parses `CARRIER beside OWN on PATH … source TEXT`. The source is where the operator read that the upstream ignores
    /// the carrier; it is for the people who read the configuration.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is not \"CARRIER beside OWN-CARRIER on PATH … source TEXT\"");
        let (carrier, rest) = text.split_once(" beside ").ok_or_else(form)?;
        let (beside, rest) = rest.split_once(" on ").ok_or_else(form)?;
        let (paths, source) = rest.split_once(" source ").ok_or_else(form)?;
        let paths: Vec<String> = paths.split(' ').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        if paths.is_empty() || source.trim().len() < 4 {
            return Err(form());
        }
        for path in &paths {
            let start = path.strip_suffix("/*").unwrap_or(path);
            if !(start.is_empty() && path == "/*" || plain_path(start.as_bytes()) == Some(start.as_bytes())) {
                return Err(format!(
                    "{path:?} is not a path: it begins with /, has letters, digits and - . _ ~ : @ + in its segments, \
                     none of which is empty or consists of dots, and may end with /*"
                ));
            }
        }
        let [carrier, beside] = [carrier, beside].map(|text| text.trim().to_owned());
        Ok(Self { carrier, beside, paths, profiles: Vec::new() })
    }

    /// Lets the entry hold for `profile`. Refuses it if the profile's upstream could authenticate by the carrier on one of
    /// the paths: what no row of a built-in profile says that its upstream ignores, it may read. Of a custom profile's
    /// upstream, only the operator knows which headers it ignores.
    pub fn allow(&mut self, profile: &Profile, opaque_jwt: bool) -> Result<(), String> {
        let Self { carrier, beside, paths, .. } = self;
        let own = profile.carriers.iter().find(|it| it.has_label(beside) && it.may_stand_alone());
        if own.is_none() || carrier == beside {
            return Err(format!("{} reads no key in {beside:?}{}", profile.name, in_lower_case(beside)));
        }
        let is_unread = profile.unread.iter().any(|name| name == carrier);
        if is_unread && Profile::by_name(profile.name).is_none() {
            self.profiles.push((profile.name, false));
            return Ok(());
        }
        if !is_unread && !profile.carriers.iter().any(|it| it.has_label(carrier)) {
            return Err(format!(
                "{} neither reads nor removes {carrier:?}, so there is nothing to exempt{}",
                profile.name,
                in_lower_case(carrier)
            ));
        }
        let mut only_jwt = false;
        for path in paths.iter() {
            let row = profile.ignored.iter().find(|row| {
                row.carrier == carrier
                    && row.overridden_by.iter().any(|label| label == beside)
                    && row.holds_for(path.as_bytes())
            });
            match row {
                Some(row) if !(row.only_jwt && opaque_jwt) => only_jwt |= row.only_jwt,
                Some(_) => {
                    return Err(format!(
                        "with credentials.jwt = \"opaque\" a token in {carrier:?} is a key of {}",
                        profile.name
                    ));
                }
                None => {
                    return Err(format!(
                        "the upstream of {} could authenticate by {carrier:?} on {path}, although {beside:?} is present",
                        profile.name
                    ));
                }
            }
        }
        self.profiles.push((profile.name, only_jwt));
        Ok(())
    }

    /// Whether the entry is about `carrier` on `path`, for this profile; `Some(true)` if only for a JSON Web Token.
    pub(super) fn holds_for(&self, profile: &Profile, carrier: impl Fn(&str) -> bool, path: &[u8]) -> Option<bool> {
        let (_, only_jwt) = self.profiles.iter().find(|(name, _)| *name == profile.name)?;
        let applies = carrier(&self.carrier) && self.paths.iter().any(|pattern| matches(pattern, path));
        applies.then_some(*only_jwt)
    }

    /// The label of the own carrier.
    pub(super) fn beside(&self) -> &str {
        &self.beside
    }
}

/// A hint for a label in capitals: `X-API-Key` is the header, but not the label.
fn in_lower_case(label: &str) -> &'static str {
    if label.bytes().any(|byte| byte.is_ascii_uppercase()) { "; write headers in lower case" } else { "" }
}
