//! Parsers of argument values. The errors do not repeat the argument, which may be a key in the wrong place.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use crate::{
    admin::api::Metadata,
    domain::{Network, PepperId, Timestamp, addr::NetworkError},
};

pub(super) fn socket(text: &str) -> Result<PathBuf, &'static str> {
    let path = text.strip_prefix("unix:").ok_or("must begin with unix:, such as unix:/run/sentinel/admin.sock")?;
    if path.is_empty() { Err("must name a path, such as unix:/run/sentinel/admin.sock") } else { Ok(path.into()) }
}

pub(super) fn network(text: &str) -> Result<Network, String> {
    text.parse().map_err(|error: NetworkError| match error {
        NetworkError::Unparsable(_) => "must be an IP address or CIDR, such as 203.0.113.7 or 2001:db8::/48".to_owned(),
        NetworkError::HostBits { .. } | NetworkError::MappedIpv4(_) => error.to_string(),
    })
}

pub(super) fn address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "must be an IP address without a port, such as 203.0.113.7 or 2001:db8::7")
}

pub(super) fn metadata(text: &str) -> Result<Metadata, &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be x-client-ip=ADDR or x-peer-ip=ADDR")?;
    Ok(Metadata { name: name.to_owned(), value: value.to_owned() })
}

pub(super) fn pepper_id(text: &str) -> Result<PepperId, &'static str> {
    text.parse().map_err(|_| {
        "must be a pepper id, 8 lower-case hex digits, as `sentinel pepper list` shows it. The value is not repeated here: \
         if it is a pepper, it is now in your shell's history"
    })
}

pub(super) fn hint(text: &str) -> Result<String, &'static str> {
    let fits = (3..=8).contains(&text.chars().count());
    if fits { Ok(text.to_owned()) } else { Err("must be 3 to 8 characters of the key's first or last four") }
}

pub(super) fn limit(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|limit| (1..=1000).contains(limit)).ok_or("must be 1 to 1000")
}

pub(super) fn offset(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "must be a number of rows")
}

/// A point in time, or an age before the server's current time.
#[derive(Clone, Copy)]
pub(super) enum When {
    At(Timestamp),
    Ago(Duration),
}

pub(super) fn when(text: &str) -> Result<When, &'static str> {
    if let Ok(ago) = duration(text) {
        return Ok(When::Ago(ago));
    }
    let midnight = format!("{text}T00:00:00Z");
    let time = if text.contains(':') { text } else { &midnight };
    rfc3339(time)
        .map(When::At)
        .ok_or("must be a time such as 2026-11-21T08:30:00Z or 2026-11-21, or how long ago, such as 7d")
}

/// Rejects zero, which the server reads as "indefinitely" or "since the beginning".
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    let duration = humantime::parse_duration(text).map_err(|_| "must be a duration such as 30m, 2h or 7d")?;
    if duration.as_millis() == 0 { Err("must be at least 1ms") } else { Ok(duration) }
}

pub(super) fn record(text: &str) -> Result<i64, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("must be the number of an audit record, as `sentinel audit list` shows it")
}

pub(super) fn moment(text: &str) -> Result<Timestamp, &'static str> {
    rfc3339(text).ok_or("must be a time in RFC 3339, such as 2026-12-01T08:00:00Z or 2026-12-01T09:00:00+01:00")
}

/// humantime reads only UTC, so a UTC offset is subtracted here.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let text = text.to_ascii_uppercase();
    if text.ends_with('Z') {
        return utc_millis(&text).map(Timestamp::from_millis);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, length) = offset.split_at_checked(1)?;
    // The offset is parsed as a time on the first day of the epoch, which checks its digits and range.
    let (local, offset) = (utc_millis(&format!("{local}Z"))?, utc_millis(&format!("1970-01-01T{length}:00Z"))?);
    match sign {
        "+" => Some(Timestamp::from_millis(local - offset)),
        "-" => Some(Timestamp::from_millis(local + offset)),
        _ => None,
    }
}

fn utc_millis(text: &str) -> Option<i64> {
    let since_epoch = humantime::parse_rfc3339(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_an_offset_and_is_converted_to_utc() {
        let utc = moment("2026-12-01T08:00:00Z").unwrap();
        assert_eq!(utc.to_string(), "2026-12-01T08:00:00.000Z");
        for text in ["2026-12-01T09:00:00+01:00", "2026-12-01T02:30:00-05:30", "2026-12-01t08:00:00.000z"] {
            assert_eq!(moment(text), Ok(utc), "{text}");
        }
        for text in [
            "",
            "Z",
            "now",
            "2026-12-01",
            "2026-12-01T08:00:00",
            "2026-12-01 08:00",
            "2026-12-01T08:00:00+1:00",
            "2026-12-01T08:00:00+24:00",
            "2026-12-01T08:00:00+01:60",
            "2026-12-01T08:00:00+-1:00",
            "2026-13-01T08:00:00Z",
            "é2026-12-01T08:00:00é",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
