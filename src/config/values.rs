//! How the text of a setting becomes a value.

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

pub(super) fn number(text: &str, range: RangeInclusive<u16>) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{text:?} is not a number from {} to {}", range.start(), range.end()))
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("a path is expected".into()) } else { Ok(text.into()) }
}
