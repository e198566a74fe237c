//! `audit.*`.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    source::Source,
    values::{duration, flag},
};

/// The audit settings.
#[derive(Clone, Debug)]
pub struct Audit {
    /// `audit.retention`; `None` keeps records indefinitely.
    pub retention: Option<Duration>,
    /// `audit.spill_max`, in bytes.
    pub spill_max: u64,
    /// `audit.mask_addresses`.
    pub mask_addresses: bool,
}

/// At least one day, because `unbind` lists the denials of the last 24 hours.
const RETENTION: RangeInclusive<Duration> = Duration::from_hours(24)..=Duration::from_hours(24 * 36_500);
const SPILL_MAX: RangeInclusive<u64> = 64 * 1024..=1 << 40;

pub(super) fn take(source: &mut Source) -> Option<Audit> {
    let retention = source.take("audit.retention", |text| match text {
        "0" | "0s" => Ok(None),
        _ => duration(RETENTION)(text).map(Some),
    });
    let spill_max = source.take("audit.spill_max", size);
    let mask_addresses = source.take("audit.mask_addresses", flag);
    Some(Audit { retention: retention?, spill_max: spill_max?, mask_addresses: mask_addresses? })
}

fn size(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|bytes| SPILL_MAX.contains(bytes))
        .ok_or_else(|| format!("{text:?} is not a size from 64KiB to 1024GiB, such as 256MiB"))
}
