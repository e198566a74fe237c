//! Numbers of records and moments as they are typed. None of the errors repeats the argument.

use crate::domain::Timestamp;

pub(super) fn record(text: &str) -> Result<i64, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("must be the number of an audit record, as `sentinel audit list` shows it")
}

pub(super) fn moment(text: &str) -> Result<Timestamp, &'static str> {
    rfc3339(text).ok_or("must be a time in RFC 3339, such as 2026-12-01T08:00:00Z or 2026-12-01T09:00:00+01:00")
}

/// humantime knows UTC alone; an offset is taken off.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let text = text.to_ascii_uppercase();
    let (local, minutes) = match text.strip_suffix('Z') {
        Some(utc) => (utc, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let sign = match offset.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = offset[1..].split_once(':')?;
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok());
            let (hours, minutes) = (digits(hours)??, digits(minutes)??);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (local, sign * (hours * 60 + minutes))
        }
    };
    let utc = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let since_epoch = utc.duration_since(std::time::UNIX_EPOCH).ok()?;
    let millis = i64::try_from(since_epoch.as_millis()).ok()?;
    Some(Timestamp::from_millis(millis - minutes * 60_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_an_offset_and_is_the_same_moment_in_any() {
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
