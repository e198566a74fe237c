//! Texts that several settings are written in.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

/// One of a closed list of words. A word of a later version is as unknown as a typing error.
pub(super) fn word<T: Clone>(words: &[(&'static str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let known = words.iter().find(|(word, _)| *word == text);
        known.map(|(_, value)| value.clone()).ok_or_else(|| {
            let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            format!("{text:?} is not one of: {}", all.join(", "))
        })
    }
}

pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let parsed = humantime::parse_duration(text)
            .map_err(|_| format!("{text:?} is not a duration such as 150ms, 2s or 10m"))?;
        if range.contains(&parsed) {
            return Ok(parsed);
        }
        let [low, high] = [range.start(), range.end()].map(|end| humantime::format_duration(*end));
        Err(format!("{text} is not between {low} and {high}"))
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("a path is expected".into()) } else { Ok(text.into()) }
}

pub(super) fn file_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| (0o600..=0o777).contains(mode));
    let mode = mode.ok_or_else(|| format!("{text:?} is not an octal mode such as \"0660\""))?;
    if mode & 0o002 != 0 {
        return Err(format!("{text} lets every user of this machine ask for decisions about any address"));
    }
    Ok(mode)
}

pub(super) fn realm(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 64 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{text:?} is not 1 to 64 visible ASCII characters"));
    }
    Ok(text.to_owned())
}

pub(super) fn number(text: &str, range: RangeInclusive<u16>) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{text:?} is not a number from {} to {}", range.start(), range.end()))
}
