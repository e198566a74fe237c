//! Parsers of setting values.

use std::{
    fmt::Display,
    io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::Uid;

use crate::files;

/// Parses one of a closed list of words. A word of a later version is rejected like a typing error.
pub(super) fn word<T: Clone>(words: &[(&'static str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let known = words.iter().find(|(word, _)| *word == text);
        known.map(|(_, value)| value.clone()).ok_or_else(|| {
            let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            format!("{text:?} is not one of: {}", all.join(", "))
        })
    }
}

pub(super) fn flag(text: &str) -> Result<bool, String> {
    word(&[("true", true), ("false", false)])(text)
}

pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let parsed = humantime::parse_duration(text)
            .map_err(|_| format!("{text:?} is not a duration such as 150ms, 2s or 10m"))?;
        if range.contains(&parsed) {
            return Ok(parsed);
        }
        let [low, high] = [range.start(), range.end()].map(|end| limit(*end));
        Err(format!("{text} is not between {low} and {high}"))
    }
}

/// Days as days: humantime would print 3650 days as 9years 11months 27days 21h 50m 24s.
fn limit(duration: Duration) -> String {
    const DAY: u64 = 86_400;
    match duration.as_secs() / DAY {
        days @ 1.. if duration == Duration::from_secs(days * DAY) => {
            format!("{days} day{}", if days == 1 { "" } else { "s" })
        }
        _ => humantime::format_duration(duration).to_string(),
    }
}

pub(super) fn number(text: &str, range: RangeInclusive<u16>) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{text:?} is not a number from {} to {}", range.start(), range.end()))
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("must be a path".into()),
        // Only a shell expands it; the directory would be named `~`.
        _ if text.starts_with('~') => Err(format!("{text:?}: write the whole path in place of ~")),
        _ => Ok(text.into()),
    }
}

pub(super) fn name(text: &str) -> Result<String, String> {
    let is_valid = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_valid { Ok(text.to_owned()) } else { Err(format!("{text:?} is not 1 to 64 visible ASCII characters")) }
}

/// Parses the secret in `file`.
pub(super) fn secret<T, E: Display>(file: &str, parse: impl Fn(&[u8]) -> Result<T, E>) -> Result<T, String> {
    let secret = files::read(Path::new(file), files::SECRET).map_err(|cause| match cause.kind() {
        io::ErrorKind::PermissionDenied => {
            let own = Uid::effective();
            format!("{file}: {cause}; this process runs as uid {own}: chown {own} {file}, and chmod 0400")
        }
        _ => format!("{file}: {cause}"),
    })?;
    parse(secret.trim_ascii_end()).map_err(|fault| format!("{file}: {fault}"))
}

pub(super) fn utf8(secret: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(secret).map_err(|_| "is not UTF-8".into())
}
