//! Times and ages. `now` comes from the server, whose store made the other times.

use crate::domain::Timestamp;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// `2026-11-21T08:30:00Z`.
pub(super) fn moment(millis: i64) -> String {
    let text = Timestamp::from_millis(millis).to_string();
    match text.split_once('.') {
        Some((to_the_second, _)) => format!("{to_the_second}Z"),
        None => text,
    }
}

/// `3m ago`, for `millis` before now.
pub(super) fn ago(millis: i64) -> String {
    if millis < SECOND { "just now".to_owned() } else { format!("{} ago", coarse(millis)) }
}

/// `1h 59m`: two units, because `1h` for the last minute before two hours would mislead.
pub(super) fn span(millis: i64) -> String {
    let (unit, smaller) = match millis {
        DAY.. => (DAY, HOUR),
        HOUR.. => (HOUR, MINUTE),
        MINUTE.. => (MINUTE, SECOND),
        _ => return coarse(millis),
    };
    match millis % unit {
        rest if rest < smaller => coarse(millis),
        rest => format!("{} {}", coarse(millis), coarse(rest)),
    }
}

fn coarse(millis: i64) -> String {
    match millis {
        DAY.. => format!("{}d", millis / DAY),
        HOUR.. => format!("{}h", millis / HOUR),
        MINUTE.. => format!("{}m", millis / MINUTE),
        _ => format!("{}s", millis.max(0) / SECOND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_spans() {
        for (millis, age, length) in [
            (-5, "just now", "0s"),
            (999, "just now", "0s"),
            (59_999, "59s ago", "59s"),
            (3 * MINUTE + 1, "3m ago", "3m"),
            (2 * HOUR - SECOND, "1h ago", "1h 59m"),
            (DAY + 30 * MINUTE, "1d ago", "1d"),
            (9 * DAY + 5 * HOUR, "9d ago", "9d 5h"),
        ] {
            assert_eq!((ago(millis).as_str(), span(millis).as_str()), (age, length));
        }
        assert!(!ago(i64::MAX).is_empty() && !moment(i64::MAX).is_empty() && !moment(i64::MIN).is_empty());
        assert_eq!(moment(1_770_000_000_123), "2026-02-02T02:40:00Z");
    }
}
