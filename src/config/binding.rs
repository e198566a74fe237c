//! `binding.*` and `claims.*`.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    source::Source,
    values::{duration, number, word},
};
use crate::{
    domain::{FirstUse, Network, Shape, shape::PrefixOverride},
    settings::{ClaimLimits, Rate},
};

/// Wider networks than these do not belong to one client.
const BITS_V4: RangeInclusive<u8> = 8..=32;
const BITS_V6: RangeInclusive<u8> = 16..=128;
/// A key for more networks than this needs `bindings set`, which is explicit.
const NETWORKS: RangeInclusive<u16> = 1..=64;
const WINDOW: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24 * 365);

pub(super) fn take(source: &mut Source) -> Option<(FirstUse, Shape)> {
    let first_use = source.take("binding.first_use", word(&FirstUse::ALL.map(|word| (word.as_str(), word))));
    let prefix_v4 = source.take("binding.prefix_v4", |text| bits(text, BITS_V4));
    let prefix_v6 = source.take("binding.prefix_v6", |text| bits(text, BITS_V6));
    let overrides = source.take_list("binding.prefix_overrides", prefix_override);
    let max_networks = source.take("binding.max_networks", |text| number(text, NETWORKS));
    let learn_window = source.take("binding.learn_window", duration(WINDOW));
    let (max_networks, learn_window) = (max_networks?, learn_window?);
    match (max_networks, learn_window.is_zero()) {
        (1, false) => source.faults.push(
            "binding.learn_window: has no effect with binding.max_networks = 1; set max_networks to 2 or more, or remove \
             learn_window"
                .into(),
        ),
        (2.., true) => source.faults.push(format!(
            "binding.max_networks: {max_networks} needs binding.learn_window greater than 0s, such as 10m"
        )),
        _ => {}
    }
    let shape = Shape { prefix_v4: prefix_v4?, prefix_v6: prefix_v6?, overrides, max_networks, learn_window };
    Some((first_use?, shape))
}

pub(super) fn claims(source: &mut Source) -> Option<ClaimLimits> {
    let per_network = source.take("claims.per_network", rate);
    let global = source.take("claims.global", rate);
    let exempt = source.take_list("claims.exempt", |text| text.parse::<Network>().map_err(|fault| fault.to_string()));
    Some(ClaimLimits { per_network: per_network?, global: global?, exempt })
}

fn bits(text: &str, range: RangeInclusive<u8>) -> Result<u8, String> {
    text.parse()
        .ok()
        .filter(|bits| range.contains(bits))
        .ok_or_else(|| format!("{text:?} is not a prefix length from {} to {}", range.start(), range.end()))
}

fn prefix_override(text: &str) -> Result<PrefixOverride, String> {
    let (network, length) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is not CIDR=BITS, such as 2001:db8::/32=128"))?;
    let network: Network =
        network.trim().parse().map_err(|fault: crate::domain::addr::NetworkError| fault.to_string())?;
    let range = if network.net().addr().is_ipv4() { BITS_V4 } else { BITS_V6 };
    let bits = bits(length.trim(), range)?;
    if bits < network.net().prefix_len() {
        return Err(format!("{text}: /{bits} is wider than {network}; use at least /{}", network.net().prefix_len()));
    }
    Ok(PrefixOverride { network, bits })
}

/// `None` is unlimited.
fn rate(text: &str) -> Result<Option<Rate>, String> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = || format!("{text:?} is not a rate such as 30/min or 1000/h (s, min, h, d), or off");
    let (claims, unit) = text.split_once('/').ok_or_else(wrong)?;
    let claims = claims.parse().ok().filter(|claims| (1..=1_000_000_000).contains(claims)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    Ok(Some(Rate { claims, per: Duration::from_secs(seconds) }))
}
